import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Client } from 'pg'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, events, take, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { PostgresEventLog } from '../postgres-event-log'

describe('The one lock of the log', () => {
  let database: TestDatabase
  let log: PostgresEventLog
  let otherDaemon: PostgresEventLog
  let owner: Client

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
    otherDaemon = new PostgresEventLog({ pool: database.pool })
    owner = await database.connect()
  })
  afterAll(() => database.close())

  const oneTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)
  const asApplication = () => database.connect({ role: 'mcpd_app' })
  const versionsOf = async (stream: string) => (await log.readStream(stream)).map(({ version }) => version)
  const locks = `select (classid::bigint << 32 | objid::bigint)::text as key, pid from pg_locks
    where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database())`
  const lockHeld = async () => (await owner.query<{ key: string; pid: number }>(locks)).rows[0]

  it.each(['repeatable read', 'serializable'])(
    'C16 an append under %s is refused before it locks or writes anything',
    async (level) => {
      const tx = await asApplication()
      await tx.query(`begin isolation level ${level}`)
      await tx.query('savepoint before')
      await expect(log.appendWithin(tx, to('c16', 'any', event()))).rejects.toMatchObject({
        code: '25000',
        message: 'the log is appended to under READ COMMITTED only',
      })
      await tx.query('rollback to before')
      const { rows } = await tx.query('select pg_current_xact_id_if_assigned() as id')
      expect(rows).toEqual([{ id: null }])
      expect(await lockHeld()).toBeUndefined()
      await tx.query('commit')
      expect(await versionsOf('c16')).toEqual([])
    },
  )

  it('C16 nor is a new term given out there', async () => {
    const tx = await asApplication()
    await tx.query('begin isolation level repeatable read')
    await expect(tx.query(`select es.next_term('c16', 'x')`)).rejects.toMatchObject({ code: '25000' })
    await tx.query('rollback')
  })

  it('C18 a holder that hangs in its transaction is ended within seconds, and others append without a gap', async () => {
    const head = await log.head()
    const hung = await asApplication()
    await hung.query('begin')
    await log.appendWithin(hung, to('c18', 'any', event()))
    // One connection for each, so that all of them wait at the database.
    const waiting = oneTo(5).map(() => new PostgresEventLog({ pool: database.pool }))
    const verdicts = await Promise.all(waiting.map((writer) => writer.append(to('c18', 'any', event()))))
    expect(verdicts.map(({ status }) => status)).toEqual(Array(5).fill('ok'))
    expect(await versionsOf('c18')).toEqual(oneTo(5))
    expect((await log.read(head, 10)).map(({ position }) => position)).toEqual(oneTo(5).map((n) => head + BigInt(n)))
    await expect(hung.query('commit')).rejects.toThrow()
  })

  it('C18 a holder that is busy makes others give up after lock_timeout with Unavailable (55P03), not wait for ever', async () => {
    const head = await log.head()
    const busy = await asApplication()
    await busy.query('begin')
    await log.appendWithin(busy, to('c18-busy', 'any', event()))
    const sleeping = busy.query('select pg_sleep(30)').catch(() => undefined)
    const refused = to('c18-busy', 'any', event({ claims: [take('c18')] }))
    await expect(otherDaemon.append(refused)).rejects.toMatchObject({
      code: 'Unavailable',
      details: { retryAfter: 1 },
      cause: { code: '55P03' },
    })
    await owner.query(`select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(30)'
      and datname = current_database()`)
    await sleeping
    expect(await otherDaemon.append(refused)).toMatchObject({ status: 'ok', first: head + 1n })
  })

  it('a stranger who takes the lock for a session holds appends up, with Unavailable; reading goes on', async () => {
    const holder = await asApplication()
    await holder.query('begin')
    await log.appendWithin(holder, to('stranger', 'any'))
    const held = await lockHeld()
    await holder.query('rollback')
    const stranger = await asApplication()
    await stranger.query('select pg_advisory_lock($1)', [held!.key])
    await expect(log.append(to('stranger', 'any', event()))).rejects.toMatchObject({ code: 'Unavailable' })
    expect(await log.readStream('stranger')).toEqual([])
    await stranger.end()
    expect(await log.append(to('stranger', 'any', event()))).toMatchObject({ status: 'ok', versions: { stranger: 1 } })
  })

  it('a session that gives the lock back early cannot: it is held to the end of the transaction', async () => {
    const tx = await asApplication()
    await tx.query('begin')
    await log.appendWithin(tx, to('early', 'any', event()))
    const held = await lockHeld()
    await tx.query('select pg_advisory_unlock($1), pg_advisory_unlock_all()', [held!.key])
    expect(await lockHeld()).toEqual(held)
    await tx.query('rollback')
    await eventually(async () => (await lockHeld()) === undefined)
  })

  it('a full queue refuses at once and says when to come back', async () => {
    const small = new PostgresEventLog({ pool: database.pool, maxQueued: 2 })
    const asked = await Promise.allSettled(oneTo(5).map((i) => small.append(to(`full-${i}`, 'none', event()))))
    expect(asked.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected', 'rejected'])
    expect(asked[3]).toMatchObject({ reason: { code: 'Unavailable', details: { retryAfter: 1 } } })
  })

  describe('recorded times never run backwards with positions', () => {
    it('C35 as the clock goes', async () => {
      await Promise.all(oneTo(50).map((n) => log.append(to(`c35-${n}`, 'any', ...events(2)))))
      const times = (await log.read(0n, 5_000)).map(({ recordedAt }) => recordedAt)
      expect(times).toEqual([...times].sort())
      expect(times[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    })

    // What was stored an hour ahead is what a clock leaves behind that has been put back by an hour.
    it('C35 when the clock is put back by an hour, whichever way the events are stored', async () => {
      const after = await log.head()
      await log.append(to('c35', 'any', event()))
      await owner.query('begin; set local session_replication_role = replica')
      await owner.query(`update es.event set recorded_at = recorded_at + interval '1 hour' where stream_id = 'c35'`)
      await owner.query('commit')
      await log.append(to('c35', 'any', event()))
      await log.append(to('c35', 'any', event({ claims: [take('c35')] })))
      await Promise.all(oneTo(5).map(() => log.append(to('c35', 'any', event()))))
      const [ahead, ...later] = await log.read(after, 100)
      expect(Date.parse(ahead!.recordedAt) - Date.now()).toBeGreaterThan(3_500_000)
      expect(later.map(({ recordedAt }) => recordedAt)).toEqual(Array(7).fill(ahead!.recordedAt))
    })
  })
})
