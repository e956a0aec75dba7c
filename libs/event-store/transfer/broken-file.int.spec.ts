import { generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import type { EventLine } from '../chain/event-line'
import { sealLog } from '../chain/sealing'
import type { Seal } from '../chain/seal'
import { verifyFile } from '../chain/verify-file'
import { PostgresEventLog } from '../postgres-event-log'
import { event, events, take, to } from '../testing/event-fixtures'
import { eventsIn, exported, fileOf, forge, sealed } from '../testing/export-file'
import { seeded } from '../testing/seeded'
import { type exportFormat, type ExportHeader } from './format'
import { importEvents } from './import'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const counted = `select (select count(*) from es.event)::int as events, (select count(*) from es.claim)::int as claims,
  (select id::text from es.store) as id, (select epoch from es.store) as epoch`

describe('A file that is not what was exported', () => {
  let source: TestDatabase
  let target: TestDatabase
  let file: string
  let lines: string[]
  let seal: Seal
  let empty: object

  beforeAll(async () => {
    source = await testDatabase()
    target = await testDatabase()
    const log = new PostgresEventLog({ pool: source.pool })
    const odd = { text: 'é "\\ 漢😀', number: -1.5e-7, list: [true, null, {}] }
    await log.append(to('a', 'none', event({ data: odd, claims: [take('x')] }), ...events(9)))
    await log.append(to('b', 'none', event({ claims: [take('y')] }), ...events(9)))
    seal = (await sealLog(source.pool, { privateKey }))!
    file = await exported(source.pool)
    lines = file.trimEnd().split('\n')
    empty = (await target.pool.query<object>(counted)).rows[0]!
  })
  afterAll(async () => {
    expect((await target.pool.query(counted)).rows[0]).toEqual(empty)
    await Promise.all([source.close(), target.close()])
  })

  const header = () => JSON.parse(lines[0]!) as ExportHeader
  const store = () => header().store
  const changed = (position: number, change: Partial<EventLine>) =>
    eventsIn(file).map((each) => (each.position === position ? { ...each, ...change } : each))

  /** Neither taken by an import nor found in order without a database. */
  const refused = async (content: string | Buffer, message: string | RegExp = '') => {
    expect(await verifyFile(fileOf(content))).toMatchObject({ ok: false })
    const error: unknown = await importEvents(target.pool, fileOf(content)).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ name: 'DomainError', code: 'Invalid', message: expect.stringMatching(message) })
    expect((error as Error).message).toContain('nothing was imported')
    expect((await target.pool.query(counted)).rows[0]).toEqual(empty)
  }

  it('C80 the whole file is in order', async () => {
    const kept = [seal]
    expect(await verifyFile(fileOf(file, 7))).toMatchObject({ ok: true, head: 20n, events: 20n, seals: 0 })
    expect(await verifyFile(fileOf(file), { seals: { keys: [publicKey], kept } })).toMatchObject({ ok: true, seals: 1 })
    const later = await exported(source.pool, { after: 12n })
    expect(await verifyFile(fileOf(later))).toMatchObject({ ok: true, head: 20n, events: 8n })
    const both = (await exported(source.pool, { to: 12n })) + later
    expect(await verifyFile(fileOf(both))).toMatchObject({ ok: true, events: 20n })
  })

  it('C80 cut at every line, with and without the end of the line', async () => {
    for (let count = 0; count < lines.length; count++) {
      const cut = lines
        .slice(0, count)
        .map((line) => `${line}\n`)
        .join('')
      await refused(cut, 'cut off')
      if (count > 0) await refused(cut.slice(0, -1), 'cut off')
    }
    await refused(file.slice(0, -1), 'line 22 has no end')
  })

  it('C80 a line is missing, comes twice, or changes places with the next', async () => {
    const write = (all: string[]) => `${all.join('\n')}\n`
    for (let at = 0; at < lines.length; at++) {
      await refused(write(lines.toSpliced(at, 1)))
      await refused(write(lines.toSpliced(at, 0, lines[at]!)))
      if (at > 0) await refused(write(lines.toSpliced(at - 1, 2, lines[at]!, lines[at - 1]!)))
    }
  })

  it('C80 any byte is another one', async () => {
    const bytes = Buffer.from(file)
    const random = seeded(80)
    // A file cannot prove how often its log has moved.
    const epoch = file.indexOf('"epoch":') + 8
    for (let i = 0; i < 3000; i++) {
      const at = Math.floor(random() * bytes.length)
      const other = (bytes[at]! + 1 + Math.floor(random() * 255)) % 256
      if (at === epoch) continue
      const flipped = Buffer.from(bytes)
      flipped[at] = other
      // Every tenth is also imported, which takes longer.
      if (i % 10 === 0) await refused(flipped)
      else expect(await verifyFile(fileOf(flipped))).toMatchObject({ ok: false })
    }
  })

  it('C80 bytes are added, taken out, or come from elsewhere', async () => {
    await refused('', 'cut off')
    await refused('\n')
    await refused(`${file}\n`)
    await refused(`${file}garbage\n`)
    await refused(`\ufeff${file}`)
    await refused(file.replaceAll('\n', '\r\n'))
    await refused(file.replace(',"version"', ' ,"version"'))
    await refused(file + file, /line 23, from/)
    await refused(Buffer.from([0x50, 0x47, 0x43, 0x4f, 0x50, 0x59, 0x0a, 0xff, 0x0d, 0x0a, 0x00]))
    await refused(
      Buffer.concat([Buffer.from(`${lines[0]}\n`), Buffer.from([0x22, 0xc3, 0x28, 0x22, 0x0a])]),
      'line 2 is not UTF-8',
    )
    await refused(`${lines[0]}\n${'['.repeat(200_000)}${']'.repeat(200_000)}\n`, 'line 2')
  })

  it('C80 a line without an end is not read into memory for ever', async () => {
    const piece = Buffer.alloc(1 << 20, 'x')
    let pieces = 0
    const endless = async function* () {
      for (;;) {
        pieces++
        yield piece
      }
    }
    await expect(importEvents(target.pool, endless())).rejects.toMatchObject({ code: 'Invalid' })
    expect(pieces).toBeLessThan(100)
  })

  it.each<[string, Partial<ExportHeader>, string]>([
    ['another format', { format: 'event-log/2' as typeof exportFormat }, 'format'],
    ['another store', { store: '018f0000-0000-7000-8000-000000000009' }, 'previous'],
    ['another beginning', { from: 2 }, 'count'],
    ['another end', { to: 19 }, 'count'],
    ['another count', { count: 21 }, 'count'],
    ['more than there is', { count: 21, to: 21 }, 'line 22'],
    ['another previous hash', { previous: '0'.repeat(64) }, 'previous'],
    ['another hash', { hash: '0'.repeat(64) }, 'hash'],
    ['an epoch that is none', { epoch: 0 }, 'epoch'],
  ])('C80 the header says %s', async (_, change, message) => {
    await refused(sealed({ ...header(), ...change }, lines.slice(1, -1)), message)
  })

  it('C80 the trailer says something else', async () => {
    const trailer = JSON.parse(lines.at(-1)!) as Record<string, unknown>
    const write = (change: object) => `${lines.slice(0, -1).join('\n')}\n${JSON.stringify({ ...trailer, ...change })}\n`
    expect(write({})).toBe(file)
    await refused(write({ count: 19 }), 'line 22, count')
    await refused(write({ hash: '0'.repeat(64) }), 'line 22, hash')
    await refused(write({ sha256: '0'.repeat(64) }), 'line 22, sha256')
    await refused(write({ more: 1 }), 'line 22')
  })

  it('C80 a forger who computes every hash again is found by what the events say', async () => {
    const twin = eventsIn(file)[3]!
    const time = (recordedAt: string) => forge(store(), changed(1, { recordedAt }))
    await refused(forge(store(), changed(9, { id: twin.id })), /line 10, id/)
    await refused(forge(store(), changed(9, { version: 10 })), /line 10, version/)
    await refused(forge(store(), changed(9, { version: 8 })), /line 10, version/)
    await refused(forge(store(), changed(11, { version: 2 })), /line 12, version/)
    await refused(forge(store(), changed(9, { recordedAt: '2001-01-01T00:00:00.000000Z' })), /line 10, recordedAt/)
    await refused(forge(store(), changed(9, { position: 10 })), /line 10, position/)
    await refused(forge(store(), changed(9, { position: 1 })), /line 10, position/)
    await refused(time('0000-01-01T00:00:00.000000Z'), /line 2, recordedAt/)
    await refused(time('1969-12-31T23:59:59.999999Z'), /line 2, recordedAt/)
    await refused(time('2024-02-30T00:00:00.000000Z'), /line 2, recordedAt/)
    await refused(forge(store(), changed(5, { id: twin.id.toUpperCase() })), /line 6, id/)
    await refused(forge(store(), changed(5, { more: 1 } as never)), /line 6/)
    await refused(forge(store(), eventsIn(file), { from: 2, to: 21 }))
  })

  it.each(['infinity', '-infinity', 'now', '0044-03-15 BC', '2024-01-01', '12024-01-01T00:00:00.000000Z'])(
    'C74 C80 a time that is none is refused: %s',
    async (recordedAt) => {
      await refused(
        `${lines[0]}\n${lines[1]!.replace(/"recordedAt":"[^"]+"/, `"recordedAt":"${recordedAt}"`)}\n`,
        'recordedAt',
      )
    },
  )

  it.each([
    ['1e400', '"number": -0.00000015', '"number": 1e400'],
    ['digits that no double holds', '"number": -0.00000015', '"number": -0.000000150000000000000001'],
    ['half a surrogate pair', '😀', '\\ud83d'],
    ['U+0000', '漢', '\\u0000'],
    ['a key twice', '"number": ', '"number": 3, "number": '],
  ])('C80 a value is smuggled in: %s', async (_, was, is) => {
    const smuggled = lines.slice(1, -1).map((line, i) => (i === 0 ? line.replace(was, is) : line))
    expect(smuggled).not.toEqual(lines.slice(1, -1))
    if (is.includes('3, ')) expect(await verifyFile(fileOf(sealed(header(), smuggled)))).toMatchObject({ ok: true })
    else await refused(sealed(header(), smuggled), 'line 2, data')
  })

  it('C80 claims that two streams hold at once are refused', async () => {
    const both = changed(11, { claims: [take('x')] })
    await expect(importEvents(target.pool, fileOf(forge(store(), both)))).rejects.toMatchObject({
      code: 'Invalid',
      message: expect.stringContaining('line 12, claims'),
    })
    await refused(
      forge(store(), changed(11, { claims: [{ op: 'steal', scope: 's', key: 'k' }] as never })),
      /line 12, claims/,
    )
  })

  it('C76 a file that was cut off and closed again is found by a seal that was kept', async () => {
    const short = forge(store(), eventsIn(file).slice(0, 15))
    const seals = { keys: [publicKey], kept: [seal] }
    expect(await verifyFile(fileOf(short))).toMatchObject({ ok: true, head: 15n })
    expect(await verifyFile(fileOf(short), { seals })).toMatchObject({ ok: false, problem: 'truncated', position: 16n })
    const rewritten = forge(store(), changed(20, { type: 'Other' }))
    expect(await verifyFile(fileOf(rewritten))).toMatchObject({ ok: true })
    expect(await verifyFile(fileOf(rewritten), { seals })).toMatchObject({ ok: false, problem: 'seal', position: 20n })
    const other = { keys: [generateKeyPairSync('ed25519').publicKey], kept: [seal] }
    expect(await verifyFile(fileOf(file), { seals: other })).toMatchObject({
      ok: false,
      problem: 'seal',
      field: 'signature',
    })
  })

  describe('C80 from the application past the library', () => {
    const staged = async (content: string, finish: (events: EventLine[]) => unknown[]) => {
      const client = await target.connect({ role: 'mcpd_app' })
      await client.query('begin')
      await client.query('select es.begin_import()')
      for (const line of eventsIn(content)) await client.query('insert into pg_temp.es_import values ($1)', [line])
      try {
        await client.query('select es.finish_import($1, 1, $2, $3)', finish(eventsIn(content)))
      } finally {
        await client.query('rollback')
      }
    }
    const end = (all: EventLine[]) => [store(), String(all.length), Buffer.from(all.at(-1)!.hash, 'hex')]

    it.each<[string, (all: EventLine[]) => EventLine[]]>([
      ['a hash', (all) => all.with(4, { ...all[4]!, hash: '0'.repeat(64) })],
      ['a content hash', (all) => all.with(4, { ...all[4]!, contentHash: '00' })],
      ['a time', (all) => all.with(4, { ...all[4]!, recordedAt: '2001-01-01T00:00:00Z' })],
      ['a position', (all) => all.with(4, { ...all[4]!, position: 44 })],
      ['an event too few', (all) => all.toSpliced(4, 1)],
      ['an event twice', (all) => all.toSpliced(4, 0, all[4]!)],
    ])('a log with %s that does not fit is refused', async (_, change) => {
      const content = ['', ...change(eventsIn(file)).map((each) => JSON.stringify(each)), '', ''].join('\n')
      await expect(staged(content, end)).rejects.toMatchObject({ code: 'ES001' })
    })

    it('an end that is not the one that was announced is refused', async () => {
      await expect(staged(file, (all) => [store(), '19', Buffer.from(all[18]!.hash, 'hex')])).rejects.toMatchObject({
        code: 'ES001',
      })
      const elsewhere = '018f0000-0000-7000-8000-000000000009'
      await expect(staged(file, (all) => [elsewhere, '20', Buffer.from(all[19]!.hash, 'hex')])).rejects.toMatchObject({
        code: 'ES001',
      })
    })

    it('a table of the caller does not take the place of the staging table', async () => {
      const client = await target.connect({ role: 'mcpd_app' })
      const finish = `select es.finish_import('${store()}', 1, 0, sha256(''))`
      await expect(client.query(finish)).rejects.toMatchObject({ code: '55000' })
      await client.query('create temp table es_import (line jsonb)')
      await expect(client.query('select es.begin_import()')).rejects.toMatchObject({ code: '42P07' })
      await expect(client.query(finish)).rejects.toMatchObject({ code: '55000' })
      await client.query('drop table pg_temp.es_import; create temp view es_import as select null::jsonb as line')
      await expect(client.query(finish)).rejects.toMatchObject({ code: '55000' })
    })

    it.each([
      'create trigger mine before insert on pg_temp.es_import for each row execute function pg_catalog.suppress_redundant_updates_trigger()',
      'create rule mine as on insert to pg_temp.es_import do instead nothing',
      'alter table pg_temp.es_import add column more text',
      'create temp table mine () inherits (pg_temp.es_import)',
      'drop table pg_temp.es_import',
      'select * from pg_temp.es_import',
    ])('the staging table is not the caller’s: %s', async (statement) => {
      const client = await target.connect({ role: 'mcpd_app' })
      await client.query('begin')
      await client.query('select es.begin_import()')
      await expect(client.query(statement)).rejects.toMatchObject({ code: '42501' })
      await client.query('rollback')
    })
  })
})
