import { copyFile, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Condition, ResourceObject } from '@mcpctl/contracts'
import { SubjectKeys } from '@mcpctl/event-store'
import { KeyFile } from '@mcpctl/vault'
import { newKek } from '@mcpctl/vault/kek-source'
import type { Client } from 'pg'
import { expectStatus, listOf, objectOf, problemOf, startDaemon, type TestDaemon } from '../../../test/support/daemon'
import { position } from '../../../test/support/log'
import { Secrets } from '../../../test/support/secrets'

let daemon: TestDaemon
let secrets: Secrets
let owner: Client

beforeAll(async () => {
  daemon = await startDaemon()
  secrets = new Secrets(daemon)
  owner = await daemon.database.connect()
}, 60_000)
afterAll(() => daemon.close())

const conditionsOf = ({ status }: ResourceObject) => status['conditions'] as Condition[]

describe.each<[string, string, (path: string) => Promise<unknown>, RegExp]>([
  ['no key-encryption key', 'none', () => Promise.resolve(), /there is no key in .*; put the file back/],
  [
    'another key-encryption key',
    'wrong',
    (path) => new KeyFile(path).create([newKek()]),
    /does not hold the key .* of this store; put the file back/,
  ],
])('a daemon that is started with %s', (_, folder, make, why) => {
  let closed: TestDaemon
  let others: Secrets
  let kekFile: string
  const value = () => secrets.value()

  beforeAll(async () => {
    kekFile = join(daemon.parts.config.dataDirectory, folder, 'kek')
    await mkdir(dirname(kekFile), { mode: 0o700 })
    await make(kekFile)
    closed = await startDaemon({ database: daemon.database, kekFile, hasContext: false })
    others = new Secrets({
      ...closed,
      send: (path, sent = {}) =>
        closed.send(path, { ...sent, headers: { authorization: `Bearer ${daemon.token}`, ...sent.headers } }),
    })
  }, 60_000)
  afterAll(() => closed.close())

  it('serves everything else, and says what is wrong', async () => {
    const body = { name: `${folder}-server`, package: 'npm:echo@1.0.0', replicas: 0 }
    expectStatus(201, await others.daemon.send('/api/v1/servers', { body }))
    expectStatus(200, await others.daemon.send('/api/v1/users'))
    expectStatus(200, await others.daemon.send('/readyz'))
    expect(closed.logged()).toMatch(why)
  })

  it('lists and shows secrets, and says of each that it cannot be opened', async () => {
    const { metadata } = await secrets.create({ token: value() })
    const list = listOf(expectStatus(200, await others.daemon.send('/api/v1/secrets?limit=1000')))
    const shown = list.items.filter(({ metadata: { uid } }) => uid === metadata.uid)
    for (const secret of [...shown, await others.get(metadata.name)]) {
      const [condition] = conditionsOf(secret)
      expect(condition).toMatchObject({ type: 'Undecryptable', status: 'True', reason: 'SecretUndecryptable' })
      expect(condition?.message).toMatch(why)
    }
    expect(shown).toHaveLength(1)
    expect(conditionsOf(await secrets.get(metadata.name))).toEqual([])
  })

  it('refuses to write values, with the reason, and stores nothing', async () => {
    const { name, uid } = (await secrets.create({ token: value() })).metadata
    const before = await position(daemon)
    const data = { token: value() }
    for (const refused of [
      await others.daemon.send('/api/v1/secrets', { body: { name: secrets.unusedName(), data } }),
      await others.replace(name, data),
      await others.apply(name, data),
      await others.daemon.send('/api/v1/apply?dryRun=All', { body: { secrets: [{ name, data }] } }),
    ]) {
      expect(problemOf(expectStatus(503, refused)).detail).toMatch(why)
      expect(refused.text).not.toContain(data.token)
    }
    expect(await position(daemon)).toBe(before)
    expect(await secrets.keys(uid)).toEqual({ live: [1], destroyed: [] })
  })

  it('reveals nothing, and takes that for no attack', async () => {
    const { name, uid } = (await secrets.create({ token: value() })).metadata
    expect(problemOf(expectStatus(503, await others.reveal(name))).detail).toMatch(why)
    expect(await secrets.events(uid)).toHaveLength(2)
  })

  it('changes what needs no key, and deletes', async () => {
    const { name, uid } = (await secrets.create({ token: value() })).metadata
    expectStatus(200, await others.replace(name, { token: { keep: true } }, { labels: { by: 'others' } }))
    expectStatus(200, await others.delete(name))
    expect(await secrets.keys(uid)).toEqual({ live: [], destroyed: [1] })
  })

  it('works again as soon as the right file is there, without being started anew', async () => {
    const given = value()
    const { name } = (await secrets.create({ token: given })).metadata
    await copyFile(daemon.parts.config.kekFile, kekFile)
    expect(await others.values(name)).toEqual({ token: given })
    expect(conditionsOf(await others.get(name))).toEqual([])
    expectStatus(200, await others.replace(name, { token: value() }))
  })
})

/** What stands in the log of one version. */
interface Stored {
  values: Record<string, { ciphertext: { ciphertext: string; key: string }; fingerprint: string; binary: boolean }>
}

const storedOf = async (uid: string, version: number): Promise<Stored> => {
  const { rows } = await owner.query<{ data: Stored }>(
    `select data from es.event where stream_id = $1 and type = 'SecretVersionSet' and (data->>'version')::int = $2`,
    [`secret-${uid}`, version],
  )
  if (!rows[0]) throw new Error('there is no such version')
  return rows[0].data
}

/** As only who owns the tables can. */
const store = async (uid: string, version: number, data: Stored) => {
  await owner.query('begin')
  await owner.query('set local session_replication_role = replica')
  await owner.query(
    `update es.event set data = $3 where stream_id = $1 and type = 'SecretVersionSet' and (data->>'version')::int = $2`,
    [`secret-${uid}`, version, JSON.stringify(data)],
  )
  await owner.query('commit')
}

const bytesOf = ({ ciphertext }: Stored['values'][string]) => Buffer.from(ciphertext.ciphertext, 'base64')
const withBytes = (value: Stored['values'][string], bytes: Buffer) => ({
  ...value,
  ciphertext: { ...value.ciphertext, ciphertext: bytes.toString('base64') },
})
const flipped = (bytes: Buffer, at: number) => {
  const changed = Buffer.from(bytes)
  changed[at < 0 ? changed.length + at : at]! ^= 1
  return changed
}

type Change = (stored: Stored, others: { before: Stored; another: Stored }) => Stored['values'][string]
const token = ({ values }: Stored) => values['token']!

/** What somebody could do to the ciphertext of the key "token" of the second version. */
const attacks: [string, Change][] = [
  ['with a bit of the value flipped', (stored) => withBytes(token(stored), flipped(bytesOf(token(stored)), 20))],
  ['with a bit of the nonce flipped', (stored) => withBytes(token(stored), flipped(bytesOf(token(stored)), 0))],
  ['with a bit of the tag flipped', (stored) => withBytes(token(stored), flipped(bytesOf(token(stored)), -1))],
  [
    'with the tag cut off after four bytes',
    (stored) => withBytes(token(stored), bytesOf(token(stored)).subarray(0, -12)),
  ],
  ['with nothing left of it', (stored) => withBytes(token(stored), Buffer.alloc(0))],
  [
    'with what is no base64',
    (stored) => ({ ...token(stored), ciphertext: { ...token(stored).ciphertext, ciphertext: '?' } }),
  ],
  ['with the value of another key', (stored) => stored.values['user']!],
  ['with the value that it had before', (_, { before }) => token(before)],
  [
    'with the value that it had before under the key of now',
    (stored, { before }) => withBytes(token(stored), bytesOf(token(before))),
  ],
  ['with the value of another secret', (_, { another }) => token(another)],
  [
    'with the value of another secret under its own key',
    (stored, { another }) => withBytes(token(stored), bytesOf(token(another))),
  ],
  [
    'as from another store',
    (stored) => ({ ...token(stored), ciphertext: { ...token(stored).ciphertext, origin: 'another' } }),
  ],
]

describe('a secret whose ciphertext somebody has changed', () => {
  it.each(attacks)('B46: %s is refused and alarmed once, and the rest of it is not hurt', async (_, change) => {
    const given = secrets.value()
    const { metadata } = await secrets.create({ token: secrets.value(), user: 'alice' })
    const another = (await secrets.create({ token: secrets.value(), user: 'bob' })).metadata
    const { name, uid } = metadata
    expectStatus(200, await secrets.replace(name, { token: given, user: 'carol' }))
    const stored = await storedOf(uid, 2)
    const others = { before: await storedOf(uid, 1), another: await storedOf(another.uid, 1) }
    await store(uid, 2, { ...stored, values: { ...stored.values, token: change(stored, others) } })

    for (let time = 0; time < 2; time++) {
      const refused = expectStatus(503, await secrets.reveal(name))
      expect(problemOf(refused).detail).toContain(`key "token" of secret "${name}" cannot be opened`)
      expect(refused.text).not.toContain(given)
    }
    const alarms = async () =>
      (await secrets.events(uid)).filter(({ type }) => type === 'SecretUndecryptable').map(({ data }) => data)
    expect(await alarms()).toEqual([{ version: 2, keys: ['token'] }])
    const [condition] = conditionsOf(await secrets.get(name))
    expect(condition).toMatchObject({ type: 'Undecryptable', status: 'True' })
    expect(condition?.message).toContain('of version 2, token cannot be opened')
    expectStatus(200, await daemon.send('/api/v1/secrets?limit=1000'))
    expectStatus(200, await secrets.reveal(name, { keys: ['user'] }))
    expectStatus(200, await secrets.reveal(name, { version: 1 }))

    // It cannot be kept, as it would be lost; a new value heals, and so does the old one where it comes back.
    const keep = { token: { keep: true }, user: 'dora' }
    expect(problemOf(expectStatus(503, await secrets.replace(name, keep))).detail).toContain('"token"')
    await store(uid, 2, stored)
    expect(await secrets.values(name)).toEqual({ token: given, user: 'carol' })
    expect(conditionsOf(await secrets.get(name))).toEqual([])
    expect(await alarms()).toEqual([
      { version: 2, keys: ['token'] },
      { version: 2, keys: [] },
    ])
  })

  it('takes a new value, also the same as before, and is well', async () => {
    const given = secrets.value()
    const { name, uid } = (await secrets.create({ token: given })).metadata
    const stored = await storedOf(uid, 1)
    await store(uid, 1, { ...stored, values: { token: withBytes(token(stored), flipped(bytesOf(token(stored)), 20)) } })
    expectStatus(503, await secrets.reveal(name))
    expectStatus(200, await secrets.replace(name, { token: given }))
    expect(await secrets.values(name)).toEqual({ token: given })
    expect(conditionsOf(await secrets.get(name))).toEqual([])
  })

  it('B46: a data key that was moved to another secret opens nothing', async () => {
    const [first, second] = [await secrets.create({ token: 'a' }), await secrets.create({ token: 'b' })]
    const wrapped = async (uid: string) =>
      (await owner.query<{ wrapped: Buffer }>(`select wrapped from es.subject_key where subject = $1 || '/1'`, [uid]))
        .rows[0]!.wrapped
    const put = async (uid: string, bytes: Buffer) => {
      await owner.query('begin')
      await owner.query('set local session_replication_role = replica')
      await owner.query(`update es.subject_key set wrapped = $2 where subject = $1 || '/1'`, [uid, bytes])
      await owner.query('commit')
    }
    const own = await wrapped(first.metadata.uid)
    await put(first.metadata.uid, await wrapped(second.metadata.uid))
    expectStatus(503, await secrets.reveal(first.metadata.name))
    await put(first.metadata.uid, own)
    expect(await secrets.values(first.metadata.name)).toEqual({ token: 'a' })
  })

  it('takes the values that it had, given again, where a restore has brought the end of their key', async () => {
    const given = secrets.value()
    const { name, uid } = (await secrets.create({ token: given })).metadata
    await new SubjectKeys({ pool: daemon.database.pool, keyEncryptionKey: new Uint8Array(32) }).forget(`${uid}/1`)
    expectStatus(410, await secrets.reveal(name))
    expect(objectOf(expectStatus(200, await secrets.replace(name, { token: given }))).status['version']).toBe(2)
    expect(await secrets.values(name)).toEqual({ token: given })
    expect(objectOf(expectStatus(200, await secrets.replace(name, { token: given }))).status['version']).toBe(2)
  })

  it('B46: a data key that is gone is an alarm, not a version that was destroyed', async () => {
    const { name, uid } = (await secrets.create({ token: 'a' })).metadata
    await owner.query('begin')
    await owner.query('set local session_replication_role = replica')
    await owner.query(`delete from es.subject_key where subject = $1 || '/1'`, [uid])
    await owner.query('commit')
    expect(conditionsOf(await secrets.get(name))[0]?.message).toContain('the key of the current version is gone')
    expectStatus(503, await secrets.reveal(name))
    expect((await secrets.events(uid)).at(-1)).toMatchObject({ type: 'SecretUndecryptable' })
    expect(objectOf(expectStatus(200, await secrets.replace(name, { token: 'b' }))).status['version']).toBe(2)
    expect(await secrets.values(name)).toEqual({ token: 'b' })
  })
})

it('leaves no value in events, kept answers, objects or the log', async () => {
  expect(await secrets.leaks()).toEqual([])
})
