import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { DomainError } from '@mcpctl/contracts'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { canonicalEvent, contentHash } from './event-text'
import { chained, genesis } from '../testing/chain'
import { event, events, take, to } from '../testing/event-fixtures'
import { PostgresEventLog } from '../postgres-event-log'
import type { AppendRequest, ClaimChange, JsonObject, NewEvent } from '../types'

const mebibyte = 1024 * 1024

describe('What an event holds', () => {
  let database: TestDatabase
  let log: PostgresEventLog

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
  })
  afterAll(() => database.close())

  const storedIn = async (stream: string, given: NewEvent) => {
    expect(await log.append(to(stream, 'none', given))).toMatchObject({ status: 'ok' })
    const [stored] = await log.readStream(stream)
    if (!stored) throw new Error('not stored')
    return stored
  }

  const oneTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)
  const refusal = async (request: Parameters<typeof log.append>[0]): Promise<DomainError> => {
    const outcome = await log.append(request).catch((error: unknown) => error)
    if (!(outcome instanceof DomainError)) throw new Error('should have been refused')
    return outcome
  }

  const unstorable: [string, unknown, string][] = [
    ['C61 U+0000 in a value', { a: 'x\u0000y' }, '/streams/0/events/0/data/a'],
    ['C61 U+0000 in a key', { 'x\u0000y': 1 }, '/streams/0/events/0/data'],
    ['C62 half of a surrogate pair', { a: ['\ud800'] }, '/streams/0/events/0/data/a/0'],
    ['C67 undefined', { a: { b: undefined } }, '/streams/0/events/0/data/a/b'],
    ['C67 NaN', { a: Number.NaN }, '/streams/0/events/0/data/a'],
    ['C67 a Date', { 'a/b': new Date(0) }, '/streams/0/events/0/data/a~1b'],
    ['C67 a Map', { a: new Map() }, '/streams/0/events/0/data/a'],
    ['C67 a bigint', { a: 1n }, '/streams/0/events/0/data/a'],
    ['C67 a function', { a: () => 1 }, '/streams/0/events/0/data/a'],
  ]
  it.each(unstorable)('%s is refused and nothing is stored', async (_, data, pointer) => {
    const head = await log.head()
    const error = await refusal(to('refused', 'any', event({ data: data as JsonObject })))
    expect(error.code).toBe('Invalid')
    expect(error.details.errors).toMatchObject([{ pointer }])
    expect(await log.head()).toBe(head)
  })

  const nul = 'x\u0000y'
  it.each([
    ['a stream id', to(nul, 'any', event())],
    ['a category', { streams: [{ streamId: 'a', category: nul, expected: 'any' as const, events: [event()] }] }],
    ['an event type', to('a', 'any', event({ type: nul }))],
    ['meta', to('a', 'any', event({ meta: { actor: { uid: 'u', name: nul } } }))],
    ['the scope of a claim', to('a', 'any', event({ claims: [{ op: 'take', scope: nul, key: 'k' }] }))],
    ['the key of a claim', to('a', 'any', event({ claims: [take(nul)] }))],
    ['a condition', { ...to('a', 'any', event()), condition: { after: 0n, types: [nul] } }],
    ['a fence', { ...to('a', 'any', event()), fence: { name: nul, term: 1 } }],
    ['the answer of a command', { streams: [], command: { id: event().id, requestHash: '', result: { a: nul } } }],
  ])('C61 U+0000 in %s is refused before it reaches the database', async (_, request) => {
    expect(await refusal(request)).toMatchObject({ code: 'Invalid' })
  })

  it.each([
    ['C61 U+0000 in JSON', '"x\\u0000y"', '22P05'],
    ['C62 half of a surrogate pair in JSON', '"\\ud800"', '22P02'],
  ])('%s is refused by the database as well', async (_, text, code) => {
    const head = await log.head()
    const item = `{"hash":"00","event":{"id":"${event().id}","type":"T","schemaVersion":1,"data":{"a":${text}},"meta":{}}}`
    const request = `[{"streams":[{"streamId":"raw","category":"test","expected":"any","events":[${item}]}]}]`
    await expect(database.pool.query('select es.append_many($1)', [request])).rejects.toMatchObject({ code })
    expect(await log.head()).toBe(head)
  })

  it('nesting without end is refused', async () => {
    const data: JsonObject = {}
    data.self = data
    expect(await refusal(to('deep', 'any', event({ data })))).toMatchObject({ code: 'Invalid' })
  })

  it('a value that was refused is not repeated in the error', async () => {
    const error = await refusal(to('secret', 'any', event({ data: { token: 'hunter2\u0000' } })))
    expect(JSON.stringify([error.message, error.details])).not.toContain('hunter2')
  })

  it.each([
    ['an event id in upper case', to('a', 'any', event({ id: '018F0000-0000-7000-8000-00000000000A' }))],
    ['an event id that is none', to('a', 'any', event({ id: 'one' }))],
    ['C70 a reserved stream id', to('$all', 'any', event())],
    ['an empty stream id', to('', 'any', event())],
    ['a fractional version', to('a', 1.5, event())],
    ['a negative version', to('a', -1, event())],
    ['an unknown expectation', to('a', 'sometimes' as 'any', event())],
    ['a fractional schema version', to('a', 'any', event({ schemaVersion: 0.5 }))],
  ])('%s is refused', async (_, request) => {
    expect(await refusal(request)).toMatchObject({ code: 'Invalid' })
  })

  it('C14 a request that PostgreSQL refuses fails alone, its neighbours in the flush are stored', async () => {
    const tooLarge = event({ schemaVersion: 2 ** 40 })
    const outcomes = await Promise.allSettled([
      log.append(to('c14-first', 'any', event())),
      ...oneTo(3).map((i) => log.append(to(`c14-${i}`, 'any', event()))),
      log.append(to('c14-bad', 'any', tooLarge)),
      log.append(to('c14-nul', 'any', event({ data: { text: 'x\u0000y' } }))),
      ...[4, 5, 6].map((i) => log.append(to(`c14-${i}`, 'any', event()))),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual([
      ...Array<string>(4).fill('fulfilled'),
      'rejected',
      'rejected',
      ...Array<string>(3).fill('fulfilled'),
    ])
    for (const refused of outcomes.slice(4, 6)) expect(refused).toMatchObject({ reason: { code: 'Invalid' } })
    for (const i of oneTo(6)) expect(await log.readStream(`c14-${i}`)).toHaveLength(1)
    expect(await log.readStream('c14-bad')).toEqual([])
  })

  it('C63 text of any script comes back equal', async () => {
    const data = {
      emoji: '👩‍👩‍👧 ✓',
      combining: 'e\u0301',
      rtl: 'שלום',
      separators: '\u2028\u2029',
      controls: '\u0001\t\n',
    }
    expect((await storedIn('c63', event({ data }))).data).toEqual(data)
  })

  it('C64 the content hash of what is read back is the one that was stored', async () => {
    const data = {
      z: 1,
      a: [1e21, 1.5, -0, 0.1, 1e-7, true, null],
      é: { y: 1, x: 2 },
      '': 'empty key',
      '10': 1,
      '9': 2,
    }
    const given = event({ data, claims: [{ op: 'take', scope: 'name', key: 'c64' }] })
    const stored = await storedIn('c64', given)
    expect(stored.contentHash).toBe(contentHash({ streamId: 'c64', category: 'test' }, given))
    expect(contentHash(stored, stored)).toBe(stored.contentHash)
  })

  it('C64 order of keys, white space and keys written twice make no difference', async () => {
    const text = '{ "b" : [ 1.50, 10e1 ],\n\t"a": {"y":1,"x":2}, "twice": 1, "twice": 2 }'
    const given = event({ data: JSON.parse(text) as JsonObject })
    const same = { ...given, data: { a: { x: 2, y: 1 }, twice: 2, b: [1.5, 100] } }
    const stored = await storedIn('c64-order', given)
    expect(stored.data).toEqual(same.data)
    expect(stored.contentHash).toBe(contentHash({ streamId: 'c64-order', category: 'test' }, same))
    expect(contentHash(stored, stored)).toBe(stored.contentHash)
  })

  it('C64 holds for any JSON', async () => {
    const storable = fc.jsonValue({ maxDepth: 4 }).filter((value) => !/\\u(0000|d[89a-f])/i.test(JSON.stringify(value)))
    const values = fc.sample(storable, { numRuns: 300, seed: 64 })
    const given = values.map((value) => event({ data: { value: value as JsonObject } }))
    await log.append(to('c64-any', 'none', ...given))
    const stored = await log.readStream('c64-any')
    // As JSON has it: there is no negative zero.
    expect(stored.map(({ data }) => data)).toEqual(JSON.parse(JSON.stringify(given.map(({ data }) => data))))
    for (const one of stored) expect(contentHash(one, one)).toBe(one.contentHash)
  })

  it('C66 dangerous keys are stored and harm nobody', async () => {
    const data = JSON.parse('{"__proto__":{"polluted":true},"constructor":1,"":2}') as JsonObject
    const stored = await storedIn('c66', event({ data }))
    expect(JSON.stringify(stored.data)).toContain('"__proto__":{"polluted":true}')
    expect(({} as JsonObject).polluted).toBeUndefined()
    expect(contentHash(stored, stored)).toBe(stored.contentHash)
  })

  it('C68 an event of 1 MiB is stored, a byte more is refused', async () => {
    const empty = event({ data: { text: '' } })
    const room = mebibyte - Buffer.byteLength(canonicalEvent({ streamId: 'c68', category: 'test' }, empty))
    const text = 'x'.repeat(room)
    expect(await refusal(to('c68', 'any', event({ data: { text: `${text}x` } })))).toMatchObject({ code: 'TooLarge' })
    expect((await storedIn('c68', { ...empty, data: { text } })).data).toEqual({ text })
  })

  it('C68 what is far too large is refused without asking the database', async () => {
    const head = await log.head()
    const text = 'x'.repeat(256 * mebibyte)
    expect(await refusal(to('c68-string', 'any', event({ data: { text } })))).toMatchObject({ code: 'TooLarge' })
    const many = Array.from({ length: 65 }, () => event({ data: { text: 'x'.repeat(mebibyte - 1000) } }))
    expect(await refusal(to('c68-many', 'any', ...many))).toMatchObject({ code: 'TooLarge' })
    expect(await log.head()).toBe(head)
  })

  it('C69 ten thousand events in one append', async () => {
    const given = events(10_000)
    const verdict = await log.append(to('c69', 'none', ...given))
    expect(verdict).toMatchObject({ status: 'ok', versions: { c69: 10_000 } })
    const stored = await log.readStream('c69')
    expect(stored.map(({ id }) => id)).toEqual(given.map(({ id }) => id))
    expect(stored.map(({ version }) => version)).toEqual(oneTo(10_000))
    expect(await log.append(to('c69', 'none', ...given))).toMatchObject({ status: 'duplicate' })
  })

  it('C69 names of a thousand characters', async () => {
    const [streamId, category, type] = ['s', 'c', 't'].map((letter) => letter.repeat(1000)) as [string, string, string]
    await log.append({ streams: [{ streamId, category, expected: 'none', events: [event({ type })] }] })
    expect(await log.readStream(streamId)).toMatchObject([{ streamId, category, type, version: 1 }])
  })

  it('C69 names that no index can hold are refused as too large, and nobody else suffers', async () => {
    const endless = () => randomBytes(8_000).toString('hex')
    const outcomes = await Promise.allSettled([
      log.append(to('c69-before', 'any', event())),
      log.append(to(endless(), 'any', event())),
      log.append(to('c69-type', 'any', event({ type: endless() }))),
      log.append(to('c69-claim', 'any', event({ claims: [take(endless())] }))),
      log.append(to('c69-after', 'any', event())),
    ])
    expect(outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'stored'))).toEqual([
      'stored',
      ...Array<string>(3).fill('TooLarge'),
      'stored',
    ])
    for (const stream of ['c69-type', 'c69-claim']) expect(await log.readStream(stream)).toEqual([])
  })

  const hostileNames = [
    `it's`,
    'say "x"',
    '100%',
    'a;b',
    `'); drop table es.event; --`,
    '$1',
    '\\',
    '{a,b}',
    'null',
    'line\nbreak',
    '𝒳',
    '__proto__',
    ' ',
  ]
  it.each(hostileNames.filter((name) => !name.startsWith('$')))('C70 a stream may be called %j', async (name) => {
    const verdict = await log.append(to(name, 'none', event()))
    expect(verdict.status === 'ok' && Object.entries(verdict.versions)).toEqual([[name, 1]])
    expect(await log.readStream(name)).toMatchObject([{ streamId: name, version: 1 }])
  })

  it.each(hostileNames)('C70 a category, a type, a key and a scope may be called %j', async (name) => {
    const after = await log.head()
    const claims: ClaimChange[] = [{ op: 'take', scope: name, key: name }]
    const stream = `c70-${name}`
    const request: AppendRequest = {
      streams: [{ streamId: stream, category: name, expected: 'none', events: [event({ type: name, claims })] }],
    }
    expect(await log.append(request)).toMatchObject({ status: 'ok' })
    expect(await log.readStream(stream)).toMatchObject([{ category: name, type: name, claims }])
    expect(await log.claimOwner(name, name)).toBe(stream)
    const condition = { after, types: ['Another', name], streams: ['another', stream] }
    const verdict = await log.append({ ...to('c70-condition', 'any', event()), condition })
    expect(verdict).toEqual({ status: 'condition-failed', position: after + 1n })
  })

  it('the chain starts from the store and can be computed again from what is read', async () => {
    const { id, epoch } = await log.store()
    expect(epoch).toBe(1)
    let hash = genesis(id)
    for (const stored of await log.read(0n, 50)) {
      hash = chained(hash, stored)
      expect(stored.hash).toBe(hash)
    }
  })
})
