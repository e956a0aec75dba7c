import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import pg from 'pg'
import { bundle } from '../../test/support/bundle'
import { testDatabase, type TestDatabase } from '../../test/support/database'
import { chained, genesis } from './testing/chain'
import { event, events, take, to } from './testing/event-fixtures'
import { PostgresEventLog } from './postgres-event-log'
import type { EventFilter, NewEvent, RecordedEvent, StreamRange } from './types'

const run = promisify(execFile)
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

describe('When an event was recorded', () => {
  let database: TestDatabase
  let log: PostgresEventLog

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
  })
  afterAll(() => database.close())

  it('C72 is for the database to say: what a client says of its time is data', async () => {
    const before = new Date(Date.now() - 60_000).toISOString()
    const past = '1999-12-31T23:59:59.000000Z'
    const claimed = { recordedAt: past, recorded_at: past, occurredAt: past, position: '7', version: 9, hash: '00' }
    const given = { ...event({ data: { occurredAt: past } }), ...claimed } as NewEvent
    await log.append(to('c72', 'none', given))
    await Promise.all(oneTo(3).map((n) => log.append(to(`c72-${n}`, 'none', given))))
    const all = await log.readStream('c72')
    expect(all).toMatchObject([{ id: given.id, version: 1, position: 1n, data: { occurredAt: past } }])
    expect(all[0]!.recordedAt > before).toBe(true)
    expect(all[0]).not.toHaveProperty('occurredAt')
  })

  it('C72 not even to one who speaks to the database himself', async () => {
    const past = '1999-12-31T23:59:59Z'
    const plain = {
      id: event().id,
      type: 'T',
      schemaVersion: 1,
      data: {},
      meta: {},
      recordedAt: past,
      recorded_at: past,
    }
    const streams = [{ streamId: 'c72-raw', category: 'test', expected: 'any', events: [{ hash: '00', event: plain }] }]
    const client = await database.connect({ role: 'mcpd_app' })
    const request = [{ streams, now: past, recordedAt: past }]
    await client.query('select es.append_many($1)', [JSON.stringify(request)])
    expect((await log.readStream('c72-raw'))[0]!.recordedAt > '2020').toBe(true)
  })

  it.each(['infinity', '-infinity', '0044-03-15 BC', '1969-12-31 23:59:59Z', '10000-01-01Z'])(
    'C74 is a time that people can read, and not %s, whoever writes it',
    async (time) => {
      await log.append(to('c74', 'any', event()))
      const owner = await database.connect()
      await owner.query('begin; set local session_replication_role = replica')
      const change = owner.query(`update es.event set recorded_at = $1 where stream_id = 'c74'`, [time])
      await expect(change).rejects.toMatchObject({ code: '23514', constraint: 'event_recorded_at' })
      await owner.query('rollback')
      expect(await log.append(to('c74', 'any', event()))).toMatchObject({ status: 'ok' })
    },
  )

  describe('in whatever time zone', () => {
    // Around a change to daylight saving and back, a leap day, a century, and single microseconds.
    const instants = [
      '1999-12-31T23:59:59.999999Z',
      '2000-01-01T00:00:00.000000Z',
      '2024-02-29T12:00:00.000001Z',
      '2026-03-29T00:59:59.999999Z',
      '2026-03-29T01:00:00.000000Z',
      '2026-10-25T00:30:00.500000Z',
      '2026-10-25T01:30:00.500000Z',
      '9999-12-31T23:59:59.999999Z',
    ]
    let zoned: TestDatabase
    let script: string

    beforeAll(async () => {
      zoned = await testDatabase()
      script = await bundle('test/support/reading-process.ts', 'reading-process')
      const here = new PostgresEventLog({ pool: zoned.pool })
      await here.append(to('zones', 'none', ...events(instants.length)))
      const owner = await zoned.connect()
      await owner.query('begin; set local session_replication_role = replica')
      await owner.query(
        `update es.event set recorded_at = at from unnest($1::timestamptz[]) with ordinality as t (at, n) where version = n`,
        [instants],
      )
      await owner.query('commit')
    })
    afterAll(async () => {
      await rm(script, { force: true })
      await zoned.close()
    })

    it.each([
      ['Asia/Kathmandu', 'German'],
      ['America/St_Johns', 'SQL,DMY'],
      ['Australia/Lord_Howe', 'Postgres,MDY'],
    ])("C73 the same instants with the server's clock in %s and dates as in %s", async (zone, dateStyle) => {
      const settings = `-c TimeZone=${zone} -c DateStyle=${dateStyle} -c IntervalStyle=sql_standard`
      const strange = '-c bytea_output=escape -c extra_float_digits=-10'
      const pool = new pg.Pool({ connectionString: zoned.url, max: 1, options: `${settings} ${strange}` })
      const there = new PostgresEventLog({ pool })
      expect((await pool.query('show timezone')).rows).toEqual([{ TimeZone: zone }])
      expect((await there.readStream('zones')).map(({ recordedAt }) => recordedAt)).toEqual(instants)
      expect((await there.read(0n, instants.length)).map(({ recordedAt }) => recordedAt)).toEqual(instants)
      await pool.end()
    })

    it.each(['Pacific/Kiritimati', 'America/St_Johns'])(
      "C73 the same instants with the reader's clock in %s",
      async (zone) => {
        const { stdout } = await run(process.execPath, [script, zoned.url], {
          env: { ...process.env, TZ: zone, PGTZ: zone },
        })
        const lines = stdout
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as { recordedAt: string })
        expect(lines.map(({ recordedAt }) => recordedAt)).toEqual(instants)
      },
    )

    it('C73 and one chain, whatever the zone of those who append', async () => {
      const fresh = await testDatabase()
      const here = new PostgresEventLog({ pool: fresh.pool })
      for (const zone of ['Asia/Kathmandu', 'America/St_Johns', 'UTC']) {
        const options = `-c TimeZone=${zone} -c DateStyle=German -c bytea_output=escape -c extra_float_digits=-10`
        const pool = new pg.Pool({ connectionString: fresh.url, max: 1, options })
        const there = new PostgresEventLog({ pool })
        await there.append(to(zone, 'none', ...events(2)))
        await there.append(to(zone, 2, event()))
        await there.append(to(zone, 3, event({ claims: [take(zone)] })))
        await Promise.all(oneTo(3).map((n) => there.append(to(`${zone}-${n}`, 'none', event()))))
        await pool.end()
      }
      let hash = genesis((await here.store()).id)
      const stored = await here.read(0n, 100)
      expect(stored).toHaveLength(21)
      for (const one of stored) expect((hash = chained(hash, one))).toBe(one.hash)
      await fresh.close()
    })
  })
})
