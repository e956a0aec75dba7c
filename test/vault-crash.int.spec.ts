import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { inTransaction } from '@mcpctl/postgres'
import { KeyFile, SecretValue, Vault, type SealedValue } from '@mcpctl/vault'
import { v7 as uuidv7 } from 'uuid'
import { until } from './support/binaries'
import { bundle } from './support/bundle'
import { testDatabase, type TestDatabase } from './support/database'

const uid = uuidv7()
const versions = 230

let script: string
let folder: string
let path: string
let database: TestDatabase
let vault: Vault
let sealed: Record<string, SealedValue>[]
const children: ChildProcess[] = []

beforeAll(async () => {
  script = await bundle('test/support/vault-process.ts', 'vault-process')
})
afterAll(() => rm(script, { force: true }))
beforeEach(async () => {
  database = await testDatabase()
  folder = await mkdtemp(join(tmpdir(), 'vault-'))
  path = join(folder, 'kek')
  vault = new Vault(database.pool, new KeyFile(path))
  sealed = []
  for (let version = 1; version <= versions; version++) {
    const found = await vault.seal(uid, version, new Map([['a', SecretValue.ofText(`value ${String(version)}`)]]))
    await inTransaction(database.pool, found.store)
    sealed.push(found.values)
  }
})
afterEach(async () => {
  for (const child of children.splice(0)) await kill(child)
  await database.close()
  await rm(folder, { recursive: true, force: true })
})

const start = (verb: string) => {
  const child = spawn(process.execPath, [script, database.url, path, verb], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => {
    const { value, done } = (await lines.next()) as { value: string; done?: boolean }
    return done ? undefined : (JSON.parse(value) as object)
  }
  return { child, next }
}

const kill = async (child: ChildProcess) => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

const expectAllOpen = async () => {
  const fresh = new Vault(database.pool, new KeyFile(path))
  expect(await fresh.state()).toMatchObject({ status: 'ready' })
  for (const [nth, values] of sealed.entries()) {
    const value = (await fresh.open(uid, nth + 1, values)).get('a')
    expect(value instanceof SecretValue && value.text()).toBe(`value ${String(nth + 1)}`)
  }
}

describe('a daemon that is killed', () => {
  it('in the middle of wrapping data keys anew leaves all of them open, and another one finishes', async () => {
    await vault.rotate()
    const owner = await database.connect()
    const watcher = await database.connect()
    // The second hundred waits for this row, so that the first is committed and the second is not.
    await owner.query('begin')
    const nth = 'select subject from es.subject_key order by subject offset 150 limit 1'
    await owner.query(`select from es.subject_key where subject = (${nth}) for update`)
    const { child, next } = start('rewrap')
    expect(await next()).toEqual({ done: 100 })
    await until('the next step waits', async () => {
      const { rowCount } = await watcher.query(
        `select from pg_stat_activity where application_name = 'vault' and wait_event_type = 'Lock' and datname = current_database()`,
      )
      return rowCount === 1
    })
    await kill(child)
    await owner.query('commit')
    await until('nothing of it goes on', async () => {
      const { rowCount } = await watcher.query(
        `select from pg_stat_activity where application_name = 'vault' and state <> 'idle' and datname = current_database()`,
      )
      return rowCount === 0
    })
    const { stale } = await vault.status()
    // The statement under way may have committed after its client was gone: all of it or nothing.
    expect([versions - 100, versions - 200]).toContain(stale)
    expect(await vault.retire()).toEqual([])
    await expectAllOpen()
    const { next: after } = start('rewrap')
    let done = 0
    for (let step = await after(); step; step = await after()) ({ done } = step as { done: number })
    expect(done).toBe(stale)
    expect(await vault.status()).toMatchObject({ stale: 0 })
    expect(await vault.retire()).toHaveLength(1)
    await expectAllOpen()
  })

  it('anywhere in a rotation leaves every value open', async () => {
    for (let lines = 0; lines < 6; lines++) {
      const { child, next } = start('rotate')
      for (let line = 0; line < lines; line++) await next()
      await kill(child)
      await expectAllOpen()
    }
    await vault.rotate()
    for await (const _ of vault.rewrap());
    await vault.retire()
    expect((await vault.status()).keks).toHaveLength(1)
    // At most the keys of rotations that were cut off before they were announced are left beside it.
    const { keys } = JSON.parse(await readFile(path, 'utf8')) as { keys: object[] }
    expect(keys.length).toBeLessThanOrEqual(7)
    await expectAllOpen()
  })
})
