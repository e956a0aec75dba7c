import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Client, Pool } from 'pg'
import { createPool, EmbeddedPostgres, runMigrations } from '@mcpctl/postgres'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { verifyClaims, verifyLog } from '../chain/verify-log'
import { Follower } from '../follow/follower'
import { Projector } from '../follow/projector'
import { PostgresEventLog } from '../postgres-event-log'
import { event, events, release, take, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { openWriters } from '../testing/writers'
import { eventsIn, exported, fileOf } from '../testing/export-file'
import { exportEvents } from './export'
import type { ExportHeader } from './format'
import { importEvents } from './import'

const headerOf = (file: string) => JSON.parse(file.slice(0, file.indexOf('\n'))) as ExportHeader
const bodyOf = (file: string) => file.slice(file.indexOf('\n'))
const withoutEpoch = (file: string) => ({ ...headerOf(file), epoch: 0, rest: bodyOf(file) })

const odd = {
  text: 'quote " backslash \\ tab \t newline \n return \r U+2028 \u2028 é 漢 😀 \u007f \u0001 \u0002 \\. "a","meta":{}',
  numbers: [0, -0, 1.1, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 9007199254740991, -1.5, 0.1, 123456789012345680000],
  keys: { '': 1, b: 2, a: 1, '10': 1, '9': 2, constructor: 'x', ['__proto__']: { x: 1 }, é: null },
  nested: [[], {}, [{ data: { meta: true } }], null, false],
}

const fill = async (pool: Pool) => {
  const log = new PostgresEventLog({ pool })
  await log.append(to('a', 'none', event({ data: odd, claims: [take('one'), take('two')] }), ...events(30)))
  await log.append(
    to('b "\\\n\t%;\'', 'none', event({ type: 'Odd "type"', schemaVersion: 7, claims: [take('three')] })),
  )
  await log.append(to('a', 31, event({ claims: [release('two')] })))
  await log.append(
    to('c', 'none', event({ claims: [take('two')], meta: { actor: { uid: 'u', name: 'ünï' }, reason: '' } })),
  )
  await log.append(to('big', 'none', event({ data: { text: 'x'.repeat(900_000) } })))
}

describe('Export and import', () => {
  const databases: TestDatabase[] = []
  const database = async () => {
    const made = await testDatabase(40)
    databases.push(made)
    // Databases of a test run are copies of one, and would all be the same store.
    const owner = await made.connect()
    await owner.query(
      'with fresh as (select gen_random_uuid() as id) update es.store set id = fresh.id, origin_id = fresh.id from fresh',
    )
    return made
  }
  let source: TestDatabase
  let file: string

  beforeAll(async () => {
    source = await database()
    await fill(source.pool)
    file = await exported(source.pool)
  })
  afterAll(() => Promise.all(databases.map((each) => each.close())))

  it('C78 an export of an import has the same bytes, but for the epoch', async () => {
    const target = await database()
    const imported = await importEvents(target.pool, fileOf(file, 1000))
    const again = await exported(target.pool)
    expect(withoutEpoch(again)).toEqual(withoutEpoch(file))
    expect(headerOf(file).epoch).toBe(1)
    expect(headerOf(again).epoch).toBe(2)
    const third = await database()
    await importEvents(third.pool, fileOf(again))
    expect(withoutEpoch(await exported(third.pool))).toEqual(withoutEpoch(file))
    expect(imported).toEqual({ events: 35n, hash: headerOf(file).hash, origin: headerOf(file).store, epoch: 2 })
  })

  it('C78 what is read from an import is what was read before, events, claims and all', async () => {
    const target = await database()
    await importEvents(target.pool, fileOf(file))
    const [before, after] = [source, target].map(({ pool }) => new PostgresEventLog({ pool }))
    expect(await after!.read(0n, 100)).toEqual(await before!.read(0n, 100))
    expect((await after!.readStream('a', { limit: 1 }))[0]?.data).toEqual({
      ...odd,
      numbers: odd.numbers.map((n) => n + 0),
    })
    const claims = 'select * from es.claim order by scope, key'
    const [was, is] = await Promise.all([source.pool.query(claims), target.pool.query(claims)])
    expect(is.rows).toEqual(was.rows)
    expect(is.rows).toEqual([
      { scope: 'name', key: 'one', stream_id: 'a' },
      { scope: 'name', key: 'three', stream_id: 'b "\\\n\t%;\'' },
      { scope: 'name', key: 'two', stream_id: 'c' },
    ])
    expect(await verifyClaims(target.pool)).toBeUndefined()
  })

  it('C78 the imported log is a store of its own, and its chain goes on', async () => {
    const target = await database()
    await importEvents(target.pool, fileOf(file))
    const log = new PostgresEventLog({ pool: target.pool })
    const origin = await new PostgresEventLog({ pool: source.pool }).store()
    const { rows } = await target.pool.query('select id::text, origin_id::text, epoch, live_from::text from es.store')
    expect(rows).toEqual([
      { id: expect.not.stringMatching(origin.id), origin_id: origin.id, epoch: 2, live_from: '35' },
    ])
    await log.append(to('a', 32, event()))
    expect(await verifyLog(target.pool)).toMatchObject({ ok: true, head: 36n, events: 36n })
    expect(await log.append(to('d', 'none', event({ claims: [take('one')] })))).toMatchObject({ status: 'claim-taken' })
  })

  it('C78 numbers that JavaScript writes otherwise survive as PostgreSQL has them', async () => {
    const [from, target] = [await database(), await database()]
    const { id } = await new PostgresEventLog({ pool: from.pool }).store()
    const owner = await from.connect()
    await new PostgresEventLog({ pool: from.pool }).append(to('n', 'none', event({ data: { price: 1.1, far: 1e300 } })))
    await owner.query(
      `set session_replication_role = replica; update es.event set data = '{"price": 1.1000, "far": 1e300}'`,
    )
    const text = await exported(from.pool)
    expect(text).toContain('"price": 1.1000')
    await importEvents(target.pool, fileOf(text))
    expect(withoutEpoch(await exported(target.pool))).toEqual(withoutEpoch(text))
    expect(headerOf(text).store).toBe(id)
  })

  it('an export goes on where an earlier one ended, and both together make the log', async () => {
    const target = await database()
    const first = await exported(source.pool, { to: 12n })
    const second = await exported(source.pool, { after: 12n })
    expect(headerOf(first)).toMatchObject({ from: 1, to: 12, count: 12 })
    expect(headerOf(second)).toMatchObject({ from: 13, to: 35, count: 23, previous: headerOf(first).hash })
    await expect(importEvents(target.pool, fileOf(second))).rejects.toMatchObject({ code: 'Invalid' })
    await expect(importEvents(target.pool, fileOf(second + first))).rejects.toMatchObject({ code: 'Invalid' })
    await expect(importEvents(target.pool, fileOf(first + first))).rejects.toMatchObject({ code: 'Invalid' })
    await importEvents(target.pool, fileOf(first + second))
    expect(withoutEpoch(await exported(target.pool))).toEqual(withoutEpoch(file))
  })

  it('an empty log is exported and imported as such', async () => {
    const [from, target] = [await database(), await database()]
    const empty = await exported(from.pool)
    expect(headerOf(empty)).toMatchObject({ from: 1, to: 0, count: 0, hash: headerOf(empty).previous })
    expect(await importEvents(target.pool, fileOf(empty))).toMatchObject({ events: 0n, epoch: 2 })
    expect(withoutEpoch(await exported(target.pool))).toEqual(withoutEpoch(empty))
    expect(headerOf(await exported(source.pool, { after: 35n }))).toMatchObject({ from: 36, to: 35, count: 0 })
  })

  it.each([{ after: 36n }, { to: 36n }, { after: 5n, to: 4n }, { after: -1n }])(
    'a range that the log does not have is refused: %p',
    async (options) => {
      await expect(exported(source.pool, options)).rejects.toMatchObject({ code: 'Invalid' })
    },
  )

  it('an export of a log with a hole fails instead of looking whole', async () => {
    const broken = await database()
    await fill(broken.pool)
    const owner = await broken.connect()
    await owner.query('set session_replication_role = replica; delete from es.event where position = 7')
    await expect(exported(broken.pool)).rejects.toMatchObject({ code: 'Conflict' })
  })

  it.each([
    ['an event', 'select', 'event'],
    ['a claim', `insert into es.claim values ('name', 'x', 'y')`, 'claim'],
    ['a command', `insert into es.command values (gen_random_uuid(), '', null, null, '{}')`, 'command'],
    [
      'a processor on its way',
      `insert into es.checkpoint (processor, model_version, position) values ('p', 1, 5)`,
      'checkpoint',
    ],
  ])('C81 import into a store that has %s is refused, and nothing changes', async (_, statement, table) => {
    const target = await database()
    if (table === 'event') await new PostgresEventLog({ pool: target.pool }).append(to('mine', 'none', event()))
    const owner = await target.connect()
    await owner.query(statement)
    const state = await stateOf(owner)
    await expect(importEvents(target.pool, fileOf(file))).rejects.toMatchObject({
      code: 'Conflict',
      message: `the store is not empty: es.${table} has rows; import into a new database, where nothing has happened yet`,
    })
    expect(await stateOf(owner)).toEqual(state)
  })

  it('C81 of two imports at once one wins, and appends come before or after', async () => {
    const target = await database()
    const log = new PostgresEventLog({ pool: target.pool })
    const imports = await Promise.allSettled([1, 2, 3].map(() => importEvents(target.pool, fileOf(file))))
    expect(imports.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected'])
    await log.append(to('later', 'none', event()))
    await expect(importEvents(target.pool, fileOf(file))).rejects.toMatchObject({ code: 'Conflict' })
    expect(await verifyLog(target.pool)).toMatchObject({ ok: true, head: 36n })
  })

  it('C83 an export while 32 writers append is a contiguous prefix, and no transaction is older than a range', async () => {
    const busy = await database()
    const log = new PostgresEventLog({ pool: busy.pool })
    // More than fits between the two processes, so that PostgreSQL waits in the range where the reader stops.
    const large = () => Array.from({ length: 1000 }, () => event({ data: { text: 'x'.repeat(1500) } }))
    for (let i = 0; i < 20; i++) await log.append(to(`first-${i}`, 'none', ...large()))
    const writers = await openWriters(busy.url, 32)
    let writing = true
    const written = writers.logs.map(async (writer, i) => {
      for (let n = 0; writing; n++)
        await writer.append(to(`w-${i}-${n}`, 'none', event({ claims: [take(`${i}-${n}`)] }), event()))
    })
    const reader = createPool(busy.url, { role: 'mcpd_app', max: 2, applicationName: 'exporting' })
    const files: string[] = []
    for (let i = 0; i < 2; i++) files.push(await exported(reader))
    const began = await transactionsAt(exportEvents(reader), await busy.connect(), [1_000, 11_000])
    writing = false
    await Promise.all(written)
    await Promise.all([writers.close(), reader.end()])
    expect(new Set(began).size).toBe(2)
    for (const text of files) {
      const { count, hash } = headerOf(text)
      const positions = eventsIn(text).map(({ position }) => position)
      expect(positions).toEqual(Array.from({ length: count }, (_, i) => i + 1))
      expect(eventsIn(text).at(-1)?.hash).toBe(hash)
      expect(JSON.parse(text.trimEnd().split('\n').at(-1)!)).toMatchObject({ count, hash })
      const target = await database()
      expect(await importEvents(target.pool, fileOf(text))).toMatchObject({ events: BigInt(count) })
      expect(await verifyLog(target.pool)).toMatchObject({ ok: true, head: BigInt(count), hash })
    }
    expect(headerOf(files[1]!).count).toBeGreaterThan(headerOf(files[0]!).count)
  })

  it('C79 projectors see every event of a log that moved into a cluster with lower transaction ids', async () => {
    const old = await database()
    const directory = await mkdtemp(join(tmpdir(), 'mcpctl-young-'))
    const younger = new EmbeddedPostgres({ dataDirectory: directory, settings: { fsync: 'off' } })
    try {
      const { url } = await younger.start()
      await runMigrations(url, 'migrations')
      const pool = createPool(url, { role: 'mcpd_app', max: 5, applicationName: 'young' })
      await burnPast(await old.connect(), pool)
      await fill(old.pool)
      await importEvents(pool, fileOf(await exported(old.pool)))
      const seen: bigint[] = []
      const follower = new Follower({ pool })
      const project = async (_: unknown, batch: { position: bigint }[]) => {
        seen.push(...batch.map(({ position }) => position))
      }
      const projector = new Projector({ pool, follower, name: 'all', modelVersion: 1, project })
      await follower.start()
      projector.start()
      await eventually(() => seen.length >= 35)
      await projector.stop()
      await follower.stop()
      await pool.end()
      expect(seen).toEqual(Array.from({ length: 35 }, (_, i) => BigInt(i + 1)))
    } finally {
      await younger.stop()
      await rm(directory, { recursive: true, force: true })
    }
  })
})

/** When the transactions began in which an export was reading as its reader stopped after so many lines. */
const transactionsAt = async (stream: Readable, owner: Client, stops: number[]): Promise<string[]> => {
  const began: string[] = []
  let lines = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    lines += chunk.toString('latin1').split('\n').length - 1
    if (began.length === stops.length || lines < stops[began.length]!) continue
    const { rows } = await owner.query<{ began: string }>(
      `select xact_start::text as began from pg_stat_activity
       where datname = current_database() and application_name = 'exporting' and xact_start is not null`,
    )
    began.push(...rows.map((row) => row.began))
  }
  return began
}

const xid = 'select pg_current_xact_id()::text as id'

/** Uses transaction ids up until all that follows in the old cluster is later than anything in the young one. */
const burnPast = async (old: Client, young: Pool) => {
  const now = BigInt((await young.query<{ id: string }>(xid)).rows[0]!.id)
  const burn = `do $$ begin for i in 1..1000 loop perform pg_current_xact_id(); commit; end loop; end $$`
  while (BigInt((await old.query<{ id: string }>(xid)).rows[0]!.id) < now + 2000n) await old.query(burn)
}

const stateOf = async (owner: Client) => {
  const tables = ['event', 'claim', 'command', 'checkpoint', 'store', 'seal']
  const state: Record<string, object[]> = {}
  for (const table of tables)
    state[table] = (await owner.query<object>(`select * from es.${table} t order by t::text`)).rows
  return state
}
