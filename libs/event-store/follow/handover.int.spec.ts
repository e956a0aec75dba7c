import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { Client } from 'pg'
import { bundle } from '../../../test/support/bundle'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { takenOverWithinMs } from '../../../test/support/deadlines'
import { event, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { faultyLine } from '../testing/faulty-line'
import { seeded } from '../testing/seeded'
import { PostgresEventLog } from '../postgres-event-log'

interface ProcessOptions {
  application: string
  url?: string
  batchSize?: number
  batchBytes?: number
  holdAfter?: number
}

interface Projecting {
  child: ChildProcess
  /** The next line of what it prints. */
  says(): Promise<unknown>
  kill(signal: NodeJS.Signals): Promise<void>
}

describe('Projectors of several processes', () => {
  let database: TestDatabase
  let owner: Client
  let log: PostgresEventLog
  let script: string
  let name: string
  let names = 0
  const children: ChildProcess[] = []
  const closing: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    script = await bundle('test/support/projecting-process.ts', 'projecting-process')
  })
  afterAll(() => rm(script, { force: true }))

  beforeEach(async () => {
    name = `projector-${++names}`
    database = await testDatabase()
    owner = await database.connect()
    log = new PostgresEventLog({ pool: database.pool })
    // Without a unique key: an event that is applied twice is seen twice.
    await database.pool.query('create table rm.seen (projector text, position bigint)')
    await database.pool.query(
      'create table rm.counted (projector text, stream text, events bigint, last bigint, primary key (projector, stream))',
    )
  })
  afterEach(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    }
    for (const close of closing.splice(0)) await close()
    await database.close()
  })

  const start = async ({ application, url = database.url, batchSize = 20, ...rest }: ProcessOptions) => {
    const task = { url, name, application, batchSize, ...rest }
    const child = spawn(process.execPath, [script, JSON.stringify(task)], { stdio: ['pipe', 'pipe', 'inherit'] })
    children.push(child)
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const projecting: Projecting = {
      child,
      says: async () => JSON.parse(((await lines.next()) as { value: string }).value) as unknown,
      kill: async (signal) => {
        const exited = once(child, 'exit')
        child.kill(signal)
        await exited
      },
    }
    expect(await projecting.says()).toEqual({ follows: true })
    return projecting
  }
  const append = (count: number) =>
    Promise.all(Array.from({ length: count }, (_, i) => log.append(to(`s-${i % 7}`, 'any', event()))))
  const hold = () => log.append(to('held', 'any', event({ type: 'Hold' })))
  const checkpoint = async () => {
    const text = 'select position from es.checkpoint where processor = $1'
    const { rows } = await owner.query<{ position: string }>(text, [name])
    return BigInt(rows[0]?.position ?? 0)
  }
  const caughtUp = async () => (await checkpoint()) === (await log.head())
  /** What each event has come to must be what folding the log comes to, each event once. */
  const expectEachOnce = async () => {
    const all = await log.read(0n, 100_000)
    const seen = await owner.query<{ position: string }>('select position from rm.seen order by position')
    expect(seen.rows.map(({ position }) => BigInt(position))).toEqual(all.map(({ position }) => position))
    const counted = await owner.query<{ stream: string; events: string; last: string }>(
      'select stream, events, last from rm.counted order by stream collate "C"',
    )
    const streams = [...new Set(all.map(({ streamId }) => streamId))].sort()
    expect(counted.rows).toEqual(
      streams.map((stream) => {
        const own = all.filter(({ streamId }) => streamId === stream)
        return { stream, events: String(own.length), last: String(own.at(-1)?.position) }
      }),
    )
    expect(await checkpoint()).toBe(await log.head())
  }

  it('C44 kill -9 between the first row of a batch and its commit, 20 times: nothing is lost, nothing doubled', async () => {
    const random = seeded(44)
    for (let kill = 0; kill < 20; kill++) {
      await append(Math.floor(random() * 60))
      await hold()
      await append(Math.floor(random() * 20))
      // Between any two of its statements, or after the last one and before the commit.
      const holdAfter = Math.floor(random() * 4)
      const batchSize = 1 + Math.floor(random() * 40)
      const victim = await start({ application: `victim-${kill}`, batchSize, holdAfter })
      expect(await victim.says()).toEqual({ holding: true })
      await delay(random() * 30)
      await victim.kill('SIGKILL')
      const survivor = await start({ application: `survivor-${kill}`, batchSize })
      await eventually(caughtUp)
      await survivor.kill('SIGKILL')
    }
    await expectEachOnce()
  }, 180_000)

  it('C44 kill -9 at whatever moment, 20 times', async () => {
    const random = seeded(4_400)
    await append(2_000)
    for (let kill = 0; kill < 20; kill++) {
      const victim = await start({ application: `victim-${kill}`, batchSize: 3 })
      await delay(random() * 100)
      await victim.kill('SIGKILL')
    }
    await start({ application: 'survivor', batchSize: 500 })
    await eventually(caughtUp)
    await expectEachOnce()
  }, 180_000)

  it('C47 two processes apply each event once', async () => {
    await Promise.all([start({ application: 'one', batchSize: 3 }), start({ application: 'two', batchSize: 3 })])
    for (let round = 0; round < 20; round++) {
      await append(10)
      await eventually(caughtUp)
    }
    await expectEachOnce()
  })

  describe('when the one that holds the checkpoint is lost, the other one takes over in less than 2 s', () => {
    let holder: Projecting
    let line: Awaited<ReturnType<typeof faultyLine>>

    beforeEach(async () => {
      line = await faultyLine(database.url)
      closing.push(line.close)
      holder = await start({ application: 'holder', url: line.url, holdAfter: 2 })
      await append(5)
      await hold()
      expect(await holder.says()).toEqual({ holding: true })
      await start({ application: 'other' })
      await append(50)
    })

    /** Milliseconds until everything is applied. */
    const takenOver = async () => {
      const since = performance.now()
      await eventually(caughtUp)
      return performance.now() - since
    }

    it('C47 killed', async () => {
      await holder.kill('SIGKILL')
      expect(await takenOver()).toBeLessThan(takenOverWithinMs)
      await expectEachOnce()
    })

    it('C47 frozen, and going on later as if nothing had happened', async () => {
      holder.child.kill('SIGSTOP')
      expect(await takenOver()).toBeLessThan(takenOverWithinMs)
      holder.child.stdin?.write('go on\n')
      holder.child.kill('SIGCONT')
      await append(20)
      await eventually(caughtUp)
      await expectEachOnce()
    })

    it('C47 without its connections', async () => {
      const text = `select count(pg_terminate_backend(pid))::int as killed from pg_stat_activity
        where application_name = 'holder' and datname = current_database()`
      expect((await owner.query<{ killed: number }>(text)).rows[0]?.killed).toBeGreaterThan(1)
      // It may well be the one to go on: released, it starts again on a new connection.
      holder.child.stdin?.write('go on\n')
      expect(await takenOver()).toBeLessThan(takenOverWithinMs)
      await expectEachOnce()
    })

    it('C47 cut off from the database', async () => {
      line.cut()
      expect(await takenOver()).toBeLessThan(takenOverWithinMs)
      holder.child.stdin?.write('go on\n')
      line.mend()
      await append(20)
      await eventually(caughtUp)
      await expectEachOnce()
    })

    it('C47 behind a line that lets nothing through any more', async () => {
      line.freeze()
      expect(await takenOver()).toBeLessThan(takenOverWithinMs)
      await expectEachOnce()
    })
  })

  it('C47 a process whose line is frozen while it only follows misses nothing that others do, and they nothing of it', async () => {
    const line = await faultyLine(database.url)
    closing.push(line.close)
    await start({ application: 'frozen', url: line.url })
    await start({ application: 'other' })
    await append(10)
    await eventually(caughtUp)
    line.freeze()
    const since = performance.now()
    await append(10)
    await eventually(caughtUp)
    expect(performance.now() - since).toBeLessThan(takenOverWithinMs)
    await expectEachOnce()
  })

  it('C47 frozen at whatever moment, also while large events are on their way to it', async () => {
    const random = seeded(47)
    const large = () => event({ data: { text: 'x'.repeat(900_000) } })
    for (let round = 0; round < 8; round++) {
      const frozen = await start({ application: `frozen-${round}`, holdAfter: 0 })
      await hold()
      expect(await frozen.says()).toEqual({ holding: true })
      await start({ application: `other-${round}` })
      await Promise.all(Array.from({ length: 12 }, (_, i) => log.append(to(`large-${i}`, 'any', large()))))
      frozen.child.stdin?.write('go on\n')
      await delay(random() * 60)
      frozen.child.kill('SIGSTOP')
      const since = performance.now()
      const before = await checkpoint()
      // The other one goes on; ten megabytes later it is done, which takes as long as the machine needs.
      await eventually(async () => (await checkpoint()) > before || (await caughtUp()))
      expect(performance.now() - since).toBeLessThan(takenOverWithinMs)
      await eventually(caughtUp)
      for (const child of children.splice(0)) child.kill('SIGKILL')
    }
    await expectEachOnce()
  }, 180_000)

  it('C47 frozen while the database is sending it more than the line holds: TCP gives it up', async () => {
    const frozen = await start({ application: 'frozen', batchSize: 100, batchBytes: 2 ** 28, holdAfter: 0 })
    await hold()
    expect(await frozen.says()).toEqual({ holding: true })
    await start({ application: 'other' })
    const large = () => event({ data: { text: 'x'.repeat(900_000) } })
    for (let i = 0; i < 40; i++) await log.append(to('large', 'any', large()))
    const before = await checkpoint()
    frozen.child.stdin?.write('go on\n')
    const sending = `select from pg_stat_activity where application_name = 'frozen' and state = 'active' and datname = current_database()
      and query like '%from es.event%'`
    await eventually(async () => (await owner.query(sending)).rowCount === 1)
    frozen.child.kill('SIGSTOP')
    await eventually(async () => (await checkpoint()) > before + 1n)
    await eventually(caughtUp)
    await expectEachOnce()
  })
})
