import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import {
  expectStatus,
  objectOf,
  problemOf,
  startDaemon,
  type Received,
  type TestDaemon,
} from '../../../test/support/daemon'
import { position } from '../../../test/support/log'
import { Secrets } from '../../../test/support/secrets'

const KiB = 1024

let daemon: TestDaemon
let secrets: Secrets

beforeAll(async () => {
  daemon = await startDaemon()
  secrets = new Secrets(daemon)
}, 60_000)
afterAll(() => daemon.close())

const pointers = (received: Received) => problemOf(received).errors?.map(({ pointer }) => pointer)
const typesOf = async (uid: string) => (await secrets.events(uid)).map(({ type }) => type)
const outcomesOf = ({ text }: Received) =>
  (JSON.parse(text) as { results: { plural: string; outcome: string }[] }).results.map(
    ({ plural, outcome }) => `${plural} ${outcome}`,
  )

describe('a secret', () => {
  it('is made, and shows its keys and no value', async () => {
    const value = secrets.value()
    const { metadata, spec, status } = await secrets.create({ token: value, empty: '' }, { labels: { team: 'web' } })
    expect(metadata).toMatchObject({ labels: { team: 'web' }, generation: 1 })
    expect(spec).toEqual({ data: { token: { keep: true }, empty: { keep: true } } })
    expect(status).toMatchObject({ version: 1, keys: expect.arrayContaining(['token', 'empty']), conditions: [] })
    expect(await typesOf(metadata.uid)).toEqual(['SecretCreated', 'SecretVersionSet'])
    expect(await secrets.values(metadata.name)).toEqual({ token: value, empty: '' })
    expect(await secrets.keys(metadata.uid)).toEqual({ live: [1], destroyed: [] })
  })

  it('B44: comes back byte by byte: newlines, all scripts, bytes, nothing', async () => {
    const bytes = randomBytes(300)
    const texts = { lines: 'a\r\nb\n', scripts: 'pässwörd 🐙 ﷽', blank: ' \t ', nothing: '', stars: 'a***' }
    const { metadata } = await secrets.create({
      ...texts,
      der: { value: bytes.toString('base64'), binary: true },
      none: { value: '', binary: true },
      plain: { value: 'text' },
    })
    const answer = expectStatus(200, await secrets.reveal(metadata.name))
    expect((JSON.parse(answer.text) as { values: unknown }).values).toEqual({
      ...Object.fromEntries(Object.entries(texts).map(([key, value]) => [key, { value }])),
      der: { value: bytes.toString('base64'), binary: true },
      none: { value: '', binary: true },
      plain: { value: 'text' },
    })
  })

  it('has names of keys as they come: what objects have, and 253 characters', async () => {
    const data = { constructor: 'a', toString: 'b', 'a.b-c_d': 'c', ['k'.repeat(253)]: 'd', 7: 'e' }
    const { metadata } = await secrets.create(data)
    expect(await secrets.values(metadata.name)).toEqual({ ...data })
    expectStatus(200, await secrets.replace(metadata.name, { toString: { keep: true } }))
    expect(await secrets.values(metadata.name)).toEqual({ toString: 'b' })
  })

  it('B44: holds 64 KiB in a key and 512 KiB in all, and not one byte more', async () => {
    const full = 'v'.repeat(64 * KiB)
    const eight = Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`k${String(n)}`, full]))
    const { metadata } = await secrets.create(eight)
    const large = expectStatus(413, await secrets.replace(metadata.name, { token: `${full}v` }))
    expect(problemOf(large)).toMatchObject({
      reason: 'TooLarge',
      detail: `key "token" of secret "${metadata.name}" may hold at most 64 KiB`,
    })
    const all = expectStatus(413, await secrets.replace(metadata.name, { ...eight, one: 'v' }))
    expect(problemOf(all).detail).toBe(
      `the values of secret "${metadata.name}" may hold at most 512 KiB; spread them over several secrets`,
    )
    const kept = expectStatus(413, await secrets.replace(metadata.name, { ...keepAll(eight), one: 'v' }))
    expect(problemOf(kept).detail).toContain('at most 512 KiB')
    // Of bytes, those that are meant count, not the letters of base64.
    const bytes = (length: number) => ({ value: Buffer.alloc(length, 255).toString('base64'), binary: true })
    expectStatus(200, await secrets.replace(metadata.name, { der: bytes(64 * KiB) }))
    expectStatus(413, await secrets.replace(metadata.name, { der: bytes(64 * KiB + 1) }))
    expect((await secrets.get(metadata.name)).status['version']).toBe(2)
  })

  it('B44: whatever is wrong with its data says where, shows no value, and stores nothing', async () => {
    const value = secrets.value()
    const before = await position(daemon)
    for (const wrong of [
      { '../k': value },
      { token: `${value}\0` },
      { token: { value, binary: true, extra: 1 } },
      { token: 7 },
      { token: null },
      { token: '********' },
      { [`${value}/`]: 'x' },
      value,
    ]) {
      const refused = expectStatus(422, await daemon.send('/api/v1/secrets', { body: { name: 'wrong', data: wrong } }))
      expect(pointers(refused)).toEqual(['/data'])
      expect(refused.text).not.toContain(value)
    }
    const many = Object.fromEntries(Array.from({ length: 257 }, (_, n) => [`k${String(n)}`, '']))
    expectStatus(422, await daemon.send('/api/v1/secrets', { body: { name: 'wrong', data: many } }))
    expect(await position(daemon)).toBe(before)
  })

  it('B44: is not taken for what is no UTF-8, or half a character: base64 carries that', async () => {
    const raw = (text: string, encoding: BufferEncoding) =>
      daemon.send('/api/v1/secrets', { raw: Buffer.from(`{"name":"raw","data":{"token":"${text}"}}`, encoding) })
    for (const refused of [await raw('\xff\xfe', 'latin1'), await raw('\\ud800', 'utf8')])
      expect(problemOf(expectStatus(400, refused)).reason).toBe('BadRequest')
  })

  it('B45: is not overwritten by its mask', async () => {
    const value = secrets.value()
    const { metadata } = await secrets.create({ token: value })
    for (const answer of [
      await secrets.apply(metadata.name, { token: '********' }),
      await secrets.replace(metadata.name, { token: { value: '*** (before)' } }),
    ])
      expect(problemOf(expectStatus(422, answer)).errors?.[0]?.message).toContain('token: is a mask, not a value')
    expect(await secrets.values(metadata.name)).toEqual({ token: value })
  })

  it('B43: is no place for a credential but in a value', async () => {
    const token = `ghp_${'a1B2'.repeat(9)}`
    const create = (more: object) => daemon.send('/api/v1/secrets', { body: { name: 'pasted', ...more } })
    for (const more of [
      { annotations: { note: token } },
      { labels: { token } },
      { data: { [token]: 'x' } },
      { name: token.toLowerCase() },
    ]) {
      const refused = expectStatus(422, await create(more))
      expect(refused.text).not.toContain(token)
    }
    const reason = { headers: { 'x-mcpctl-reason': token }, body: { name: 'pasted', data: { a: 'b' } } }
    expect(expectStatus(422, await daemon.send('/api/v1/secrets', reason)).text).not.toContain(token)
    expectStatus(201, await create({ data: { token } }))
  })
})

const keepAll = (data: object) => Object.fromEntries(Object.keys(data).map((key) => [key, { keep: true }]))

describe('writing it again', () => {
  it('sets a version that is whole, and leaves the one before as it was', async () => {
    const [first, second] = [secrets.value(), secrets.value()]
    const { metadata } = await secrets.create({ token: first, user: 'alice' })
    const answer = objectOf(
      expectStatus(200, await secrets.replace(metadata.name, { token: second, user: { keep: true } })),
    )
    expect(answer.status).toMatchObject({ version: 2, versions: [{ version: 1 }, { version: 2 }] })
    expect(await secrets.values(metadata.name)).toEqual({ token: second, user: 'alice' })
    expect(await secrets.values(metadata.name, 1)).toEqual({ token: first, user: 'alice' })
    expect((await secrets.keys(metadata.uid)).live).toEqual([1, 2])
  })

  it('does nothing where the values are the same: given, kept or both', async () => {
    const value = secrets.value()
    const { metadata } = await secrets.create({ token: value, user: 'alice' })
    const before = await position(daemon)
    for (const data of [
      { token: value, user: 'alice' },
      { user: 'alice', token: value },
      { token: { value }, user: { keep: true } },
      { token: { keep: true }, user: { keep: true } },
    ])
      expectStatus(200, await secrets.replace(metadata.name, data))
    expect(outcomesOf(expectStatus(200, await secrets.apply(metadata.name, { token: value, user: 'alice' })))).toEqual([
      'secrets unchanged',
    ])
    expect(await position(daemon)).toBe(before)
    // The same letters as bytes are another value.
    const bytes = { value: Buffer.from(value).toString('base64'), binary: true }
    expectStatus(200, await secrets.replace(metadata.name, { token: bytes, user: { keep: true } }))
    expect((await secrets.get(metadata.name)).status['version']).toBe(2)
  })

  it('takes back what it has shown: reading and sending back keeps everything', async () => {
    const value = secrets.value()
    const { metadata } = await secrets.create({ token: value })
    const shown = await secrets.get(metadata.name)
    const body = { ...shown, metadata: { ...shown.metadata, labels: { edited: 'yes' } } }
    const headers = { 'if-match': `"${shown.metadata.resourceVersion}"` }
    const path = `/api/v1/secrets/${metadata.name}`
    expectStatus(200, await daemon.send(path, { method: 'PUT', body, headers }))
    expect((await secrets.get(metadata.name)).metadata.labels).toEqual({ edited: 'yes' })
    expect(await typesOf(metadata.uid)).toEqual(['SecretCreated', 'SecretVersionSet', 'SecretLabelled'])
    expect(await secrets.values(metadata.name)).toEqual({ token: value })
  })

  it('replaces the whole: a key that is left out is gone', async () => {
    const { metadata } = await secrets.create({ token: secrets.value(), user: 'alice' })
    expectStatus(200, await secrets.replace(metadata.name, { user: { keep: true } }))
    expect(await secrets.values(metadata.name)).toEqual({ user: 'alice' })
    expectStatus(200, await secrets.replace(metadata.name, {}))
    expect(await secrets.values(metadata.name)).toEqual({})
  })

  it('by a manifest removes what the manifest before had, and leaves what others have added', async () => {
    const name = secrets.unusedName()
    expectStatus(200, await secrets.apply(name, { a: '1', b: '2' }))
    expectStatus(200, await secrets.replace(name, { a: { keep: true }, b: { keep: true }, ui: '3' }))
    // Whoever replaced the whole took it over: nothing is the manifest's any more.
    expectStatus(200, await secrets.apply(name, { a: '1' }))
    expect(await secrets.values(name)).toEqual({ a: '1', b: '2', ui: '3' })
    expectStatus(200, await secrets.apply(name, { a: '4', c: '5' }))
    expectStatus(200, await secrets.apply(name, { c: '5' }))
    expect(await secrets.values(name)).toEqual({ b: '2', ui: '3', c: '5' })
  })

  it('keeps nothing that is not there', async () => {
    const { metadata } = await secrets.create({ token: secrets.value() })
    const refused = expectStatus(422, await secrets.replace(metadata.name, { other: { keep: true } }))
    expect(pointers(refused)).toEqual(['/spec/data/other'])
    const bulk = expectStatus(422, await secrets.apply(metadata.name, { other: { keep: true } }))
    expect(pointers(bulk)).toEqual(['/secrets/0/data/other'])
    const none = { name: secrets.unusedName(), data: { token: { keep: true } } }
    expectStatus(422, await daemon.send('/api/v1/secrets', { body: none }))
  })

  it('wants the version that was seen', async () => {
    const { metadata } = await secrets.create({ token: secrets.value() })
    const seen = { headers: { 'if-match': `"${metadata.resourceVersion}"` } }
    expectStatus(200, await secrets.replace(metadata.name, { token: secrets.value() }, {}, seen))
    const value = secrets.value()
    expectStatus(412, await secrets.replace(metadata.name, { token: value }, {}, seen))
    expectStatus(428, await secrets.replace(metadata.name, { token: value }, {}, { headers: { 'if-match': '' } }))
    expect((await secrets.get(metadata.name)).status['version']).toBe(2)
    // Being revealed does not make an edit stale.
    const { metadata: now } = await secrets.get(metadata.name)
    expectStatus(200, await secrets.reveal(metadata.name))
    const fresh = { headers: { 'if-match': `"${now.resourceVersion}"` } }
    expectStatus(200, await secrets.replace(metadata.name, { token: value }, {}, fresh))
  })

  it('is not a way to another name, and one name is one secret', async () => {
    const { metadata } = await secrets.create({ token: secrets.value() })
    const renamed = await secrets.replace(metadata.name, {}, { name: 'another' })
    expectStatus(400, renamed)
    expectStatus(409, await daemon.send('/api/v1/secrets', { body: { name: metadata.name, data: {} } }))
    expectStatus(404, await secrets.replace(secrets.unusedName(), {}))
  })
})

describe('many at once', () => {
  it('each writer gets a version of its own, and nothing is lost or torn', async () => {
    const { metadata } = await secrets.create({ token: 'first', by: 'first' }, { historyLimit: 50 })
    const values = Array.from({ length: 12 }, () => secrets.value())
    const answers = await Promise.all(
      values.map((value) => secrets.replace(metadata.name, { token: value, by: value }, { historyLimit: 50 })),
    )
    expect(answers.map(({ status }) => status)).toEqual(values.map(() => 200))
    const versions = Array.from({ length: 12 }, (_, n) => n + 2)
    const found = await Promise.all(versions.map((version) => secrets.values(metadata.name, version)))
    for (const { token, by } of found) expect(token).toBe(by)
    expect(found.map(({ token }) => token).sort()).toEqual([...values].sort())
    expect((await secrets.keys(metadata.uid)).live).toEqual([1, ...versions])
  })

  it('keys that are kept while others are written go on with the value that they have', async () => {
    const { metadata } = await secrets.create({ a: 'a0', b: 'b0' })
    const keepB = Array.from({ length: 6 }, (_, n) =>
      secrets.replace(metadata.name, { a: `a${String(n + 1)}`, b: keep }),
    )
    const keepA = Array.from({ length: 6 }, (_, n) =>
      secrets.replace(metadata.name, { a: keep, b: `b${String(n + 1)}` }),
    )
    for (const answer of await Promise.all([...keepA, ...keepB])) expectStatus(200, answer)
    const { a, b } = await secrets.values(metadata.name)
    expect([a, b]).not.toContain('a0')
    expect([a, b]).not.toContain('b0')
  })

  it('what is kept is not lost to whoever destroys the version that it is kept from', async () => {
    const limit = { historyLimit: 1 }
    const { metadata } = await secrets.create({ a: 'a0', b: 'b0' }, limit)
    const writes = Array.from({ length: 12 }, (_, n) =>
      secrets.replace(metadata.name, { a: String(n), b: keep }, limit),
    )
    for (const answer of await Promise.all(writes)) expectStatus(200, answer)
    expect(await secrets.values(metadata.name)).toMatchObject({ b: 'b0' })
    expect((await secrets.keys(metadata.uid)).live).toEqual([13])
  })

  it('whoever reads the current version meanwhile has one, whole', async () => {
    const limit = { historyLimit: 1 }
    const { metadata } = await secrets.create({ a: '0', b: '0' }, limit)
    const write = async () => {
      for (let n = 1; n <= 10; n++)
        expectStatus(200, await secrets.replace(metadata.name, { a: String(n), b: String(n) }, limit))
    }
    const read = async () => {
      for (let n = 1; n <= 10; n++) {
        const { a, b } = await secrets.values(metadata.name)
        expect(a).toBe(b)
      }
    }
    await Promise.all([write(), read(), read(), read(), read()])
  })

  it('one of those that make it at once does, and the others are told', async () => {
    const name = secrets.unusedName()
    const create = () => daemon.send('/api/v1/secrets', { body: { name, data: { token: secrets.value() } } })
    const answers = await Promise.all(Array.from({ length: 6 }, create))
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409, 409])
    expect((await secrets.keys((await secrets.get(name)).metadata.uid)).live).toEqual([1])
  })
})

const keep = { keep: true }

describe('a request', () => {
  it('that is only tried shows no value and stores nothing', async () => {
    const value = secrets.value()
    const { metadata } = await secrets.create({ token: secrets.value() })
    const before = [await position(daemon), await keyRows()]
    const name = secrets.unusedName()
    for (const answer of [
      await daemon.send('/api/v1/secrets?dryRun=All', { body: { name, data: { token: value } } }),
      await daemon.send(`/api/v1/secrets/${metadata.name}?dryRun=All`, {
        method: 'PUT',
        body: { name: metadata.name, data: { token: value } },
        headers: { 'if-match': '*' },
      }),
      await daemon.send('/api/v1/apply?dryRun=All', { body: { secrets: [{ name, data: { token: value } }] } }),
      await secrets.delete(metadata.name, '?dryRun=All'),
    ]) {
      expect([200, 201]).toContain(answer.status)
      expect(answer.text).not.toContain(value)
    }
    expect([await position(daemon), await keyRows()]).toEqual(before)
    expectStatus(404, await daemon.send(`/api/v1/secrets/${name}`))
  })

  it('that is sent again with its idempotency key is answered again, and done once', async () => {
    const body = { name: secrets.unusedName(), data: { token: secrets.value() } }
    const send = (more: object = {}) =>
      daemon.send('/api/v1/secrets', { body: { ...body, ...more }, headers: { 'idempotency-key': body.name } })
    const first = expectStatus(201, await send())
    const again = expectStatus(201, await send())
    expect(again.text).toBe(first.text)
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    expect((await secrets.keys(objectOf(first).metadata.uid)).live).toEqual([1])
    expectStatus(422, await send({ data: { token: secrets.value() } }))
  })

  it('leaves no digest by which whoever has the database could try values: two with the same value differ', async () => {
    const body = { name: secrets.unusedName(), data: { pin: '1234' } }
    const hashes = async () =>
      (await daemon.database.pool.query<{ hash: string }>('select request_hash as hash from es.command')).rows
    const before = await hashes()
    for (const key of ['one', 'two'].map((each) => `${body.name}-${each}`)) {
      const headers = { 'idempotency-key': key }
      expectStatus(200, await daemon.send('/api/v1/apply', { body: { secrets: [body] }, headers }))
    }
    const after = await hashes()
    expect(after).toHaveLength(before.length + 2)
    expect(new Set(after.map(({ hash }) => hash)).size).toBe(after.length)
  })

  it('of many documents does all or nothing, and what names a secret may come with it', async () => {
    const name = secrets.unusedName()
    const env = [{ name: 'TOKEN', valueFrom: { secretRef: { name, key: 'token' } } }]
    const server = { name: `${name}-server`, package: 'npm:echo@1.0.0', replicas: 0, env }
    const data = { token: secrets.value() }
    const wrong = {
      servers: [server],
      secrets: [
        { name, data },
        { name: 'a-mask', data: { a: '***' } },
      ],
    }
    expect(pointers(expectStatus(422, await daemon.send('/api/v1/apply', { body: wrong })))).toEqual([
      '/secrets/1/data',
    ])
    const large = { servers: [server], secrets: [{ name, data: { ...data, big: 'v'.repeat(64 * KiB + 1) } }] }
    expectStatus(413, await daemon.send('/api/v1/apply', { body: large }))
    expectStatus(404, await daemon.send(`/api/v1/secrets/${name}`))
    const both = { servers: [server], secrets: [{ name, data }] }
    const applied = expectStatus(200, await daemon.send('/api/v1/apply', { body: both }))
    expect(outcomesOf(applied)).toEqual(['secrets created', 'servers created'])
    expect((await secrets.get(name)).referencedBy).toEqual({ servers: [server.name] })
  })

  it('may carry ten full secrets in one manifest', async () => {
    const data = { a: 'v'.repeat(64 * KiB), b: 'w'.repeat(64 * KiB) }
    const list = Array.from({ length: 10 }, () => ({ name: secrets.unusedName(), data }))
    expectStatus(200, await daemon.send('/api/v1/apply', { body: { secrets: list } }))
    expect(await secrets.values(list[9]?.name ?? '')).toEqual(data)
  })
})

const keyRows = async () =>
  (await daemon.database.pool.query<{ subject: string }>('select subject from es.subject_key order by 1')).rows

it('leaves no value anywhere: not in events, answers that are kept, objects or the log', async () => {
  expect(await secrets.leaks()).toEqual([])
})
