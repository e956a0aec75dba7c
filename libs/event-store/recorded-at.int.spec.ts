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
import type { NewEvent } from './types'

const run = promisify(execFile)
const oneTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

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
