import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { Client } from 'pg'
import { v5 as uuidv5 } from 'uuid'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { verifyLog } from '../chain/verify-log'
import { event, release, take, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { seeded } from '../testing/seeded'
import { allAtOnce, openWriters } from '../testing/writers'
import { PostgresEventLog } from '../postgres-event-log'
import type { AppendRequest, ClaimChange, ExpectedVersion, Verdict } from '../types'

const id = (kind: string, n: number) => uuidv5(`${kind} ${n}`, '6f0c9a52-0d5c-4c6a-9a53-5f1f2f6f0a12')

// What a format that separates values by a character, or spells "nothing" somehow, might take for something else.
const odd = [
  'NULL',
  '\\N',
  '{}',
  '{a,"b"}',
  '"',
  "'",
  '\\',
  '\\n',
  '\t',
  '\r',
  '\u2028',
  '\u0085',
  ' ',
  '0',
  'any',
  '𝕏',
]
const broken = ['', '\n', 'two\nlines', '\n\n']

const mostly = <T>(value: fc.Arbitrary<T>, seldom: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 24, arbitrary: value }, { weight: 1, arbitrary: seldom })
const name = (few: number) =>
  mostly(
    fc.nat(few).map((n) => `name ${n}`),
    fc.constantFrom(...odd, 'two\nlines', '\n'),
  )
const text = (usual: string) => mostly(fc.constant(usual), fc.constantFrom(...odd, ...broken))

const claims: fc.Arbitrary<ClaimChange[] | undefined> = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom<ClaimChange[] | undefined>(undefined, []) },
  { weight: 5, arbitrary: fc.nat(60).map((n) => [take(`key ${n}`)]) },
  fc.constantFrom(...odd, ...broken).map((key) => [take(key)]),
  fc.constantFrom(...odd, ...broken).map((scope) => [{ op: 'take' as const, scope, key: 'k' }]),
  fc.nat(60).map((n) => [release(`key ${n}`)]),
)

/** Requests of one event, which meet in their streams, ids, keys and commands all the time. */
const single: fc.Arbitrary<AppendRequest> = fc
  .record({
    streamId: name(25),
    category: text('test'),
    expected: fc.oneof(
      { weight: 6, arbitrary: fc.constant<ExpectedVersion>('any') },
      { weight: 3, arbitrary: fc.constant<ExpectedVersion>('none') },
      fc.constantFrom<ExpectedVersion>('exists', 0, 1, 2, 2 ** 31, Number.MAX_SAFE_INTEGER),
    ),
    n: mostly(fc.nat(100_000), fc.nat(50)),
    type: text('Happened'),
    claims,
    command: fc.option(
      fc.record({ n: fc.nat(300), requestHash: text('aa'), result: fc.constantFrom({}, { n: '\n' }) }),
    ),
  })
  .map(({ streamId, category, expected, n, type, claims: changes, command }) => ({
    streams: [
      {
        streamId,
        category,
        expected,
        events: [event({ id: id('event', n), type, data: { n, text: '\n' }, ...(changes && { claims: changes }) })],
      },
    ],
    ...(command && { command: { ...command, id: id('command', command.n) } }),
  }))

describe('A request of one event', () => {
  let quick: TestDatabase
  let general: TestDatabase
  let judge: Client
  const oneTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

  beforeAll(async () => {
    ;[quick, general] = await Promise.all([testDatabase(), testDatabase()])
    judge = await general.connect({ role: 'mcpd_app' })
  })
  afterAll(async () => {
    await quick.close()
    await general.close()
  })

  /** As `es.append_many` judges a request that is alone. */
  const judged = (request: AppendRequest) => new PostgresEventLog({ pool: general.pool }).appendWithin(judge, request)
  const stored = async ({ pool }: TestDatabase) => {
    const events = await new PostgresEventLog({ pool }).read(0n, 1_000_000)
    const { rows } = await pool.query(`select (select jsonb_agg(c order by scope, key) from es.claim c) as claims,
      (select jsonb_agg(c order by command_id) from es.command c) as commands`)
    return { events: events.map(({ recordedAt: _recordedAt, hash: _hash, ...rest }) => rest), others: rows }
  }

  it('is judged and stored alike alone, in a flush with others, and the general way', async () => {
    const log = new PostgresEventLog({ pool: quick.pool })
    const met = new Set<string>()
    await fc.assert(
      fc.asyncProperty(fc.array(single, { minLength: 1, maxLength: 12 }), fc.boolean(), async (requests, together) => {
        const verdicts: Verdict[] = together ? await Promise.all(requests.map((one) => log.append(one))) : []
        if (!together) for (const one of requests) verdicts.push(await log.append(one))
        const expected = []
        for (const one of requests) expected.push(await judged(one))
        expect(verdicts).toEqual(expected)
        verdicts.forEach(({ status }) => met.add(status))
      }),
      // The stores grow from run to run, so a failure could not be shrunk.
      { numRuns: 100, seed: 20261123, endOnFailure: true },
    )
    expect(await stored(quick)).toEqual(await stored(general))
    expect([...met].sort()).toEqual(['claim-taken', 'command-mismatch', 'conflict', 'duplicate', 'ok'])
    expect(await verifyLog(quick.pool)).toMatchObject({ ok: true })
  })

  it('gets, among appends of other processes, a verdict that it could have got alone at some moment', async () => {
    const [racing, replay] = await Promise.all([testDatabase(60), testDatabase()])
    const writers = await openWriters(racing.url, 6)
    try {
      const before = new PostgresEventLog({ pool: replay.pool })
      for (const i of oneTo(6)) await before.append(to(`warm-up-${i - 1}`, 'any', event()))
      const holder = await racing.connect()
      const requests = fc.sample(single, { numRuns: 90, seed: 20261123 })
      const asked = requests.map((request, i) => ({ request, writer: writers.logs[i % 6]! }))
      const verdicts = await allAtOnce(holder, 6, () =>
        Promise.all(asked.map(({ request, writer }) => writer.append(request))),
      )
      await explained(replay, requests, verdicts)
    } finally {
      await writers.close()
      await racing.close()
      await replay.close()
    }
  })

  /** Stores what was accepted in the order of its positions; every refusal must be the answer somewhere on the way. */
  const explained = async (replay: TestDatabase, requests: AppendRequest[], verdicts: Verdict[]) => {
    const log = new PostgresEventLog({ pool: replay.pool })
    const tx = await replay.connect({ role: 'mcpd_app' })
    const pairs = requests.map((request, i) => ({ request, verdict: verdicts[i]! }))
    let open = pairs.filter(({ verdict }) => verdict.status !== 'ok')
    const settle = async () => {
      const left: typeof open = []
      for (const pair of open) {
        await tx.query('begin')
        const answer = await log.appendWithin(tx, pair.request)
        await tx.query('rollback')
        if (JSON.stringify(textual(answer)) !== JSON.stringify(textual(pair.verdict))) left.push(pair)
      }
      open = left
    }
    const accepted = pairs.flatMap(({ request, verdict }) => (verdict.status === 'ok' ? [{ request, verdict }] : []))
    accepted.sort((one, other) => Number(one.verdict.first! - other.verdict.first!))
    expect(accepted.length).toBeGreaterThan(30)
    expect(open.length).toBeGreaterThan(10)
    for (const { request, verdict } of accepted) {
      await settle()
      expect(await log.appendWithin(tx, request)).toEqual(verdict)
    }
    await settle()
    expect(open).toEqual([])
  }
  const textual = (verdict: Verdict) =>
    Object.entries(verdict)
      .map(([key, value]: [string, unknown]) => [key, typeof value === 'bigint' ? String(value) : value])
      .sort(([one], [other]) => (String(one) < String(other) ? -1 : 1))

  it('that PostgreSQL cannot hold fails alone: the others of its flush are stored', async () => {
    const log = new PostgresEventLog({ pool: quick.pool })
    const unheard = to('unheard', 'any', event({ schemaVersion: 2 ** 31 }))
    const [first, second, third] = await Promise.allSettled([
      log.append(to('beside', 'none', event())),
      log.append(unheard),
      log.append(to('beside', 1, event())),
    ])
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'Invalid' } })
    expect([first, third]).toMatchObject([{ value: { status: 'ok' } }, { value: { status: 'ok' } }])
    await expect(log.append(unheard)).rejects.toMatchObject({ code: 'Invalid' })
    expect(await log.readStream('unheard')).toEqual([])
  })

  it('is stored once or not at all when its connection ends between the quick way and the general one', async () => {
    const { logs, close } = await openWriters(quick.url, 1)
    const owner = await quick.connect()
    const [writer] = logs
    await writer!.append(to('between', 'none', event({ claims: [take('between')] })))
    const random = seeded(7)
    try {
      for (const n of oneTo(30)) {
        const known = to(`between-${n}`, 'none', event({ claims: [take('between')] }))
        const fresh = to(`fresh-${n}`, 'none', event())
        const asking = Promise.allSettled([writer!.append(fresh), writer!.append(known), writer!.append(known)])
        for (let turns = Math.floor(random() * 8); turns > 0; turns--) await owner.query('select 1')
        await owner.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'writer' and datname = current_database()`,
        )
        const refusals = (await asking).filter((answer) => answer.status === 'rejected')
        for (const { reason } of refusals) expect(reason).toMatchObject({ code: 'Unavailable' })
        expect(await asked(writer!, fresh)).toMatchObject({ status: expect.stringMatching(/^(ok|duplicate)$/) })
        expect(await asked(writer!, known)).toMatchObject({ status: 'claim-taken', owner: 'between' })
        expect(await writer!.readStream(`fresh-${n}`)).toHaveLength(1)
      }
    } finally {
      await close()
    }
    expect(await verifyLog(quick.pool)).toMatchObject({ ok: true })
  })

  /** A connection that is about to end may be met more than once. */
  const asked = async (log: PostgresEventLog, request: AppendRequest): Promise<Verdict> => {
    let verdict: Verdict | undefined
    await eventually(async () => {
      verdict = await log.append(request).catch(refusedForNow)
      return verdict !== undefined
    })
    return verdict!
  }
  const refusedForNow = (error: unknown): undefined => {
    expect(error).toMatchObject({ code: 'Unavailable' })
  }

  it('as the very first of a log, alone and in a flush', async () => {
    for (const count of [1, 3]) {
      const empty = await testDatabase()
      const log = new PostgresEventLog({ pool: empty.pool })
      const verdicts = await Promise.all(oneTo(count).map((n) => log.append(to(`first-${n}`, 'none', event()))))
      expect(verdicts.map((verdict) => verdict.status === 'ok' && verdict.first)).toEqual(oneTo(count).map(BigInt))
      expect(await verifyLog(empty.pool)).toMatchObject({ ok: true, events: BigInt(count) })
      await empty.close()
    }
  })

  it('takes, whoever calls the database himself, no key that its event does not name', async () => {
    const app = await quick.connect({ role: 'mcpd_app' })
    const { rows } = await app.query<{ door: string; types: string[]; names: string[] }>(
      `select p.oid::regproc::text as door, p.proargnames as names from pg_proc p
       where pronamespace = 'es'::regnamespace and proname in ('append_alone', 'append_columns')`,
    )
    expect(rows).toHaveLength(2)
    const one: Record<string, string> = {
      ...{ stream: 'raw', category: 'test', expected: 'any', type: 'T', schema_version: '1', data: '{}', meta: '{}' },
      ...{ content: `\\x${'00'.repeat(32)}`, scope: 'name', key: 'unnamed', claims: '' },
    }
    const singular = (named: string) =>
      ({ categories: 'category', expectations: 'expected', content_hashes: 'content' })[named] ??
      named.replace(/s$/, '')
    for (const { door, names } of rows) {
      const given: Record<string, string | undefined> = { ...one, id: event().id }
      const values = names.map((named) => given[named] ?? given[singular(named)] ?? null)
      const slots = names.map((_, n) => `$${n + 1}`).join(', ')
      await app
        .query(
          `select ${door}(${slots})`,
          values.map((value) => (value === '' ? null : value)),
        )
        .catch(() => undefined)
    }
    expect(await verifyLog(quick.pool)).toMatchObject({ problem: 'content' })
    const { rows: unnamed } = await app.query(`select c.key from es.claim c where not exists (select from es.event e
      where e.stream_id = c.stream_id and e.claims @> jsonb_build_array(jsonb_build_object('scope', c.scope, 'key', c.key)))`)
    expect(unnamed).toEqual([])
  })
})
