import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { Builder, modelStatus, requestRebuild, verifyModel } from '@mcpctl/event-store'
import type { Client } from 'pg'
import { until } from './support/binaries'
import { bundle } from './support/bundle'
import { testDatabase, type TestDatabase } from './support/database'
import { contents, followLog, MODEL, objects } from './support/models'
import { appendServers } from './support/server-log'

interface Step {
  state: string
  position: string
}

let script: string
let database: TestDatabase
let owner: Client
/** Sees what connections do; inside a transaction one sees the same all the time. */
let watcher: Client
let daemon: Awaited<ReturnType<typeof followLog>>
let before: string[]
const children: ChildProcess[] = []

beforeAll(async () => {
  script = await bundle('test/support/rebuilding-process.ts', 'rebuilding-process')
})
afterAll(() => rm(script, { force: true }))
beforeEach(async () => {
  database = await testDatabase()
  owner = await database.connect()
  watcher = await database.connect()
  daemon = await followLog(database.pool)
  await appendServers(daemon.log, { servers: 100, changes: 50 })
  await daemon.caughtUp()
  before = await contents(database.pool)
  const tx = await database.pool.connect()
  await tx.query('begin')
  await requestRebuild(tx, objects())
  await tx.query('commit')
  tx.release()
})
afterEach(async () => {
  for (const child of children.splice(0)) await kill(child)
  await daemon.stop()
  await database.close()
})

/** Another daemon that rebuilds; `step` answers where its next step begins, undefined when it has ended. */
const start = () => {
  const child = spawn(process.execPath, [script, database.url], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const step = async (): Promise<Step | undefined> => {
    const { value, done } = (await lines.next()) as { value: string; done?: boolean }
    return done ? undefined : (JSON.parse(value) as Step)
  }
  return { child, step }
}

const kill = async (child: ChildProcess) => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

/** Waits until the other daemon waits for a lock with a statement that begins like this. */
const blocked = (statement: string) =>
  until(`${statement} waits`, async () => {
    const { rows } = await watcher.query<{ count: number }>(
      `select count(*)::int from pg_stat_activity
       where application_name = 'rebuilding' and wait_event_type = 'Lock' and datname = current_database() and query like $1`,
      [`${statement}%`],
    )
    return (rows[0]?.count ?? 0) > 0
  })

/** Another daemon goes on to the end. Answers where it began. */
const finish = async (): Promise<Step | undefined> => {
  const { step } = start()
  const first = await step()
  while (await step());
  return first
}

const expectWhole = async () => {
  expect(await modelStatus(database.pool, MODEL)).toMatchObject({ version: 2, status: 'running' })
  expect((await modelStatus(database.pool, MODEL)).rebuild).toBeUndefined()
  expect(await contents(database.pool)).toEqual(before)
  expect(await verifyModel(database.pool, objects())).toEqual({ model: MODEL, position: await daemon.log.head() })
}

describe('a rebuild whose daemon is killed', () => {
  it('C56 while rows are on their way goes on from the last commit', async () => {
    await new Builder({ pool: database.pool, model: objects(), eventsPerCommit: 2_000 }).step()
    await owner.query('begin; lock table rm.object_2 in share mode')
    const { child } = start()
    await blocked('copy')
    const { rebuild } = await modelStatus(database.pool, MODEL)
    await kill(child)
    await owner.query('commit')
    const first = await finish()
    expect(first?.state).toBe('building')
    expect(first?.position).toBe(String(rebuild?.position))
    expect(BigInt(first?.position ?? 0)).toBeGreaterThanOrEqual(2_000n)
    await expectWhole()
  })

  it('C56 in the middle of an index goes on with the indexes', async () => {
    await owner.query('begin; lock table rm.object_2 in row exclusive mode')
    const { child } = start()
    await blocked('create')
    await kill(child)
    await owner.query('commit')
    expect(await finish()).toEqual({ state: 'indexing', position: String(await daemon.log.head()) })
    await expectWhole()
  })

  it('C56 while it waits for readers goes on with the swap, and catches up with what came meanwhile', async () => {
    const reader = await database.connect({ role: 'mcpd_app' })
    await reader.query('begin')
    await reader.query('select count(*) from rm.object')
    const { child } = start()
    await blocked('%create or replace view')
    await kill(child)
    await appendServers(daemon.log, { servers: 10, changes: 1 })
    await daemon.caughtUp()
    before = await contents(database.pool)
    await reader.query('commit')
    expect((await finish())?.state).toBe('swapping')
    await expectWhole()
  })

  it('C56 again and again, wherever it is, comes to the same end, and never begins from the beginning', async () => {
    let last = 0n
    for (let steps = 2; steps < 12; steps++) {
      const { child, step } = start()
      let reached: Step | undefined
      for (let count = 0; count < steps % 4; count++) reached = (await step()) ?? reached
      await kill(child)
      const position = BigInt(reached?.position ?? 0)
      if (reached && reached.state !== 'done') expect(position).toBeGreaterThanOrEqual(last)
      if (position > last) last = position
    }
    expect(last).toBeGreaterThan(0n)
    await finish()
    await expectWhole()
  })

  it('C56 is taken over by a second one that was there all the time, and nothing is there twice', async () => {
    const { child, step } = start()
    await step()
    const second = finish()
    await until('some of it is there', async () => {
      const { rebuild } = await modelStatus(database.pool, MODEL)
      return rebuild === undefined || rebuild.position > 1_000n
    })
    await kill(child)
    await second
    await expectWhole()
  })
})

it('C56 a daemon that freezes while rows are on their way is ended by another one, which goes on', async () => {
  await owner.query('begin; lock table rm.object_2 in share mode')
  const { child } = start()
  await blocked('copy')
  child.kill('SIGSTOP')
  await owner.query('commit')
  const other = new Builder({ pool: database.pool, model: objects(), frozenAfterMs: 1_000 })
  // It waits for the build's row, and no failure is written down.
  await until('the build is done', async () => {
    const more = await other.step().catch((error: unknown) => {
      expect(error).toMatchObject({ code: 'Unavailable' })
      return true
    })
    expect((await modelStatus(database.pool, MODEL)).rebuild?.lastError).toBeUndefined()
    return !more
  })
  await expectWhole()
  child.kill('SIGCONT')
  await once(child, 'exit')
  await expectWhole()
})
