import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import {
  expectStatus,
  listOf,
  objectOf,
  problemOf,
  startDaemon,
  type Received,
  type Sent,
  type TestDaemon,
} from '../../../../test/support/daemon'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import { statusOfRaw } from '../../../../test/support/raw-http'
import { OpenStreams } from './open-streams'
import { goneWithinMs } from '../../../../test/support/deadlines'

let daemon: TestDaemon
let second: TestDaemon
const tokens = new Map<string, string>()

const server = (name: string) => ({ name, package: 'npm:@modelcontextprotocol/server-memory@2025.8.4', replicas: 0 })
const users = ['nora', 'alice', 'bob', 'ivan', 'zoe', 'rita', 'pat', 'lola', 'kim']
const binding = (name: string, user: string, bindings: string[], operations: string[] = []) => ({
  name,
  subjects: [{ kind: 'User', name: user }],
  bindings: bindings.map((text) => {
    const [role, resource, on] = text.split(':')
    return { role, resource, ...(on !== undefined && { name: on }) }
  }),
  operations: operations.map((text) => {
    const [action, resource, on] = text.split(/[:/]/)
    return { action, ...(resource !== undefined && { resource }), ...(on !== undefined && { name: on }) }
  }),
})

const admin = (body: object) => daemon.send('/api/v1/apply', { body }).then((answer) => expectStatus(200, answer))

const as = (user: string, path: string, sent: Sent = {}, where = daemon): Promise<Received> =>
  where.send(path, { ...sent, headers: { authorization: `Bearer ${tokens.get(user) ?? ''}`, ...sent.headers } })

const issue = async (user: string): Promise<{ id: string; token: string }> =>
  JSON.parse(expectStatus(201, await daemon.send('/api/v1/tokens', { body: { user } })).text) as {
    id: string
    token: string
  }

beforeAll(async () => {
  daemon = await startDaemon({ leads: true })
  await eventually(() => daemon.parts.daemon.leads())
  second = await startDaemon({ leads: true, database: daemon.database })
  await admin({
    users: users.map((name) => ({ name })),
    groups: [{ name: 'admins2', members: [] }],
    servers: ['github', 'slack', 'team-a'].map(server),
    projects: [{ name: 'web', servers: ['github'] }],
    rbac: [
      binding('nora', 'nora', ['view:servers:team-a', 'create:servers:team-b', 'delete:servers:team-a']),
      binding('alice', 'alice', ['view:servers', 'edit:servers:github', 'create:servers']),
      binding('ivan', 'ivan', [], ['impersonate:users/alice']),
      binding('zoe', 'zoe', [], ['impersonate']),
      binding('rita', 'rita', [
        'view:rbac',
        'create:rbac',
        'edit:rbac',
        'edit:groups',
        'create:groups',
        'view:servers',
      ]),
      binding('pat', 'pat', ['edit:projects:web', 'view:projects', 'run:servers:github']),
      binding('lola', 'lola', [], ['logs:servers/github']),
      binding('admins2', 'kim', ['view:*', 'create:*', 'edit:*', 'delete:*', 'run:*'], ['*']),
    ],
  })
  for (const user of users) {
    tokens.set(user, (await issue(user)).token)
  }
}, 60_000)
afterAll(async () => {
  await second.close()
  await daemon.close()
})

const names = (received: Received) => listOf(received).items.map(({ metadata }) => metadata.name)

describe('reading', () => {
  it('R003 refuses a list of which nothing may be seen', async () => {
    const refused = expectStatus(403, await as('bob', '/api/v1/servers'))
    expect(problemOf(refused).detail).toBe('servers is forbidden: User "bob" cannot view resource "servers"')
  })
  it('R005 lists what may be seen, says so, and binds its pages to the reader', async () => {
    const listed = await as('nora', '/api/v1/servers')
    expect(names(listed)).toEqual(['team-a'])
    expect(listOf(listed).metadata.accessFiltered).toBe(true)
    const page = listOf(await as('alice', '/api/v1/servers?limit=1'))
    expect(page.metadata.accessFiltered).toBeUndefined()
    expectStatus(410, await as('nora', `/api/v1/servers?limit=1&continue=${page.metadata.continue ?? ''}`))
  })
  it('R002 R006 R007 refuses in the same words whether the object is there or not', async () => {
    const there = problemOf(expectStatus(403, await as('bob', '/api/v1/servers/github')))
    const absent = problemOf(expectStatus(403, await as('bob', '/api/v1/servers/nothub')))
    expect(there.detail.replaceAll('github', 'nothub')).toBe(absent.detail)
    expect(there.detail).toBe('servers "github" is forbidden: User "bob" cannot view resource "servers" named "github"')
    expectStatus(404, await as('nora', '/api/v1/servers/team-a/scale').then(() => as('alice', '/api/v1/servers/none')))
  })
  it('shows of what refers to an object what the reader may view', async () => {
    expect(objectOf(await daemon.send('/api/v1/servers/github')).referencedBy).toEqual({ projects: ['web'] })
    expect(objectOf(await as('alice', '/api/v1/servers/github')).referencedBy).toBeUndefined()
  })
})

describe('writing', () => {
  it('R018 R024 R026 needs create by the name in the body, before it is checked', async () => {
    expectStatus(403, await as('bob', '/api/v1/servers', { body: { name: 'x', nonsense: 1 } }))
    expectStatus(403, await as('nora', '/api/v1/servers', { body: server('team-c') }))
    expectStatus(403, await as('bob', '/api/v1/servers?dryRun=All', { body: server('x') }))
    expectStatus(201, await as('nora', '/api/v1/servers', { body: server('team-b') }))
    expectStatus(405, await as('alice', '/api/v1/instances', { body: { name: 'x' } }))
  })
  it('R023 applies with edit what exists and with create what does not, or nothing; every refusal is told', async () => {
    const body = { servers: [server('github'), server('slack'), server('team-a')] }
    const refused = problemOf(expectStatus(403, await as('alice', '/api/v1/apply', { body })))
    expect(refused.errors?.map(({ pointer }) => pointer)).toEqual(['/servers/1', '/servers/2'])
    const hopeless = problemOf(
      expectStatus(403, await as('bob', '/api/v1/apply', { body: { servers: [{ name: 'github', x: 1 }] } })),
    )
    expect(hopeless.detail).toContain('cannot create resource "servers" named "github"')
    expectStatus(
      200,
      await as('alice', '/api/v1/apply', { body: { servers: [server('github'), server('brand-new')] } }),
    )
  })
  it('R029 R030 R038 scales and deletes within the scope', async () => {
    const scale = { method: 'PUT', body: { spec: { replicas: 0 } } }
    expectStatus(200, await as('alice', '/api/v1/servers/github/scale', scale))
    expectStatus(403, await as('alice', '/api/v1/servers/slack/scale', scale))
    expectStatus(403, await as('nora', '/api/v1/servers', { method: 'DELETE' }))
    expectStatus(405, await daemon.send('/api/v1/servers', { method: 'DELETE' }))
  })
  it('authorises an answer that is given again', async () => {
    const headers = { 'idempotency-key': 'again' }
    const body = { servers: [server('twice')] }
    expectStatus(200, await as('alice', '/api/v1/apply', { body, headers }))
    const again = expectStatus(200, await as('alice', '/api/v1/apply', { body, headers }))
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    await admin({ rbac: [binding('alice', 'alice', ['view:servers', 'edit:servers:github'])] })
    expectStatus(403, await as('alice', '/api/v1/apply', { body, headers }))
    await admin({ rbac: [binding('alice', 'alice', ['view:servers', 'edit:servers:github', 'create:servers'])] })
  })
  it('attaches to a project only what its author may run, and tells nothing of existence', async () => {
    const attach = (name: string) =>
      as('pat', '/api/v1/apply', { body: { projects: [{ name: 'web', servers: ['github', name] }] } })
    expect(problemOf(expectStatus(403, await attach('slack'))).reason).toBe('ServerUse')
    expect(problemOf(expectStatus(403, await attach('nowhere'))).reason).toBe('ServerUse')
    expectStatus(200, await attach('github').then(() => as('pat', '/api/v1/projects/web')))
  })
})

describe('handing out', () => {
  const grant = (name: string, bindings: string[]) => binding(name, 'bob', bindings)

  it('R074 R075 R077 gives what the author holds, dry run or not', async () => {
    expectStatus(201, await as('rita', '/api/v1/rbac', { body: grant('g1', ['view:servers']) }))
    for (const path of ['/api/v1/rbac', '/api/v1/rbac?dryRun=All'])
      for (const what of ['edit:servers', 'view:*']) {
        const refused = problemOf(expectStatus(403, await as('rita', path, { body: grant('g2', [what]) })))
        expect(refused.reason).toBe('Escalation')
      }
    await daemon.send('/api/v1/rbac/g1', { method: 'DELETE' })
  })
  it('B49 refuses group and binding in one request', async () => {
    const body = {
      groups: [{ name: 'mine', members: ['rita'] }],
      rbac: [{ ...grant('mine', ['edit:servers']), subjects: [{ kind: 'Group', name: 'mine' }] }],
    }
    expect(problemOf(expectStatus(403, await as('rita', '/api/v1/apply', { body }))).reason).toBe('Escalation')
  })
  it('a right that was taken is refused on the next request, on another daemon within a second', async () => {
    await admin({ rbac: [grant('short', ['view:servers'])] })
    expectStatus(200, await as('bob', '/api/v1/servers'))
    await eventually(async () => (await as('bob', '/api/v1/servers', {}, second)).status === 200)
    expectStatus(200, await daemon.send('/api/v1/rbac/short', { method: 'DELETE' }))
    const since = performance.now()
    expectStatus(403, await as('bob', '/api/v1/servers'))
    while ((await as('bob', '/api/v1/servers', {}, second)).status === 200)
      expect(performance.now() - since).toBeLessThan(goneWithinMs)
  })
  it('R090 R091 leaves one administrator who can log in, whatever comes at once', async () => {
    const { rbac } = { rbac: await daemon.send('/api/v1/rbac') }
    expect(names(rbac)).toContain('admins')
    // Kim has no password: she cannot log in, so the administrator alone counts.
    const refused = await Promise.all(
      [0, 1, 2, 3].map((n) =>
        n % 2 === 0
          ? as('kim', '/api/v1/rbac/admins', { method: 'DELETE' })
          : as('kim', '/api/v1/apply', { body: { users: [{ name: 'admin', enabled: false }] } }),
      ),
    )
    expect(refused.map(({ status }) => status)).toEqual([409, 409, 409, 409])
    expect(refused.map((answer) => problemOf(answer).reason)).toEqual(Array(4).fill('LastAdmin'))
  })
})

describe('impersonation', () => {
  const like = (user: string) => ({ headers: { 'impersonate-user': user } })

  it('R093 R095 acts with the rights of the other and is recorded with both names', async () => {
    const created = await as('ivan', '/api/v1/servers', { body: server('by-ivan'), ...like('alice') })
    expectStatus(201, created)
    const { uid } = objectOf(created).metadata
    const [event] = await daemon.parts.store.log.readStream(`server-${uid}`)
    expect(event?.meta).toMatchObject({ actor: { name: 'alice' }, impersonator: { name: 'ivan' } })
  })
  it('R094 R096 R098 is refused without the right, and for who is disabled or not there', async () => {
    await admin({ users: [{ name: 'carol', enabled: false }] })
    // Who may act as anybody is told that he lacks no right; which of the two it is, nobody is.
    const absent = ': it does not exist, or is disabled'
    for (const [who, whom, why] of [
      ['ivan', 'admin', ''],
      ['zoe', 'carol', absent],
      ['zoe', 'nobody', absent],
      ['bob', 'alice', ''],
      ['bob', 'nobody', ''],
    ] as const)
      expect(problemOf(expectStatus(403, await as(who, '/api/v1/servers', like(whom)))).detail).toBe(
        `users "${whom}" is forbidden: User "${who}" cannot do operation "impersonate" on resource "users" named "${whom}"${why}`,
      )
  })
  it('B10 wants one name', async () => {
    const lines = ['GET /api/v1/servers HTTP/1.1', `authorization: Bearer ${tokens.get('zoe') ?? ''}`]
    const raw = (...more: string[]) => statusOfRaw(daemon.address, [...lines, ...more])
    expect(await raw('impersonate-user: alice', 'Impersonate-User: alice')).toBe(400)
    expect(await raw('impersonate-user:')).toBe(400)
    expect(await raw('impersonate-user: alice', 'impersonate-group: admins', 'impersonate-group:')).toBe(400)
    expect(await raw('impersonate-user: alice', 'impersonate-group: admins', 'impersonate-group: admins2')).toBe(200)
    expect(await raw('impersonate-user: alice')).toBe(200)
    expectStatus(400, await as('zoe', '/api/v1/servers', { headers: { 'impersonate-user': 'a b' } }))
    expectStatus(400, await as('zoe', '/api/v1/servers', { headers: { 'impersonate-group': 'admins' } }))
    expectStatus(
      400,
      await as('zoe', '/api/v1/servers', { headers: { 'impersonate-user': 'alice', 'impersonate-uid': 'x' } }),
    )
  })
  it('is refused for what is personal, and gives groups besides', async () => {
    expectStatus(403, await as('zoe', '/api/v1/tokens', { body: {}, ...like('alice') }))
    expectStatus(403, await as('zoe', '/api/v1/rbac', like('alice')))
    const more = { headers: { 'impersonate-user': 'alice', 'impersonate-group': 'admins' } }
    expectStatus(200, await as('zoe', '/api/v1/rbac', more))
    expectStatus(403, await as('ivan', '/api/v1/rbac', more))
    const both = { headers: { ...more.headers, 'impersonate-group': 'admins, admins2' } }
    expectStatus(200, await as('zoe', '/api/v1/servers/github/logs', both, second))
  })
})

describe('refusals', () => {
  it('are recorded once a minute, with what was missing', async () => {
    const uid = objectOf(await daemon.send('/api/v1/users/lola')).metadata.uid
    for (let n = 0; n < 5; n++) expectStatus(403, await as('lola', '/api/v1/servers/slack/logs'))
    const denied = async () =>
      (await daemon.parts.store.log.readStream(`audit-${uid}`)).filter(({ type }) => type === 'AccessDenied')
    await eventually(async () => (await denied()).length > 0)
    expect((await denied()).map(({ data }) => data['asked'])).toEqual(['op logs:servers/slack'])
    expectStatus(200, await as('lola', '/api/v1/servers/github/logs'))
  })
  it('shutting down is for full administrators and the owner of the daemon', async () => {
    expectStatus(403, await as('alice', '/api/v1/shutdown', { method: 'POST' }))
    expectStatus(403, await as('alice', '/api/v1/admin/parked'))
    expectStatus(200, await as('alice', '/api/v1/status'))
  })
  it('B9 log lines that are followed end with the right to them or with the token, also through another daemon', async () => {
    const streams = daemon.parts.app.get(OpenStreams)
    const url = `${second.address}/api/v1/servers/github/logs?follow=1`
    const followed = async (token: string, take: () => Promise<Received>) => {
      const ended = fetch(url, { headers: { authorization: `Bearer ${token}` } })
        .then((answer) => answer.text())
        .then(
          () => performance.now(),
          () => performance.now(),
        )
      await eventually(() => streams.size === 1)
      expect((await take()).status).toBeLessThan(300)
      const taken = performance.now()
      expect((await ended) - taken).toBeLessThan(goneWithinMs)
      await eventually(() => streams.size === 0)
    }
    const { id, token } = await issue('lola')
    await followed(token, () => second.send(`/api/v1/tokens/${id}`, { method: 'DELETE' }))
    await followed(tokens.get('lola') ?? '', () => second.send('/api/v1/rbac/lola', { method: 'DELETE' }))
  })
})
