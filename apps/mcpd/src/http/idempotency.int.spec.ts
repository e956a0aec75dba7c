import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import {
  expectStatus,
  objectOf,
  problemOf,
  startDaemon,
  tokenOf,
  type Sent,
  type TestDaemon,
} from '../../../../test/support/daemon'
import { appended, position } from '../../../../test/support/log'

let daemon: TestDaemon

beforeAll(async () => {
  daemon = await startDaemon()
}, 60_000)
afterAll(() => daemon.close())

const source = 'npm:echo@1.0.0'
let count = 0
const unusedName = () => `thing-${String(++count)}`
const keyed = (key: string, sent: Sent): Sent => ({ ...sent, headers: { ...sent.headers, 'idempotency-key': key } })
const newServer = async () =>
  objectOf(expectStatus(201, await daemon.send('/api/v1/servers', { body: { name: unusedName(), package: source } })))

/** Each verb that changes something: where to, and what. */
const verbs: [string, () => Promise<[string, Sent]>][] = [
  ['POST', () => Promise.resolve(['/api/v1/servers', { body: { name: unusedName(), package: source } }])],
  [
    'PUT',
    async () => {
      const { metadata } = await newServer()
      const headers = { 'if-match': `"${metadata.resourceVersion}"` }
      return [`/api/v1/servers/${metadata.name}`, { method: 'PUT', body: { package: source, replicas: 7 }, headers }]
    },
  ],
  [
    'PUT of nothing new',
    async () => {
      const { metadata, spec } = await newServer()
      return [
        `/api/v1/servers/${metadata.name}`,
        { method: 'PUT', body: { metadata: { name: metadata.name }, spec }, headers: { 'if-match': '*' } },
      ]
    },
  ],
  [
    'scale',
    async () => [
      `/api/v1/servers/${(await newServer()).metadata.name}/scale`,
      { method: 'PUT', body: { spec: { replicas: 5 } } },
    ],
  ],
  ['apply', () => Promise.resolve(['/api/v1/apply', { body: { servers: [{ name: unusedName(), package: source }] } }])],
  ['DELETE of a server', async () => [`/api/v1/servers/${(await newServer()).metadata.name}`, { method: 'DELETE' }]],
  [
    'DELETE of a project',
    async () => {
      const name = unusedName()
      expectStatus(201, await daemon.send('/api/v1/projects', { body: { name } }))
      return [`/api/v1/projects/${name}`, { method: 'DELETE' }]
    },
  ],
]

describe('a request that is sent again with its idempotency key', () => {
  it.each(verbs)('%s is answered again, and done once', async (_, make) => {
    const [path, sent] = await make()
    const key = randomUUID()
    const first = await daemon.send(path, keyed(key, sent))
    const after = await position(daemon)
    const second = await daemon.send(path, keyed(key, sent))
    expect(first.headers.get('idempotency-replayed')).toBeNull()
    expect(second.headers.get('idempotency-replayed')).toBe('true')
    expect([second.status, JSON.parse(second.text)]).toEqual([first.status, JSON.parse(first.text)])
    expect(second.headers.get('etag')).toBe(first.headers.get('etag'))
    expect(await position(daemon)).toBe(after)
  })

  it('is answered as it was, whatever has happened since', async () => {
    const name = unusedName()
    const create = keyed(randomUUID(), { body: { name } })
    const first = expectStatus(201, await daemon.send('/api/v1/projects', create))
    expectStatus(
      200,
      await daemon.send(`/api/v1/projects/${name}`, {
        method: 'PUT',
        body: { description: 'new' },
        headers: { 'if-match': '*' },
      }),
    )
    expect((await daemon.send('/api/v1/projects', create)).text).toBe(first.text)
    expectStatus(200, await daemon.send(`/api/v1/projects/${name}`, { method: 'DELETE' }))
    const replayed = await daemon.send('/api/v1/projects', create)
    expect([replayed.status, replayed.text]).toEqual([201, first.text])
    expectStatus(404, await daemon.send(`/api/v1/projects/${name}`))
  })

  it('is refused with another body, verb, place or precondition', async () => {
    const { metadata } = await newServer()
    const path = `/api/v1/servers/${metadata.name}`
    const key = randomUUID()
    const headers = { 'if-match': '*' }
    const sent = { method: 'PUT', body: { package: source, replicas: 2 }, headers }
    expectStatus(200, await daemon.send(path, keyed(key, sent)))
    const before = await position(daemon)
    const others: [string, Sent][] = [
      [path, { ...sent, body: { package: source, replicas: 3 } }],
      [path, { ...sent, headers: { 'if-match': `"${metadata.resourceVersion}"` } }],
      [path, { method: 'DELETE', headers }],
      [`/api/v1/servers/${(await newServer()).metadata.name}`, sent],
    ]
    for (const [where, other] of others) {
      const refused = await daemon.send(where, keyed(key, other))
      expect([refused.status, problemOf(refused).reason]).toEqual([422, 'IdempotencyKeyReused'])
    }
    expect(await position(daemon)).toBe(before + 1n)
  })

  it('is a request of its own when another user sends it', async () => {
    const token = await tokenOf(daemon, 'bob')
    const key = randomUUID()
    const mine = await daemon.send('/api/v1/projects', keyed(key, { body: { name: unusedName() } }))
    const authorization = `Bearer ${token}`
    const theirs = await daemon.send(
      '/api/v1/projects',
      keyed(key, { body: { name: unusedName() }, headers: { authorization } }),
    )
    expect([mine.status, theirs.status]).toEqual([201, 201])
    expect(objectOf(theirs).metadata.createdBy).toBe('bob')
  })

  it('at the same moment is done once and answered each time', async () => {
    const name = unusedName()
    const key = randomUUID()
    const send = () => daemon.send('/api/v1/servers', keyed(key, { body: { name, package: source } }))
    const answers = await Promise.all(Array.from({ length: 20 }, send))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]))
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
    const [answer] = answers
    expect(await appended(daemon, answer ? objectOf(answer).metadata.uid : '')).toEqual(['ServerCreated'])
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1)
  })

  it('at the same moment with another body is done once, and refused once', async () => {
    const key = randomUUID()
    const send = (name: string) => daemon.send('/api/v1/projects', keyed(key, { body: { name } }))
    const answers = await Promise.all([send(unusedName()), send(unusedName())])
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 422])
  })

  it('may be sent anew after it was refused', async () => {
    const [name, key] = [unusedName(), randomUUID()]
    const create = keyed(key, { body: { name, servers: [name] } })
    expectStatus(422, await daemon.send('/api/v1/projects', create))
    expectStatus(201, await daemon.send('/api/v1/servers', { body: { name, package: source } }))
    expectStatus(201, await daemon.send('/api/v1/projects', create))
  })

  it('does nothing in a dry run, and keeps the key for the real one', async () => {
    const create = keyed(randomUUID(), { body: { name: unusedName() } })
    const before = await position(daemon)
    expectStatus(201, await daemon.send('/api/v1/projects?dryRun=All', create))
    expect(await position(daemon)).toBe(before)
    expectStatus(201, await daemon.send('/api/v1/projects', create))
  })

  it.each([['k'.repeat(256)], ['with space'], ['naïve']])('must have a key that is one, not %j', async (key) => {
    expectStatus(400, await daemon.send('/api/v1/projects', keyed(key, { body: { name: unusedName() } })))
  })
})
