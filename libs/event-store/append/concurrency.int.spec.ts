import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { v7 as uuidv7 } from 'uuid'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, events, take, to } from '../testing/event-fixtures'
import { PostgresEventLog } from '../postgres-event-log'
import type { AppendRequest } from '../types'

describe('Many writers', () => {
  let database: TestDatabase
  let log: PostgresEventLog
  let otherDaemon: PostgresEventLog

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
    otherDaemon = new PostgresEventLog({ pool: database.pool })
  })
  afterAll(() => database.close())

  const both = (requests: AppendRequest[]) =>
    Promise.all(requests.map((request, i) => (i % 2 === 0 ? log : otherDaemon).append(request)))
  const versionsOf = async (stream: string) => (await log.readStream(stream)).map(({ version }) => version)
  const oneTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

  it('C07 two writers at the same version: one wins, the other stores nothing', async () => {
    await log.append(to('c07', 'none', event()))
    const verdicts = await both([to('c07', 1, event()), to('c07', 1, event())])
    expect(verdicts.map(({ status }) => status).sort()).toEqual(['conflict', 'ok'])
    expect(verdicts).toContainEqual(expect.objectContaining({ status: 'conflict', actual: 2 }))
    expect(await versionsOf('c07')).toEqual([1, 2])
  })

  it('C08 a hundred writers on one stream at any version all succeed, without holes', async () => {
    const verdicts = await both(oneTo(100).map(() => to('c08', 'any', event())))
    expect(verdicts.every(({ status }) => status === 'ok')).toBe(true)
    expect(await versionsOf('c08')).toEqual(oneTo(100))
  })

  it('C10 writers of streams of their own never meet', async () => {
    const verdicts = await both(oneTo(800).map((i) => to(`c10-${i}`, 'none', event())))
    expect(verdicts.filter(({ status }) => status !== 'ok')).toEqual([])
  })

  it('of fifty who claim one key at once, one gets it', async () => {
    const verdicts = await both(oneTo(50).map((i) => to(`claimant-${i}`, 'none', event({ claims: [take('only')] }))))
    expect(verdicts.filter(({ status }) => status === 'ok')).toHaveLength(1)
    const owner = await log.claimOwner('name', 'only')
    expect(verdicts.filter(({ status }) => status !== 'ok')).toEqual(
      Array(49).fill({ status: 'claim-taken', scope: 'name', key: 'only', owner }),
    )
  })

  it('one command sent ten times at once is executed once and answered ten times', async () => {
    const command = { id: uuidv7(), requestHash: 'aa', result: { n: 1 } }
    const verdicts = await both(oneTo(10).map(() => ({ ...to('once', 'any', event()), command })))
    expect(verdicts.map(({ status }) => status).sort()).toEqual([...Array<string>(9).fill('duplicate'), 'ok'])
    expect(await versionsOf('once')).toEqual([1])
  })

  it('C30 a reader sees every event once, in order, and never a gap', async () => {
    const start = await log.head()
    const seen: bigint[] = []
    const writers = new AbortController()
    const reader = (async () => {
      for (let after = start; ;) {
        const done = writers.signal.aborted
        const page = await log.read(after, 100)
        seen.push(...page.map(({ position }) => position))
        after = page.at(-1)?.position ?? after
        if (done && page.length === 0) return
      }
    })()
    const rollBack = async () => {
      const tx = await database.pool.connect()
      await tx.query('begin')
      await log.appendWithin(tx, to('c30-undone', 'any', event()))
      await tx.query('rollback')
      tx.release()
    }
    for (const round of oneTo(10)) {
      await Promise.all([both(oneTo(32).map((i) => to(`c30-${i}`, 'any', event({ data: { round } })))), rollBack()])
    }
    writers.abort()
    await reader
    expect(seen).toEqual(Array.from({ length: 320 }, (_, i) => start + BigInt(i) + 1n))
    expect(await versionsOf('c30-undone')).toEqual([])
  })

  it('C33 what is rolled back leaves no hole', async () => {
    const head = await log.head()
    for (const _ of oneTo(5)) {
      const tx = await database.pool.connect()
      await tx.query('begin')
      expect(await log.appendWithin(tx, to('c33', 'none', event({ claims: [take('c33')] })))).toMatchObject({
        status: 'ok',
      })
      await tx.query('rollback')
      tx.release()
    }
    expect(await log.claimOwner('name', 'c33')).toBeUndefined()
    expect(await log.append(to('c33', 'none', event()))).toMatchObject({ status: 'ok', first: head + 1n })
  })

  it('C34 two long appends at once do not interleave', async () => {
    const [a, b] = await both([to('c34-a', 'none', ...events(1000)), to('c34-b', 'none', ...events(1000))])
    if (a?.status !== 'ok' || b?.status !== 'ok') throw new Error('both should be stored')
    expect(a.last! - a.first!).toBe(999n)
    expect(b.last! - b.first!).toBe(999n)
    expect(a.last! < b.first! || b.last! < a.first!).toBe(true)
  })

  it('C16 an append with an old snapshot is refused before it writes', async () => {
    for (const level of ['repeatable read', 'serializable']) {
      const tx = await database.connect({ role: 'mcpd_app' })
      await tx.query(`begin isolation level ${level}`)
      await expect(log.appendWithin(tx, to('c16', 'any', event()))).rejects.toMatchObject({ code: '25000' })
      await tx.query('rollback')
    }
    expect(await versionsOf('c16')).toEqual([])
  })

  it('C18 a holder that hangs in its transaction is ended, and others append without a gap', async () => {
    const head = await log.head()
    const hung = await database.connect({ role: 'mcpd_app' })
    await hung.query('begin')
    await log.appendWithin(hung, to('c18', 'any', event()))
    const verdict = await otherDaemon.append(to('c18', 'any', event()))
    expect(verdict).toMatchObject({ status: 'ok', first: head + 1n, versions: { c18: 1 } })
  })

  it('C18 one that keeps the lock busy makes others give up with Unavailable, not wait for ever', async () => {
    const busy = await database.connect({ role: 'mcpd_app' })
    await busy.query('begin')
    await log.appendWithin(busy, to('c18-busy', 'any', event()))
    const sleeping = busy.query('select pg_sleep(30)').catch(() => undefined)
    await expect(otherDaemon.append(to('c18-busy', 'any', event()))).rejects.toMatchObject({
      code: 'Unavailable',
      details: { retryAfter: 1 },
    })
    await database.pool.query('select 1')
    const owner = await database.connect()
    await owner.query(`select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(30)%'
      and datname = current_database() and pid <> pg_backend_pid()`)
    await sleeping
    expect(await otherDaemon.append(to('c18-busy', 'any', event()))).toMatchObject({ status: 'ok' })
  })

  it('a full queue refuses at once and says when to come back', async () => {
    const small = new PostgresEventLog({ pool: database.pool, maxQueued: 2 })
    const asked = await Promise.allSettled(oneTo(5).map((i) => small.append(to(`full-${i}`, 'none', event()))))
    expect(asked.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected', 'rejected'])
    expect(asked[3]).toMatchObject({ reason: { code: 'Unavailable', details: { retryAfter: 1 } } })
  })

  it('C35 recorded times never run backwards with positions', async () => {
    const stored = await log.read(0n, 5_000)
    const times = stored.map(({ recordedAt }) => recordedAt)
    expect(times).toEqual([...times].sort())
    expect(times[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  })

  it('C35 not even when the clock does', async () => {
    const owner = await database.connect()
    await log.append(to('c35', 'any', event()))
    await owner.query('begin; set local session_replication_role = replica')
    await owner.query(`update es.event set recorded_at = recorded_at + interval '1 hour' where stream_id = 'c35'`)
    await owner.query('commit')
    await log.append(to('c35', 'any', event()))
    const [ahead, next] = await log.readStream('c35')
    expect(next?.recordedAt).toBe(ahead?.recordedAt)
  })
})
