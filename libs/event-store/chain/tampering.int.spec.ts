import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { generateKeyPairSync } from 'node:crypto'
import type { Client } from 'pg'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { PostgresEventLog } from '../postgres-event-log'
import { event, events, release, take, to } from '../testing/event-fixtures'
import { parseSeal, sealLine, type Seal } from './seal'
import { sealLog, storedSeals, verifySeals } from './sealing'
import { verifyClaims, verifyLog, type VerifyOptions } from './verify-log'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const stranger = generateKeyPairSync('ed25519')

describe('Tampering', () => {
  let database: TestDatabase
  let owner: Client
  let log: PostgresEventLog

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
    await log.append(
      to('a', 'none', event({ data: { amount: 100, text: 'héllo' }, claims: [take('x')] }), ...events(4)),
    )
    await log.append(to('b', 'none', ...events(4), event({ claims: [take('y')] })))
    await log.append(to('c', 'none', event({ data: { amount: 1234567890123456 } }), ...events(9)))
    owner = await database.connect()
    // Who owns the table keeps to no rule of it.
    await owner.query('alter table es.event drop constraint event_recorded_at')
    await owner.query('create table public.event as table es.event; create table public.claim as table es.claim')
  })
  afterAll(() => database.close())
  beforeEach(async () => {
    // As a superuser who goes past the triggers.
    await owner.query(`set session_replication_role = replica; truncate es.event, es.claim, es.seal;
      insert into es.event table public.event; insert into es.claim table public.claim; update es.store set epoch = 1`)
  })

  const verify = (options?: VerifyOptions) => verifyLog(database.pool, options)
  const chain = `es.chain((select hash from es.event where position = e.position - 1), content_hash, position, version, recorded_at)`
  const swap = (first: number, second: number) => `update es.event set position = -1 where position = ${first};
    update es.event set position = ${first} where position = ${second}; update es.event set position = ${second} where position = -1`
  const move = (by: number) => `update es.event set position = position + 1000 where position >= 8;
    update es.event set position = position - 1000 + ${by} where position > 1000`
  const insert = (position: number, version: number) => `insert into es.event
    select ${position}, category, 'b', ${version}, gen_random_uuid(), type, schema_version, data, meta, null, recorded_at,
      content_hash, hash from public.event where position = 8`

  it('C76 an untouched log verifies, and the answer says what was checked', async () => {
    const [last] = await log.read(19n, 1)
    expect(await verify()).toEqual({ ok: true, head: 20n, hash: last!.hash, events: 20n, seals: 0 })
    expect(await verify({ from: 6n, to: 15n })).toMatchObject({ ok: true, head: 15n, events: 10n })
    expect(await verify({ from: 21n })).toMatchObject({ ok: true, events: 0n })
    await expect(verify({ from: 22n })).rejects.toMatchObject({ code: 'Invalid' })
    await expect(verify({ to: 21n })).rejects.toMatchObject({ code: 'Invalid' })
    const progress: bigint[] = []
    await verify({ onProgress: ({ position }) => progress.push(position) })
    expect(progress).toEqual([20n])
  })

  it.each([
    ['a value in data', `data = jsonb_set(data, '{amount}', '101') where position = 1`, 1],
    ['one byte of a text', `data = jsonb_set(data, '{text}', '"héllp"') where position = 1`, 1],
    ['a digit that a double cannot hold', `data = '{"amount": 1234567890123456.0000001}' where position = 11`, 11],
    ['a number beyond any double', `data = '{"amount": 1e400}' where position = 11`, 11],
    ['an empty value in data', `data = data || '{"x": null}' where position = 7`, 7],
    ['data that is no object', `data = '[]' where position = 7`, 7],
    ['the actor', `meta = jsonb_set(meta, '{actor,name}', '"Tester"') where position = 8`, 8],
    ['the type', `type = 'Other' where position = 3`, 3],
    ['the schema version', `schema_version = 2 where position = 3`, 3],
    ['the id', `event_id = gen_random_uuid() where position = 4`, 4],
    ['the stream', `stream_id = 'z' where position = 4`, 4],
    ['the category', `category = 'z' where position = 4`, 4],
    ['the claims', `claims = '[{"op": "take", "scope": "name", "key": "z"}]' where position = 1`, 1],
    ['claims taken away', `claims = null where position = 10`, 10],
    ['claims that are none', `claims = '[{"op": "steal"}]' where position = 10`, 10],
    ['the content hash', `content_hash = sha256('x') where position = 9`, 9],
    ['half a content hash', `content_hash = '\\x00' where position = 9`, 9],
    ['the hash', `hash = sha256('x') where position = 20`, 20],
    ['the time, by a microsecond', `recorded_at = recorded_at + interval '1 microsecond' where position = 20`, 20],
    ['the time, to no time', `recorded_at = 'infinity' where position = 20`, 20],
    ['the time, to before Christ', `recorded_at = '0044-03-15 BC' where position = 1`, 1],
    ['the version', `version = 40 where position = 20`, 20],
    ['the position', `position = 40 where position = 12`, 12],
  ])('C76 %s is changed', async (_, change, position) => {
    await owner.query(`update es.event set ${change}`)
    expect(await verify()).toMatchObject({ ok: false, position: BigInt(position) })
    if (position > 1) expect(await verify({ to: BigInt(position - 1) })).toMatchObject({ ok: true })
  })

  it.each([
    ['a row is deleted', 'delete from es.event where position = 8', 8, 'missing'],
    ['the first row is deleted', 'delete from es.event where position = 1', 1, 'missing'],
    ['a row is deleted and the rest moved up', `delete from es.event where position = 7; ${move(-1)}`, 7, 'chain'],
    ['two rows are swapped', swap(8, 9), 8, 'chain'],
    ['rows of two streams are swapped', swap(5, 6), 5, 'chain'],
    ['a row is inserted at the end', insert(21, 6), 21, 'time'],
    ['a row is inserted far behind the end', insert(9_000_000_000_000_000, 6), 21, 'missing'],
    ['a row is inserted before the first', insert(0, 6), 0, 'inserted'],
    ['a row is inserted and the rest moved down', `${move(1)}; ${insert(8, 6)}`, 8, 'content'],
    ['all rows are gone but one', 'delete from es.event where position <> 5', 1, 'missing'],
  ])('C76 %s', async (_, change, position, problem) => {
    await owner.query(change)
    expect(await verify()).toMatchObject({ ok: false, position: BigInt(position), problem })
  })

  it('C76 whoever computes the chain again is found by ids, versions and times', async () => {
    const last = (set: string) =>
      owner.query(`update es.event e set ${set} where position = 20;
      update es.event e set hash = ${chain} where position = 20`)
    await last('version = 12')
    expect(await verify()).toMatchObject({ ok: false, position: 20n, problem: 'version' })
    expect(await verify({ from: 15n })).toMatchObject({ ok: false, position: 20n, problem: 'version' })
    await last(`version = 10, recorded_at = recorded_at - interval '1 day'`)
    expect(await verify()).toMatchObject({ ok: false, position: 20n, problem: 'time' })
  })

  it('C76 an id that comes again is found', async () => {
    await owner.query(`begin; alter table es.event drop constraint event_event_id_key, drop constraint event_stream_id_version_key;
      insert into es.event select 21, category, stream_id, version, event_id, type, schema_version, data, meta, claims,
        (select max(recorded_at) from es.event), content_hash, hash from es.event where position = 20;
      update es.event e set hash = ${chain} where position = 21; commit`)
    try {
      expect(await verify()).toMatchObject({ ok: false, position: 21n })
      expect(await verify({ from: 21n })).toMatchObject({ ok: false, position: 21n })
    } finally {
      await owner.query(`delete from es.event where position = 21; alter table es.event
        add constraint event_event_id_key unique (event_id), add constraint event_stream_id_version_key unique (stream_id, version)`)
    }
  })

  it.each([
    ['another holder', `update es.claim set stream_id = 'b' where key = 'x'`, 1n],
    ['a claim too few', `delete from es.claim where key = 'y'`, 10n],
    ['a claim too many', `insert into es.claim values ('name', 'z', 'c')`, 0n],
  ])('C76 claims that are not those of the events: %s', async (_, change, position) => {
    await owner.query(change)
    expect(await verify()).toMatchObject({ ok: false, position, problem: 'claim' })
    expect(await verifyClaims(database.pool)).toMatchObject({ position })
  })

  it('C76 a release counts when it comes from the holder', async () => {
    const other = await testDatabase()
    const its = new PostgresEventLog({ pool: other.pool })
    await its.append(to('a', 'none', event({ claims: [take('k'), take('l'), release('l'), take('m')] })))
    await its.append(to('b', 'none', event({ claims: [release('k'), take('l')] })))
    await its.append(to('a', 1, event({ claims: [release('m'), take('m')] })))
    expect(await its.claimOwner('name', 'k')).toBe('a')
    expect(await verifyLog(other.pool)).toMatchObject({ ok: true })
    await other.close()
  })

  describe('with seals', () => {
    let first: Seal
    let second: Seal
    const keys = [publicKey]
    beforeEach(async () => {
      await owner.query('delete from es.event where position > 10; delete from es.claim where key = $$y$$')
      await owner.query(`insert into es.claim values ('name', 'y', 'b')`)
      first = (await sealLog(database.pool, { privateKey }))!
      await owner.query('insert into es.event select * from public.event where position > 10')
      second = (await sealLog(database.pool, { privateKey }))!
    })
    const resign = async (key = privateKey) => {
      await owner.query('truncate es.seal')
      return (await sealLog(database.pool, { privateKey: key }))!
    }

    it('C76 a sealed log verifies against the stored seals and those that were kept', async () => {
      expect([first.position, second.position]).toEqual([10, 20])
      expect(await storedSeals(database.pool)).toEqual([first, second])
      const kept = [first, second].map(sealLine).map(parseSeal)
      expect(await verify({ seals: { keys, kept } })).toMatchObject({ ok: true, seals: 4 })
      expect(await verifySeals(database.pool, { keys, kept })).toMatchObject({ ok: true })
      expect(await sealLog(database.pool, { privateKey })).toBeUndefined()
    })

    it('C76 a tail that was cut off is found by a seal that was kept', async () => {
      await owner.query('delete from es.event where position > 15')
      expect(await verify()).toMatchObject({ ok: true, head: 15n })
      expect(await verify({ seals: { keys } })).toMatchObject({ ok: false, problem: 'truncated', position: 16n })
      await owner.query('delete from es.seal where position > 15')
      expect(await verify({ seals: { keys } })).toMatchObject({ ok: true })
      expect(await verify({ seals: { keys, kept: [second] } })).toMatchObject({
        ok: false,
        problem: 'truncated',
        position: 16n,
      })
    })

    it('C76 a log that was written again from some event on is found', async () => {
      await owner.query(`delete from es.event where position = 20; insert into es.event select 20, category, stream_id, version,
        gen_random_uuid(), type, schema_version, data, meta, claims, recorded_at, content_hash, hash from public.event where position = 20`)
      expect(await verify({ seals: { keys } })).toMatchObject({ ok: false, position: 20n })
      await owner.query(`update es.event set hash = sha256('rewritten') where position = 20`)
      expect(await verifySeals(database.pool, { keys })).toMatchObject({
        ok: false,
        problem: 'seal',
        position: 20n,
        field: 'hash',
      })
    })

    it('C76 seals of another key do not count', async () => {
      await resign(stranger.privateKey)
      expect(await verify({ seals: { keys } })).toMatchObject({ ok: false, problem: 'seal', field: 'signature' })
      expect(await verify({ seals: { keys: [publicKey, stranger.publicKey] } })).toMatchObject({ ok: true })
    })

    it('C76 a sealed range that was sealed again, and a seal that was replaced or removed, are found', async () => {
      await resign()
      expect(await verify({ seals: { keys } })).toMatchObject({ ok: true })
      const again = await verify({ seals: { keys, kept: [second] } })
      expect(again).toMatchObject({
        ok: false,
        problem: 'seal',
        position: 20n,
        message: expect.stringContaining('replaced'),
      })
      expect(await verify({ seals: { keys, kept: [first] } })).toMatchObject({
        ok: false,
        problem: 'seal',
        position: 10n,
      })
    })

    it('C76 a seal that was taken out from between is found', async () => {
      await owner.query('delete from es.seal where position = 10')
      expect(await verify({ seals: { keys } })).toMatchObject({ ok: false, problem: 'seal', field: 'previous' })
    })

    it.each([
      'position = 19',
      'epoch = 2',
      `sealed_at = sealed_at + interval '1 second'`,
      `hash = sha256('x')`,
      'previous = null',
    ])('C76 a stored seal is changed: %s', async (change) => {
      await owner.query(`update es.seal set ${change} where position = 20`)
      expect(await verify({ seals: { keys } })).toMatchObject({ ok: false, problem: 'seal' })
    })

    it.each([0, 2])('C76 an epoch that was forged to %p is found', async (epoch) => {
      await owner.query(`update es.store set epoch = ${epoch}`)
      expect(await verify({ seals: { keys } })).toMatchObject({ ok: false, problem: 'seal', field: 'epoch' })
    })

    it('C76 a seal of another log is refused', async () => {
      const other = await testDatabase()
      await (await other.connect()).query('update es.store set origin_id = gen_random_uuid()')
      await new PostgresEventLog({ pool: other.pool }).append(to('a', 'none', event()))
      const foreign = (await sealLog(other.pool, { privateKey }))!
      await other.close()
      expect(await verify({ seals: { keys, kept: [foreign] } })).toMatchObject({
        ok: false,
        problem: 'seal',
        field: 'store',
      })
    })

    it('a broken log is not sealed', async () => {
      await log.append(to('d', 'any', event()))
      await owner.query(`update es.event set data = '{"x": 1}' where position = 21`)
      await expect(sealLog(database.pool, { privateKey })).rejects.toMatchObject({ code: 'Conflict' })
      expect(await storedSeals(database.pool)).toHaveLength(2)
    })

    it('sealers at once store one seal, and the application can neither change nor forge one', async () => {
      await log.append(to('d', 'any', event()))
      const made = await Promise.all(Array.from({ length: 8 }, () => sealLog(database.pool, { privateKey })))
      expect(made.filter((seal) => seal !== undefined)).toHaveLength(1)
      expect(await verifySeals(database.pool, { keys })).toMatchObject({ ok: true, head: 21n })
      for (const statement of [
        'update es.seal set epoch = 2',
        'delete from es.seal',
        'truncate es.seal',
        'insert into es.seal select * from es.seal',
      ])
        await expect(database.pool.query(statement)).rejects.toMatchObject({ code: '42501' })
      const forged = { ...second, position: 22 }
      await expect(database.pool.query('select es.add_seal($1, 21)', [forged])).rejects.toMatchObject({ code: '22023' })
      for (const key of [publicKey, generateKeyPairSync('ed448').privateKey])
        await expect(sealLog(database.pool, { privateKey: key })).rejects.toMatchObject({ code: 'Invalid' })
    })
  })
})
