import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { contentHash } from './encode'
import { event, events, to } from '../testing/event-fixtures'
import { PostgresEventLog } from '../postgres-event-log'
import type { JsonObject, NewEvent } from '../types'

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
      ...[1, 2, 3].map((i) => log.append(to(`c14-${i}`, 'any', event()))),
      log.append(to('c14-bad', 'any', tooLarge)),
      ...[4, 5, 6].map((i) => log.append(to(`c14-${i}`, 'any', event()))),
    ])
    expect(outcomes.map(({ status }) => status).filter((status) => status === 'rejected')).toHaveLength(1)
    expect(outcomes[4]).toMatchObject({ status: 'rejected', reason: { code: 'Invalid' } })
    expect(await log.readStream('c14-6')).toHaveLength(1)
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

  it('C66 dangerous keys are stored and harm nobody', async () => {
    const data = JSON.parse('{"__proto__":{"polluted":true},"constructor":1,"":2}') as JsonObject
    const stored = await storedIn('c66', event({ data }))
    expect(JSON.stringify(stored.data)).toContain('"__proto__":{"polluted":true}')
    expect(({} as JsonObject).polluted).toBeUndefined()
    expect(contentHash(stored, stored)).toBe(stored.contentHash)
  })

  it('C68 an event of 1 MiB is stored, a larger one is refused', async () => {
    const room = 1024 * 1024 - 600
    const stored = await storedIn('c68', event({ data: { text: 'x'.repeat(room) } }))
    expect(stored.data).toEqual({ text: 'x'.repeat(room) })
    const large = event({ data: { text: 'x'.repeat(1024 * 1024) } })
    expect(await refusal(to('c68', 'any', large))).toMatchObject({ code: 'TooLarge' })
  })

  it('C69 ten thousand events in one append, and names of a thousand characters', async () => {
    const stream = 's'.repeat(1000)
    const verdict = await log.append(to(stream, 'none', ...events(10_000)))
    expect(verdict).toMatchObject({ status: 'ok', versions: { [stream]: 10_000 } })
    const stored = await storedIn('c69', event({ type: 't'.repeat(1000) }))
    expect(stored.type).toHaveLength(1000)
  })

  it.each([`it's`, 'say "x"', '100%', 'a;b', 'line\nbreak', '𝒳', '__proto__'])(
    'C70 a stream may be called %j',
    async (name) => {
      const verdict = await log.append(to(name, 'none', event()))
      expect(verdict.status === 'ok' && Object.entries(verdict.versions)).toEqual([[name, 1]])
      expect(await log.readStream(name)).toMatchObject([{ streamId: name, version: 1 }])
    },
  )

  it('C39 reading has limits and a beginning, and nothing beyond the end', async () => {
    await log.append(to('c39', 'none', ...events(5)))
    const versions = async (from?: number, limit?: number) =>
      (await log.readStream('c39', from, limit)).map(({ version }) => version)
    expect(await versions()).toEqual([1, 2, 3, 4, 5])
    expect(await versions(3)).toEqual([3, 4, 5])
    expect(await versions(2, 2)).toEqual([2, 3])
    expect(await versions(6)).toEqual([])
    expect(await log.readStream('c39-unknown')).toEqual([])
    const head = await log.head()
    expect((await log.read(head - 2n, 10)).map(({ position }) => position)).toEqual([head - 1n, head])
    expect(await log.read(head, 10)).toEqual([])
  })

  it('the chain starts from the store and can be computed again from what is read', async () => {
    const { id, epoch } = await log.store()
    expect(epoch).toBe(1)
    let hash = createHash('sha256').update(id).digest()
    for (const stored of await log.read(0n, 50)) {
      const numbers = Buffer.alloc(24)
      numbers.writeBigInt64BE(stored.position, 0)
      numbers.writeBigInt64BE(BigInt(stored.version), 8)
      const micros =
        BigInt(Date.parse(`${stored.recordedAt.slice(0, 19)}Z`)) * 1000n + BigInt(stored.recordedAt.slice(20, 26))
      numbers.writeBigInt64BE(micros, 16)
      hash = createHash('sha256').update(hash).update(Buffer.from(stored.contentHash, 'hex')).update(numbers).digest()
      expect(stored.hash).toBe(hash.toString('hex'))
    }
  })
})
