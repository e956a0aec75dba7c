import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { v5 as uuidv5 } from 'uuid'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, release, take, to } from '../testing/event-fixtures'
import { PostgresEventLog } from '../postgres-event-log'
import type { AppendRequest, ClaimChange, ExpectedVersion } from '../types'

const seed = '6f0c9a52-0d5c-4c6a-9a53-5f1f2f6f0a11'
const id = (kind: string, n: number) => uuidv5(`${kind} ${n}`, seed)

// Few streams, ids and keys, so that requests of one flush meet all the time.
const streamName = fc.constantFrom('a', 'b', 'c')
const claim: fc.Arbitrary<ClaimChange> = fc
  .record({ taken: fc.boolean(), key: fc.constantFrom('x', 'y') })
  .map(({ taken, key }) => (taken ? take(key) : release(key)))
const newEvent = fc
  .record({
    n: fc.nat(3000),
    type: fc.constantFrom('Made', 'Changed'),
    claims: fc.oneof(
      { weight: 9, arbitrary: fc.constant<ClaimChange[]>([]) },
      fc.array(claim, { minLength: 1, maxLength: 2 }),
    ),
  })
  .map(({ n, type, claims }) => event({ id: id('event', n), type, data: { n }, claims }))
const streamAppend = fc.record({
  streamId: streamName,
  category: fc.constant('test'),
  expected: fc.oneof(
    { weight: 6, arbitrary: fc.constant<ExpectedVersion>('any') },
    fc.constantFrom<ExpectedVersion>('none', 'exists'),
    fc.nat(8),
  ),
  events: fc.array(newEvent, { minLength: 1, maxLength: 3 }),
})
const command = fc
  .record({ n: fc.nat(200), requestHash: fc.constantFrom('aa', 'aa', 'bb') })
  .map(({ n, requestHash }) => ({ id: id('command', n), requestHash, result: { n } }))
const seldom = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { freq: 12, nil: undefined })

const plain: fc.Arbitrary<AppendRequest> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ streams: fc.tuple(streamAppend) }) },
  fc.record({ streams: fc.tuple(streamAppend), command }),
)
const any: fc.Arbitrary<AppendRequest> = fc.oneof(
  plain,
  fc
    .record({
      streams: fc.array(streamAppend, { maxLength: 3 }),
      command: seldom(command),
      fence: seldom(fc.record({ name: fc.constant('leader'), term: fc.constantFrom(1, 2, 3) })),
      condition: seldom(
        fc.record({ after: fc.bigInt(0n, 60n), types: fc.constantFrom<string[]>(['Made'], ['Never', 'Changed']) }),
      ),
    })
    .map(({ streams, command, fence, condition }) => ({
      streams,
      ...(command && { command }),
      ...(fence && { fence }),
      ...(condition && { condition }),
    })),
)

// Mostly streams, ids and keys that nobody else names: whole flushes are accepted, and now and then one of them is not.
const single: fc.Arbitrary<AppendRequest> = fc
  .record({
    streamId: fc.nat(400).map((n) => `single ${n}`),
    expected: fc.oneof(
      { weight: 9, arbitrary: fc.constant<ExpectedVersion>('none') },
      { weight: 3, arbitrary: fc.constant<ExpectedVersion>('any') },
      fc.constantFrom<ExpectedVersion>('exists', 1),
    ),
    n: fc.nat(100_000),
    key: fc.option(fc.nat(3000).map(String)),
    command: fc.option(fc.nat(3000)),
  })
  .map(({ streamId, expected, n, key, command }) => ({
    streams: [
      {
        streamId,
        category: 'test',
        expected,
        events: [event({ id: id('single', n), data: { n }, claims: key === null ? [] : [take(key)] })],
      },
    ],
    ...(command !== null && { command: { id: id('single', command), requestHash: 'aa', result: { command } } }),
  }))

describe('A flush', () => {
  let together: TestDatabase
  let oneByOne: TestDatabase
  const statuses = new Set<string>()

  beforeAll(async () => {
    ;[together, oneByOne] = await Promise.all([testDatabase(), testDatabase()])
    for (const { pool } of [together, oneByOne])
      await pool.query(`select es.next_term('leader', 'x'), es.next_term('leader', 'x')`)
  })
  afterAll(async () => {
    await together.close()
    await oneByOne.close()
  })

  const contents = async (log: PostgresEventLog) =>
    (await log.read(0n, 1_000_000)).map(({ recordedAt: _recordedAt, hash: _hash, ...rest }) => rest)

  it.each([
    ['of plain requests', plain, 12],
    ['of any requests', any, 12],
    ['of one event each', single, 6],
    ['of many with one event each', single, 40],
  ])('%s is judged like the same requests one after the other', async (_, request, maxLength) => {
    const [a, b] = [new PostgresEventLog({ pool: together.pool }), new PostgresEventLog({ pool: oneByOne.pool })]
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 2, maxLength }), async (requests) => {
        const inOneFlush = await Promise.all(requests.map((one) => a.append(one)))
        const inTurn = []
        for (const one of requests) inTurn.push(await b.append(one))
        expect(inOneFlush).toEqual(inTurn)
        inTurn.forEach(({ status }) => statuses.add(status))
      }),
      // The stores grow from run to run, so a failure could not be shrunk.
      { numRuns: 60, seed: 20261122, endOnFailure: true },
    )
    expect(await contents(a)).toEqual(await contents(b))
  })

  it('met every verdict in doing so', () => {
    expect([...statuses].sort()).toEqual([
      'claim-taken',
      'command-mismatch',
      'condition-failed',
      'conflict',
      'duplicate',
      'fenced',
      'ok',
    ])
  })

  describe('judges each request on what the accepted ones before it have left', () => {
    let log: PostgresEventLog
    beforeAll(() => {
      log = new PostgresEventLog({ pool: together.pool })
    })
    const flush = (...requests: AppendRequest[]) => Promise.all(requests.map((request) => log.append(request)))
    const oneOf = (type: string) => event({ type })

    it('a key that one gives back is free for the next, and taken for the one after that', async () => {
      const verdicts = await flush(
        to('first', 'any', event({ claims: [take('passed-on')] })),
        to('second', 'any', event({ claims: [take('passed-on')] })),
        to('first', 'any', event({ claims: [release('passed-on')] })),
        to('third', 'any', event({ claims: [take('passed-on')] })),
        to('first', 'any', event({ claims: [take('passed-on')] })),
      )
      const held = (owner: string) => ({ status: 'claim-taken', scope: 'name', key: 'passed-on', owner })
      expect(verdicts).toMatchObject([
        { status: 'ok' },
        held('first'),
        { status: 'ok' },
        { status: 'ok' },
        held('third'),
      ])
    })

    it('an event breaks the conditions of those behind it, unless it was refused itself', async () => {
      const after = await log.head()
      const unless = (type: string, streams?: string[]) => ({
        condition: { after, types: [type], ...(streams && { streams }) },
      })
      const verdicts = await flush(
        { ...to('watched', 'any', oneOf('Broke')), ...unless('Broke') },
        { ...to('watched', 'any', oneOf('Broke')), ...unless('Broke') },
        { ...to('other', 'any', event()), ...unless('Broke', ['elsewhere']) },
        { ...to('other', 'any', event()), ...unless('Broke', ['elsewhere', 'watched']) },
        to('watched', 'none', oneOf('Never')),
        { ...to('other', 'any', event()), ...unless('Never') },
      )
      const failed = { status: 'condition-failed', position: after + 1n }
      expect(verdicts).toMatchObject([
        { status: 'ok' },
        failed,
        { status: 'ok' },
        failed,
        { status: 'conflict' },
        { status: 'ok' },
      ])
    })

    it('a condition names types exactly, not those that sort beside them', async () => {
      const after = await log.head()
      const beside = ['Gran', 'Grante', 'Granted!', 'GrantedToo', 'granted', 'GRANTED', 'Grantee', '']
      await flush(...beside.map((type) => to('beside', 'any', oneOf(type))))
      const condition = { after, types: ['Granted', 'H', 'A'] }
      expect(await flush({ ...to('beside', 'any', event()), condition })).toMatchObject([{ status: 'ok' }])
      const [granted] = await flush(to('beside', 'any', oneOf('Granted')))
      const position = granted?.status === 'ok' ? granted.first : undefined
      expect(await flush({ ...to('beside', 'any', event()), condition })).toEqual([
        { status: 'condition-failed', position },
      ])
    })

    it('a condition without types asks nothing, and one from the future nothing yet', async () => {
      const head = await log.head()
      const verdicts = await flush(
        { ...to('empty', 'any', oneOf('Asked')), condition: { after: 0n, types: [] } },
        { ...to('empty', 'any', event()), condition: { after: head + 1_000n, types: ['Asked'] } },
        { ...to('empty', 'any', event()), condition: { after: 0n, types: ['Asked'], streams: [] } },
      )
      expect(verdicts.map(({ status }) => status)).toEqual(['ok', 'ok', 'ok'])
    })

    it('a fence holds for its own requests only', async () => {
      const under = (term: number) => ({ ...to('fenced', 'any', event()), fence: { name: 'leader', term } })
      const verdicts = await flush(under(2), under(1), under(3), to('fenced', 'any', event()))
      expect(verdicts.map(({ status }) => status)).toEqual(['ok', 'fenced', 'ok', 'ok'])
    })
  })

  it('answers each request with its own positions, also behind one that is refused', async () => {
    const log = new PostgresEventLog({ pool: together.pool })
    await log.append(to('second-try', 'none', event()))
    const head = await log.head()
    const command = (id: string) => ({ id, requestHash: 'aa', result: { of: id } })
    const [first, second] = [event().id, event().id]
    const verdicts = await Promise.all([
      log.append(to('second-try', 'none', event())),
      log.append({ ...to('second-try', 1, event(), event()), command: command(first) }),
      log.append(to('second-try', 1, event())),
      log.append({ ...to('bystander', 'none', event()), command: command(second) }),
    ])
    expect(verdicts).toMatchObject([
      { status: 'conflict', actual: 1 },
      { status: 'ok', first: head + 1n, last: head + 2n, versions: { 'second-try': 3 } },
      { status: 'conflict', actual: 3 },
      { status: 'ok', first: head + 3n, last: head + 3n, versions: { bystander: 1 } },
    ])
    expect(await log.command(first)).toMatchObject({ first: head + 1n, last: head + 2n, result: { of: first } })
    expect(await log.command(second)).toMatchObject({ first: head + 3n, last: head + 3n, result: { of: second } })
  })

  it('knows what comes twice in it: the second is a duplicate, whatever was expected', async () => {
    const log = new PostgresEventLog({ pool: together.pool })
    const once = to('twice', 'none', event())
    const command = { id: event().id, requestHash: 'aa', result: { n: 1 } }
    const commanded = () => ({ ...to('commanded-twice', 'none', event()), command })
    const verdicts = await Promise.all([
      ...[once, once, commanded(), commanded()].map((request) => log.append(request)),
      log.append({ ...commanded(), command: { ...command, requestHash: 'bb' } }),
    ])
    expect(verdicts.map(({ status }) => status)).toEqual(['ok', 'duplicate', 'ok', 'duplicate', 'command-mismatch'])
    expect(verdicts[1]).toMatchObject({ first: (verdicts[0] as { first: bigint }).first })
    expect(verdicts[3]).toMatchObject({ result: { n: 1 } })
  })

  it('notifies once, with the last position', async () => {
    const log = new PostgresEventLog({ pool: together.pool })
    const listener = await together.connect()
    const heard: string[] = []
    listener.on('notification', ({ payload }) => heard.push(payload ?? ''))
    await listener.query('listen es_event')
    await Promise.all(
      ['n1', 'n2', 'n3'].map((streamId) =>
        log.append({ streams: [{ streamId, category: 'test', expected: 'none', events: [event()] }] }),
      ),
    )
    await listener.query('select 1')
    expect(heard).toEqual([String(await log.head())])
  })
})
