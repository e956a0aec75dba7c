import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Client } from 'pg'
import { v7 as uuidv7 } from 'uuid'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, events, take, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { seeded } from '../testing/seeded'
import { allAtOnce, openWriters } from '../testing/writers'
import { PostgresEventLog } from '../postgres-event-log'
import type { AppendRequest, Verdict } from '../types'

describe('Many writers', () => {
  let database: TestDatabase
  let log: PostgresEventLog
  let owner: Client
  let writers: Awaited<ReturnType<typeof openWriters>>

  beforeAll(async () => {
    database = await testDatabase(50)
    log = new PostgresEventLog({ pool: database.pool })
    owner = await database.connect()
    writers = await openWriters(database.url, 100)
  })
  afterAll(async () => {
    await writers.close()
    await database.close()
  })

  const oneTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)
  const versionsOf = async (stream: string) => (await log.readStream(stream)).map(({ version }) => version)
  const positionsAfter = async (after: bigint) => (await log.read(after, 100_000)).map(({ position }) => position)
  const following = (after: bigint, count: number) => oneTo(count).map((n) => after + BigInt(n))
  /** Each request by a daemon of its own, all of them waiting for the log before the first gets it. */
  const atOnce = (requests: AppendRequest[]): Promise<Verdict[]> =>
    allAtOnce(owner, requests.length, () => Promise.all(requests.map((request, i) => writers.logs[i]!.append(request))))
  const statuses = (verdicts: Verdict[]) => verdicts.map(({ status }) => status).sort()

  it('C07 two writers at the same version: one wins, the other stores nothing', async () => {
    for (const round of oneTo(10)) {
      const stream = `c07-${round}`
      const head = await log.head()
      await log.append(to(stream, 'none', event()))
      const given = [event(), event()]
      const verdicts = await atOnce(given.map((one) => to(stream, 1, one)))
      expect(statuses(verdicts)).toEqual(['conflict', 'ok'])
      expect(verdicts).toContainEqual(expect.objectContaining({ status: 'conflict', streamId: stream, actual: 2 }))
      const winner = given[verdicts.findIndex(({ status }) => status === 'ok')]
      expect((await log.readStream(stream)).map(({ id }) => id).slice(1)).toEqual([winner?.id])
      expect(await log.head()).toBe(head + 2n)
    }
  })

  it('C08 a hundred connections append to one stream at any version: all succeed, without holes', async () => {
    const head = await log.head()
    const verdicts = await atOnce(oneTo(100).map(() => to('c08', 'any', event())))
    expect(statuses(verdicts)).toEqual(Array(100).fill('ok'))
    expect(await versionsOf('c08')).toEqual(oneTo(100))
    expect(await positionsAfter(head)).toEqual(following(head, 100))
  })

  it('C10 32 writers, each with 50 streams of its own, never meet', async () => {
    const head = await log.head()
    const verdicts = await Promise.all(
      writers.logs.slice(0, 32).map(async (writer, i) => {
        const own: Verdict[] = []
        // One after the other: each append of a writer is a transaction of its own.
        for (const n of oneTo(50)) own.push(await writer.append(to(`c10-${i}-${n}`, 'none', event())))
        return own
      }),
    )
    expect(verdicts.flat().filter(({ status }) => status !== 'ok')).toEqual([])
    expect(await positionsAfter(head)).toEqual(following(head, 1600))
    const { rows } = await owner.query('select deadlocks::int from pg_stat_database where datname = current_database()')
    expect(rows).toEqual([{ deadlocks: 0 }])
  })

  it('C10 not even when each request names the streams in another order', async () => {
    const streams = oneTo(8).map((n) => `c10-shared-${n}`)
    const request = (shift: number): AppendRequest => ({
      streams: streams.map((_, i) => to(streams[(i + shift) % streams.length]!, 'any', event()).streams[0]!),
    })
    for (const round of oneTo(5)) {
      const verdicts = await atOnce(oneTo(8).map((n) => request(n + round)))
      expect(statuses(verdicts)).toEqual(Array(8).fill('ok'))
    }
    expect(await versionsOf('c10-shared-3')).toEqual(oneTo(40))
  })

  it('of fifty who claim one key at once, one gets it', async () => {
    const verdicts = await atOnce(oneTo(50).map((i) => to(`claimant-${i}`, 'none', event({ claims: [take('only')] }))))
    expect(verdicts.filter(({ status }) => status === 'ok')).toHaveLength(1)
    const claimed = await log.claimOwner('name', 'only')
    expect(verdicts.filter(({ status }) => status !== 'ok')).toEqual(
      Array(49).fill({ status: 'claim-taken', scope: 'name', key: 'only', owner: claimed }),
    )
  })

  it('of twenty who decided on the same facts, one is stored', async () => {
    const condition = { after: await log.head(), types: ['AdminRemoved'] }
    const verdicts = await atOnce(
      oneTo(20).map((i) => ({ ...to(`admin-${i}`, 'none', event({ type: 'AdminRemoved' })), condition })),
    )
    expect(statuses(verdicts)).toEqual([...Array<string>(19).fill('condition-failed'), 'ok'])
  })

  it('one command sent ten times at once is executed once and answered ten times', async () => {
    const command = { id: uuidv7(), requestHash: 'aa', result: { n: 1 } }
    const verdicts = await atOnce(oneTo(10).map(() => ({ ...to('once', 'any', event()), command })))
    expect(statuses(verdicts)).toEqual([...Array<string>(9).fill('duplicate'), 'ok'])
    expect(await versionsOf('once')).toEqual([1])
  })

  it('the same events sent ten times at once are stored once', async () => {
    const request = to('same', 'any', ...events(3))
    const verdicts = await atOnce(oneTo(10).map(() => request))
    expect(statuses(verdicts)).toEqual([...Array<string>(9).fill('duplicate'), 'ok'])
    expect(new Set(verdicts.map((verdict) => 'first' in verdict && verdict.first)).size).toBe(1)
    expect(await versionsOf('same')).toEqual([1, 2, 3])
  })

  it('C30 32 writers keep transactions open and roll a fifth back: a reader sees every event once, in order, never a gap', async () => {
    const start = await log.head()
    const random = seeded(20_261_122)
    const committed: string[] = []
    let undone = 0
    const write = async (stream: string) => {
      const tx = await database.connect({ role: 'mcpd_app' })
      for (const _ of oneTo(10)) {
        const given = events(1 + Math.floor(random() * 3))
        await tx.query('begin')
        expect(await log.appendWithin(tx, to(stream, 'any', ...given))).toMatchObject({ status: 'ok' })
        await delay(random() * 20)
        if (random() < 0.2) {
          undone++
          await tx.query('rollback')
        } else {
          await tx.query('commit')
          committed.push(...given.map(({ id }) => id))
        }
      }
      await tx.end()
    }
    const writing = new AbortController()
    const pages: bigint[][] = []
    const ids: string[] = []
    const reader = (async () => {
      for (let after = start; ;) {
        const done = writing.signal.aborted
        const page = await log.read(after, 100)
        if (page.length > 0) pages.push(page.map(({ position }) => position))
        ids.push(...page.map(({ id }) => id))
        after = page.at(-1)?.position ?? after
        if (done && page.length === 0) return
      }
    })()
    await Promise.all(oneTo(32).map((i) => write(`c30-${i}`)))
    writing.abort()
    await reader
    expect(undone).toBeGreaterThan(32)
    // It has read along, not after the fact.
    expect(pages.length).toBeGreaterThan(32)
    expect(pages.flat()).toEqual(following(start, committed.length))
    expect(ids.sort()).toEqual(committed.sort())
  })

  it('C31 a transaction that began before a faster one is not skipped', async () => {
    const [slow, fast] = [await database.connect({ role: 'mcpd_app' }), await database.connect({ role: 'mcpd_app' })]
    const after = await log.head()
    const slowEvent = event()
    const fastEvent = event()
    const transactionId = `select pg_current_xact_id()::text::bigint as id`
    const idOf = async (tx: Client) => BigInt((await tx.query<{ id: string }>(transactionId)).rows[0]!.id)
    await slow.query('begin')
    await fast.query('begin')
    expect(await idOf(slow)).toBeLessThan(await idOf(fast))
    await log.appendWithin(fast, to('c31-fast', 'none', fastEvent))
    await fast.query('commit')
    const [seen, ...more] = await log.read(after, 10)
    expect([seen?.id, more]).toEqual([fastEvent.id, []])
    await log.appendWithin(slow, to('c31-slow', 'none', slowEvent))
    expect(await log.read(seen!.position, 10)).toEqual([])
    await slow.query('commit')
    expect(await log.read(seen!.position, 10)).toMatchObject([{ id: slowEvent.id, position: after + 2n }])
  })

  it('C31 nobody overtakes a transaction that has appended and is still open', async () => {
    const slow = await database.connect({ role: 'mcpd_app' })
    const after = await log.head()
    await slow.query('begin')
    await log.appendWithin(slow, to('c31-open', 'none', event()))
    const overtaking = log.append(to('c31-waits', 'none', event()))
    await eventually(async () => {
      const { rowCount } = await owner.query(`select from pg_stat_activity where wait_event = 'advisory'
        and datname = current_database()`)
      return rowCount === 1
    })
    expect(await log.read(after, 10)).toEqual([])
    await slow.query('commit')
    expect(await overtaking).toMatchObject({ status: 'ok', first: after + 2n })
    expect((await log.read(after, 10)).map(({ streamId }) => streamId)).toEqual(['c31-open', 'c31-waits'])
  })

  it('C33 fifty appends that are rolled back leave no hole', async () => {
    const head = await log.head()
    const tx = await database.connect({ role: 'mcpd_app' })
    for (const n of oneTo(50)) {
      await tx.query('begin')
      const given = [event({ claims: [take('c33')] }), ...events(n % 3)]
      expect(await log.appendWithin(tx, to('c33', 'none', ...given))).toMatchObject({ status: 'ok', first: head + 1n })
      await tx.query('rollback')
    }
    expect(await log.claimOwner('name', 'c33')).toBeUndefined()
    expect(await log.append(to('c33', 'none', event()))).toMatchObject({ status: 'ok', first: head + 1n })
    expect(await versionsOf('c33')).toEqual([1])
  })

  it('C34 two appends of a thousand events at once do not interleave', async () => {
    const head = await log.head()
    const [a, b] = await atOnce([to('c34-a', 'none', ...events(1000)), to('c34-b', 'none', ...events(1000))])
    if (a?.status !== 'ok' || b?.status !== 'ok') throw new Error('both should be stored')
    expect(a.last! - a.first!).toBe(999n)
    expect(b.last! - b.first!).toBe(999n)
    const streams = (await log.read(head, 10_000)).map(({ streamId }) => streamId)
    const [first, second] = a.first! < b.first! ? ['c34-a', 'c34-b'] : ['c34-b', 'c34-a']
    expect(streams).toEqual([...Array<string>(1000).fill(first), ...Array<string>(1000).fill(second)])
  })
})
