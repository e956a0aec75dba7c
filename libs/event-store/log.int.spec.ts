import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { testDatabase, type TestDatabase } from '../../test/support/database'
import { event, events, to } from './testing/event-fixtures'
import { PostgresEventLog } from './postgres-event-log'
import type { EventFilter, RecordedEvent, StreamRange } from './types'

// So many questions, on a busy machine: a limit against hanging.
const minutes = 300_000
const oneTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

describe('Reading the log', () => {
  let database: TestDatabase
  let log: PostgresEventLog

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
  })
  afterAll(() => database.close())

  describe('a stream in parts', () => {
    beforeAll(async () => {
      await log.append(to('c39', 'none', ...events(5)))
      await log.append(to('c39-beside', 'none', ...events(3)))
    })
    const cases: [string, StreamRange, number[]][] = [
      ['everything', {}, [1, 2, 3, 4, 5]],
      ['from its first version', { from: 1 }, [1, 2, 3, 4, 5]],
      ['from before its first version', { from: 0 }, [1, 2, 3, 4, 5]],
      ['from a version, included', { from: 3 }, [3, 4, 5]],
      ['from its last version', { from: 5 }, [5]],
      ['past its end', { from: 6 }, []],
      ['far past its end', { from: Number.MAX_SAFE_INTEGER }, []],
      ['at most so many', { limit: 2 }, [1, 2]],
      ['at most so many from a version', { from: 2, limit: 2 }, [2, 3]],
      ['fewer than the limit', { from: 4, limit: 100 }, [4, 5]],
      ['as many as there are', { limit: 5 }, [1, 2, 3, 4, 5]],
      ['none at all', { limit: 0 }, []],
      ['backwards', { backwards: true }, [5, 4, 3, 2, 1]],
      ['backwards from a version, included', { from: 3, backwards: true }, [3, 2, 1]],
      ['backwards from past its end', { from: 9, backwards: true }, [5, 4, 3, 2, 1]],
      ['backwards from its first version', { from: 1, backwards: true }, [1]],
      ['backwards from before its first version', { from: 0, backwards: true }, []],
      ['backwards at most so many', { limit: 2, backwards: true }, [5, 4]],
      ['backwards at most so many from a version', { from: 4, limit: 2, backwards: true }, [4, 3]],
      ['backwards the last one', { limit: 1, backwards: true }, [5]],
    ]

    it.each(cases)('C39 %s', async (_, range, versions) => {
      expect((await log.readStream('c39', range)).map(({ version }) => version)).toEqual(versions)
      expect((await log.getStream('c39', range)).map(({ version }) => version)).toEqual(versions)
    })

    it('C39 a stream that no event was appended to is empty, or NotFound for who asks for it', async () => {
      for (const range of [{}, { from: 3 }, { backwards: true }, { limit: 0 }]) {
        expect(await log.readStream('c39-unknown', range)).toEqual([])
        await expect(log.getStream('c39-unknown', range)).rejects.toMatchObject({
          code: 'NotFound',
          message: 'there is no stream "c39-unknown"',
        })
      }
    })

    it('C39 the log itself, after a position and to its end', async () => {
      const head = await log.head()
      const positions = async (after: bigint, limit: number) =>
        (await log.read(after, limit)).map(({ position }) => position)
      expect(await positions(head - 2n, 10)).toEqual([head - 1n, head])
      expect(await positions(head - 2n, 1)).toEqual([head - 1n])
      expect(await positions(0n, 1)).toEqual([1n])
      expect(await positions(0n, 0)).toEqual([])
      expect(await positions(head, 10)).toEqual([])
      expect(await positions(head + 1_000n, 10)).toEqual([])
    })

    it('C39 the log by category and by type', async () => {
      const after = await log.head()
      const [first, second, third] = [event({ type: 'Made' }), event({ type: 'Kept' }), event({ type: 'Made' })]
      await log.append({
        streams: [
          { streamId: 'c39-x', category: 'x', expected: 'none', events: [first, second] },
          { streamId: 'c39-y', category: 'y', expected: 'none', events: [third] },
        ],
      })
      const ids = async (filter: EventFilter, limit = 10) => (await log.read(after, limit, filter)).map(({ id }) => id)
      expect(await ids({ category: 'x' })).toEqual([first.id, second.id])
      expect(await ids({ types: ['Made'] })).toEqual([first.id, third.id])
      expect(await ids({ types: ['Made', 'Kept', 'Made'] })).toEqual([first.id, second.id, third.id])
      expect(await ids({ types: ['Made', 'Kept'] }, 2)).toEqual([first.id, second.id])
      expect(await ids({ types: ['Made'], category: 'y' })).toEqual([third.id])
      expect(await ids({ types: ['Mad', 'Made2'] })).toEqual([])
      expect(await ids({ types: [] })).toEqual([])
      expect(await ids({ category: 'z' })).toEqual([])
      expect(await ids({})).toEqual([first.id, second.id, third.id])
    })
  })

  describe('long streams', () => {
    const given = new Map<string, string[]>()
    let start: bigint
    beforeAll(async () => {
      start = await log.head()
      for (const [stream, count] of [['thousand', 1_000] as const, ['hundred-thousand', 100_000] as const]) {
        given.set(stream, [])
        for (let n = 0; n < count; n += 10_000) {
          const batch = events(Math.min(10_000, count))
          await log.append(to(stream, n, ...batch))
          given.get(stream)?.push(...batch.map(({ id }) => id))
        }
      }
    }, minutes)

    const inBatches = async (stream: string, size: number, [first, last]: [number, number]): Promise<string[]> => {
      const ids: string[] = []
      for (let from = first; from <= last; from += size)
        ids.push(
          ...(await log.readStream(stream, { from, limit: Math.min(size, last - from + 1) })).map(({ id }) => id),
        )
      return ids
    }
    /** Several parts of the stream at once, because so many small questions take their time. */
    const inParts = async (stream: string, size: number): Promise<string[]> => {
      const part = given.get(stream)!.length / 10
      const parts = oneTo(10).map((n) => inBatches(stream, size, [(n - 1) * part + 1, n * part]))
      return (await Promise.all(parts)).flat()
    }

    it.each(['thousand', 'hundred-thousand'])(
      'C40 the %s events of a stream by batches of 1, 2 and 1000',
      async (stream) => {
        for (const size of [1000, 2, 1]) expect(await inParts(stream, size)).toEqual(given.get(stream))
      },
      minutes,
    )

    it('C40 the whole log by batches of 1, 2 and 1000', async () => {
      const all = [...given.values()].flat()
      for (const [size, count] of [
        [1000, all.length],
        [2, 2_000],
        [1, 1_000],
      ] as const) {
        const ids: string[] = []
        for (let after = start; ids.length < count; after += BigInt(size))
          ids.push(...(await log.read(after, size)).map(({ id }) => id))
        expect(ids).toEqual(all.slice(0, count))
      }
    })
  })
})

describe('Reading a million events', () => {
  let database: TestDatabase

  beforeAll(async () => {
    database = await testDatabase()
    const owner = await database.connect({ statementTimeout: 0 })
    // As the append functions would have stored them, at a hundredth of the time.
    await owner.query(`
      with recursive chain (n, content, at, hash) as (
        select 0, ''::bytea, clock_timestamp(), sha256(convert_to(id::text, 'UTF8')) from es.store
        union all
        select n + 1, sha256(int8send(n + 1)), at + interval '1 microsecond',
          es.chain(hash, sha256(int8send(n + 1)), n + 1, n / 1000 + 1, at + interval '1 microsecond')
        from chain where n < 1000000)
      insert into es.event (position, category, stream_id, version, event_id, type, schema_version, data, meta,
        recorded_at, content_hash, hash)
      select n, 'test', 'bulk-' || (n - 1) % 1000, (n - 1) / 1000 + 1, md5(n::text)::uuid, 'Happened', 1, '{}',
        '{"actor":{"uid":"018f0000-0000-7000-8000-000000000001","name":"tester"}}', at, content, hash
      from chain where n > 0`)
  }, minutes)
  afterAll(() => database.close())

  it(
    'C42 a reader meets each once and in order while others append',
    async () => {
      const log = new PostgresEventLog({ pool: database.pool })
      const reading = new AbortController()
      let appended = 0
      const write = async (stream: string) => {
        const writer = new PostgresEventLog({ pool: database.pool })
        while (!reading.signal.aborted) {
          const count = 1 + (appended % 5)
          expect(await writer.append(to(stream, 'any', ...events(count)))).toMatchObject({ status: 'ok' })
          appended += count
        }
      }
      const writers = oneTo(4).map((n) => write(`c42-${n}`))
      let last: RecordedEvent | undefined
      const misplaced: bigint[] = []
      const look = (one: RecordedEvent) => {
        if (one.position !== (last?.position ?? 0n) + 1n || one.recordedAt < (last?.recordedAt ?? ''))
          misplaced.push(one.position)
        last = one
      }
      const follow = async () => {
        let page: RecordedEvent[]
        do {
          page = await log.read(last?.position ?? 0n, 5_000)
          page.forEach(look)
          // At the end for the first time: the writers have done their part.
          if (page.length < 5_000) reading.abort()
        } while (page.length > 0)
      }
      await follow()
      await Promise.all(writers)
      await follow()
      expect(misplaced).toEqual([])
      expect(appended).toBeGreaterThan(0)
      expect(last?.position).toBe(1_000_000n + BigInt(appended))
      expect(await log.head()).toBe(last?.position)
    },
    minutes,
  )
})
