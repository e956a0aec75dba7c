import { createSecretKey, randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { inspect } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { Client } from 'pg'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { verifyLog } from '../chain/verify-log'
import { PostgresEventLog } from '../postgres-event-log'
import { event, to } from '../testing/event-fixtures'
import { exportEvents } from '../transfer/export'
import type { Json, JsonObject } from '../types'
import { Forgotten, Undecryptable } from './outcomes'
import type { ExportedKey, ExportedKeys } from './key-list'
import { SubjectKeys, type Place, type Sealed } from './subject-keys'

const denied = '42501'
const keyEncryptionKey = randomBytes(32)
const transportKey = randomBytes(32)

describe('A subject', () => {
  let database: TestDatabase
  let owner: Client
  let log: PostgresEventLog
  let keys: SubjectKeys
  let subject: string
  let count = 0

  beforeAll(async () => {
    database = await testDatabase()
    owner = await database.connect()
    log = new PostgresEventLog({ pool: database.pool })
    keys = keysOf(database)
  })
  afterAll(() => database.close())
  beforeEach(() => {
    subject = `person-${++count}`
  })

  const keysOf = ({ pool }: TestDatabase, key: Uint8Array = keyEncryptionKey) =>
    new SubjectKeys({ pool, keyEncryptionKey: key })
  const email = (of = subject): Place => ({ subject: of, purpose: `${of}/email` })
  const store = async (sealed: JsonObject, of = subject) => {
    const verdict = await log.append(to(of, 'any', event({ data: sealed })))
    expect(verdict.status).toBe('ok')
  }
  /** What every reader of the log gets for a person's address. */
  const read = async (of = subject, by = keys) => {
    const [first] = await log.readStream(of)
    return by.open(email(of), first?.data as Sealed)
  }
  const remembered = async (value: Json, of = subject) => store(await keys.seal(email(of), value), of)
  const elsewhere = async (work: (other: TestDatabase) => Promise<void>) => {
    const other = await testDatabase()
    await work(other).finally(() => other.close())
  }
  /** The log and all that lies beside it, as anybody with the tables could read them. */
  const dump = async () => {
    const { rows } = await owner.query<{ line: string }>(
      `select e::text as line from es.event e union all select k::text from es.subject_key k
       union all select c::text from es.command c`,
    )
    return rows.map(({ line }) => line).join('\n')
  }

  it.each<[string, Json]>([
    ['text', 'ann@example.org'],
    ['emoji and quotes', `😀 "'\\ \u2028`],
    ['an empty text', ''],
    ['null', null],
    ['a number', 0.1],
    ['an object', { street: 'Main', lines: [1, { deep: true }] }],
    ['64 KiB', 'x'.repeat(65_536)],
  ])('C77 has values that come back from the log as they were: %s', async (_, value) => {
    await remembered(value)
    expect(await read()).toEqual(value)
  })

  it('C77 is forgotten: every read gives Forgotten, the log and its chain stay as they were', async () => {
    await remembered('ann@example.org')
    const before = await log.readStream(subject)
    await remembered('bob@example.org', `${subject}-other`)
    await keys.forget(subject)
    const answer = await read()
    expect(answer).toEqual(new Forgotten(subject, expect.any(String) as unknown as string))
    expect(answer).toBeInstanceOf(Forgotten)
    expect(Date.now() - Date.parse((answer as Forgotten).at)).toBeLessThan(60_000)
    expect(await keysOf(database).open(email(), before[0]?.data as Sealed)).toEqual(answer)
    expect(await log.readStream(subject)).toEqual(before)
    expect(await verifyLog(database.pool)).toMatchObject({ ok: true, head: await log.head() })
    expect(await read(`${subject}-other`)).toBe('bob@example.org')
  })

  it('C77 has no trace in clear in an export or in the tables: not raw, not in base64, not in hex', async () => {
    const canary = randomBytes(24).toString('hex')
    await remembered({ note: canary })
    await keys.forget(`${subject}-unknown`)
    const exported = await buffer(exportEvents(database.pool))
    expect(exported.toString()).toContain(subject)
    const clear = `${exported.toString()}${await dump()}`
    const forms = [0, 1, 2].map((shift) =>
      Buffer.from(' '.repeat(shift) + canary)
        .toString('base64')
        .slice(4, -4),
    )
    for (const form of [canary, Buffer.from(canary).toString('hex'), ...forms]) expect(clear).not.toContain(form)
    for (const key of [keyEncryptionKey, transportKey]) {
      for (const form of ['hex', 'base64'] as const) expect(clear).not.toContain(key.toString(form))
    }
  })

  it('C77 is not brought back by an older backup of the keys', async () => {
    await remembered('ann@example.org')
    const backup = await keys.exportKeys(transportKey)
    await keys.forget(subject)
    const forgotten = await read()
    expect(forgotten).toBeInstanceOf(Forgotten)
    await keys.importKeys(backup, transportKey)
    expect(await read()).toEqual(forgotten)
    for (const list of [await keys.exportKeys(transportKey), backup]) await keys.importKeys(list, transportKey)
    expect(await read()).toEqual(forgotten)
  })

  it('C77 stays forgotten in another store, whichever comes first there: the older keys or the newer tombstones', async () => {
    await remembered('ann@example.org')
    await remembered('bob@example.org', `${subject}-other`)
    const older = await keys.exportKeys(transportKey)
    const bob = (await log.readStream(`${subject}-other`))[0]?.data as Sealed
    const ann = (await log.readStream(subject))[0]?.data as Sealed
    await keys.forget(subject)
    const tombstones = await keys.exportKeys(transportKey, { only: 'tombstones' })
    expect(tombstones.keys.map(Object.keys)).toEqual(tombstones.keys.map(() => ['subject', 'forgottenAt']))
    expect(tombstones.keys.map((item) => item.subject)).toContain(subject)
    for (const lists of [
      [older, tombstones],
      [tombstones, older],
    ]) {
      await elsewhere(async (other) => {
        const restored = keysOf(other, randomBytes(32))
        for (const list of lists) await restored.importKeys(list, transportKey)
        expect(await restored.open(email(), ann)).toBeInstanceOf(Forgotten)
        expect(await restored.open(email(`${subject}-other`), bob)).toBe('bob@example.org')
      })
    }
  })

  it('C77 is in a list of keys that nobody can edit unseen: no tombstone is taken out, put in, dated or swapped for a key', async () => {
    await remembered('ann@example.org')
    const older = await keys.exportKeys(transportKey)
    await keys.forget(subject)
    const list = await keys.exportKeys(transportKey)
    const place = list.keys.findIndex((item) => item.subject === subject)
    const edited = (edit: (keys: ExportedKey[]) => ExportedKey[]): ExportedKeys => ({
      ...list,
      keys: edit([...list.keys]),
    })
    const living = older.keys.find((item) => item.subject === subject) as ExportedKey
    const forgeries: [string, ExportedKeys][] = [
      ['taken out', edited((items) => items.toSpliced(place, 1))],
      ['brought back to life', edited((items) => items.with(place, living))],
      ['a key beside the tombstone', edited((items) => [...items, living])],
      ['a key in the tombstone', edited((items) => items.with(place, { ...living, ...list.keys[place] }))],
      ['another date', edited((items) => items.with(place, { subject, forgottenAt: '2000-01-01T00:00:00.000000Z' }))],
      ['another subject', edited((items) => items.with(place, { ...(list.keys[place] as ExportedKey), subject: 'x' }))],
      ['a field more', { ...list, note: '' } as ExportedKeys],
      ['one more', edited((items) => [...items, { subject: 'x', forgottenAt: '2000-01-01T00:00:00.000000Z' }])],
      ['another order', edited((items) => items.toReversed())],
      ['emptied', edited(() => [])],
      ['the MAC of another list', { ...list, mac: older.mac }],
      ['no MAC', { ...list, mac: '' }],
      ['a later date', { ...older, exportedAt: list.exportedAt }],
      ['the bare array of before', list.keys as unknown as ExportedKeys],
      ['another format', { ...list, format: 'subject-keys/2' as ExportedKeys['format'] }],
    ]
    await elsewhere(async (other) => {
      const restored = keysOf(other)
      for (const [what, forgery] of forgeries) {
        const outcome = await restored.importKeys(forgery, transportKey).catch((error: unknown) => error)
        expect([what, outcome]).toEqual([what, expect.objectContaining({ code: 'Invalid' })])
      }
      await expect(restored.importKeys(list, randomBytes(32))).rejects.toMatchObject({ code: 'Invalid' })
      await restored.importKeys(JSON.parse(JSON.stringify(list)) as ExportedKeys, transportKey)
      expect((await restored.exportKeys(transportKey)).keys.find((item) => item.subject === subject)).toEqual(
        list.keys[place],
      )
    })
  })

  it('C77 is forgotten together with the event that says so, or not at all', async () => {
    await remembered('ann@example.org')
    const client = await database.connect({ role: 'mcpd_app' })
    const forgetAnd = async (end: 'commit' | 'rollback') => {
      await client.query('begin')
      await keys.forget(subject, client)
      await log.appendWithin(client, to(subject, 1, event({ type: 'PersonForgotten' })))
      expect(await read()).toBe('ann@example.org')
      await client.query(end)
    }
    await forgetAnd('rollback')
    expect(await read()).toBe('ann@example.org')
    await forgetAnd('commit')
    expect(await read()).toBeInstanceOf(Forgotten)
    expect((await log.readStream(subject)).map(({ type }) => type)).toEqual(['Happened', 'PersonForgotten'])
  })

  it('gets its key together with its first event, or not at all', async () => {
    const client = await database.connect({ role: 'mcpd_app' })
    await client.query('begin')
    const lost = await keys.seal(email(), 'ann@example.org', client)
    await client.query('rollback')
    await expect(keys.open(email(), lost)).rejects.toMatchObject({ reason: 'no-key' })
    await client.query('begin')
    const sealed = await keys.seal(email(), 'ann@example.org', client)
    await log.appendWithin(client, to(subject, 'none', event({ data: sealed })))
    await client.query('commit')
    expect(await read()).toBe('ann@example.org')
  })

  it('can have no new values once it is forgotten; what was sealed in the meantime is unreadable too', async () => {
    const sealed = await keys.seal(email(), 'ann@example.org')
    await keys.forget(subject)
    await keys.forget(subject)
    await store(sealed)
    expect(await read()).toBeInstanceOf(Forgotten)
    await expect(keys.seal(email(), 'back')).rejects.toMatchObject({ code: 'Expired' })
    await keys.forget(`${subject}-never-seen`)
    await expect(keys.seal(email(`${subject}-never-seen`), 'new')).rejects.toMatchObject({ code: 'Expired' })
  })

  it('has one key, however many daemons seal its first values at once', async () => {
    const sealed = await Promise.all(
      Array.from({ length: 16 }, (_, i) => keysOf(database).seal({ subject, purpose: String(i) }, i)),
    )
    expect(new Set(sealed.map(({ key }) => key)).size).toBe(1)
    expect(new Set(sealed.map(({ ciphertext }) => ciphertext.slice(0, 16))).size).toBe(16)
    const items = sealed.map((value, i) => ({ subject, purpose: String(i), sealed: value }))
    expect(await keys.openAll(items)).toEqual(Array.from({ length: 16 }, (_, i) => i))
  })

  it('shows of a value no more than its length in steps of 64 bytes', async () => {
    const lengths = await Promise.all(
      ['', 'a', 'x'.repeat(62), 'x'.repeat(63)].map(async (value) => {
        const { ciphertext } = await keys.seal(email(), value)
        return Buffer.from(ciphertext, 'base64').length - 28
      }),
    )
    expect(lengths).toEqual([64, 64, 64, 128])
  })

  it('is not undone by a value that was moved: to another subject, purpose or store, or with a byte changed', async () => {
    const sealed = await keys.seal(email(), 'ann@example.org')
    const other = await keys.seal(email(`${subject}-other`), 'bob@example.org')
    const bytes = Buffer.from(sealed.ciphertext, 'base64')
    const moved: [Place, Sealed][] = [
      [email(`${subject}-other`), sealed],
      [email(`${subject}-other`), { ...sealed, key: other.key }],
      [{ subject, purpose: `${subject}/name` }, sealed],
      [email(), { ...sealed, origin: '00000000-0000-4000-8000-000000000000' }],
      [email(), { ...sealed, ciphertext: '' }],
      ...Array.from(bytes, (_, i): [Place, Sealed] => {
        const changed = Buffer.from(bytes)
        changed[i] = changed[i]! ^ 1
        return [email(), { ...sealed, ciphertext: changed.toString('base64') }]
      }),
    ]
    for (const [place, value] of moved) {
      await expect(keys.open(place, value)).rejects.toMatchObject({ name: 'DomainError', subject: place.subject })
    }
    expect(await keys.open(email(), sealed)).toBe('ann@example.org')
  })

  it('is unreadable under another key-encryption key, with an error of its own; others are readable beside it', async () => {
    const otherKey = randomBytes(32)
    const strange = keysOf(database, otherKey)
    const mine = { ...email(), sealed: await keys.seal(email(), 'ann@example.org') }
    const theirs = { ...email(`${subject}-b`), sealed: await strange.seal(email(`${subject}-b`), 'bob@example.org') }
    const gone = { ...email(`${subject}-c`), sealed: await keys.seal(email(`${subject}-c`), 'cy@example.org') }
    await keys.forget(gone.subject)
    const [ann, bob, cy] = await strange.openAll([mine, theirs, gone])
    expect(ann).toBeInstanceOf(Undecryptable)
    expect(ann).toMatchObject({ code: 'Conflict', reason: 'wrong-key', subject })
    expect([bob, cy]).toEqual(['bob@example.org', expect.any(Forgotten)])
    await expect(strange.seal(email(), 'x')).rejects.toMatchObject({ reason: 'wrong-key' })
    await expect(strange.exportKeys(transportKey)).rejects.toBeInstanceOf(Undecryptable)
    await strange.forget(subject)
    expect(await keys.open(email(), mine.sealed)).toBeInstanceOf(Forgotten)
    await keys.forget(theirs.subject)
    for (const text of [inspect(ann, { depth: 9 }), inspect(strange, { depth: 9 })]) {
      for (const form of ['hex', 'base64'] as const) expect(text).not.toContain(otherKey.toString(form))
      expect(text).not.toContain('example.org')
    }
  })

  it('keeps its key where two stores gave it different ones, and nothing of the list is taken over', async () => {
    await elsewhere(async (other) => {
      const there = keysOf(other)
      await there.seal(email(`${subject}-new`), 'cy@example.org')
      await there.seal(email(), 'ann@example.org')
      const sealed = await keys.seal(email(), 'bob@example.org')
      const foreign = await there.exportKeys(transportKey)
      await expect(keys.importKeys(foreign, transportKey)).rejects.toMatchObject({
        code: 'Conflict',
        message: `subject "${subject}" has a key, which can be destroyed but not replaced`,
      })
      expect(await keys.open(email(), sealed)).toBe('bob@example.org')
      expect((await keys.exportKeys(transportKey)).keys.map((item) => item.subject)).not.toContain(`${subject}-new`)
    })
  })

  it.each([
    [
      'the key comes back',
      `update es.subject_key set wrapped = 'x', kek_id = 'x', key_id = gen_random_uuid(), forgotten_at = null`,
    ],
    ['the tombstone changes its time', `update es.subject_key set forgotten_at = now()`],
    ['the tombstone changes its name', `update es.subject_key set subject = 'other'`],
    ['the row goes', 'delete from es.subject_key'],
    ['the table is emptied', 'truncate es.subject_key'],
    ['a tombstone in part', `insert into es.subject_key (subject, forgotten_at, kek_id) values ('x', now(), 'x')`],
    [
      'a key without material',
      `insert into es.subject_key (subject, key_id, kek_id) values ('x', gen_random_uuid(), 'x')`,
    ],
  ])('C77 is protected by the table itself, from the application and from its owner by mistake: %s', async (_, sql) => {
    await keys.forget(subject)
    const where = /^(insert|truncate)/.test(sql) ? '' : ` where subject = '${subject}'`
    for (const client of [database.pool, owner]) {
      const code = expect.stringMatching(/^(42501|23001|23514)$/) as unknown as string
      await expect(client.query(sql + where)).rejects.toMatchObject({ code })
    }
    const tombstones = (await keys.exportKeys(transportKey, { only: 'tombstones' })).keys
    expect(tombstones.map((item) => item.subject)).toContain(subject)
  })

  it('has a key that the application may destroy and not exchange', async () => {
    const sealed = await keys.seal(email(), 'ann@example.org')
    const set = (columns: string) =>
      database.pool.query(`update es.subject_key set ${columns} where subject = '${subject}'`)
    await expect(set(`wrapped = 'x'`)).rejects.toMatchObject({ code: '23001' })
    await expect(set(`created_at = now()`)).rejects.toMatchObject({ code: denied })
    await expect(database.pool.query('delete from es.subject_key')).rejects.toMatchObject({ code: denied })
    expect(await keys.open(email(), sealed)).toBe('ann@example.org')
  })

  it('takes keys of 32 bytes only, and values that are JSON', async () => {
    const { pool } = database
    for (const key of [randomBytes(16), randomBytes(33), createSecretKey(randomBytes(31))])
      expect(() => new SubjectKeys({ pool, keyEncryptionKey: key })).toThrow('a key must have 32 bytes')
    for (const value of [undefined, NaN, new Date(0), '\u0000', '\ud800'] as Json[])
      await expect(keys.seal(email(), value)).rejects.toMatchObject({ code: 'Invalid' })
    await expect(keys.forget('\u0000')).rejects.toMatchObject({ code: 'Invalid' })
    const hostile = `'; drop table es.event; -- ${'x'.repeat(1_000)}`
    expect(await keys.open(email(hostile), await keys.seal(email(hostile), 1))).toBe(1)
  })
})
