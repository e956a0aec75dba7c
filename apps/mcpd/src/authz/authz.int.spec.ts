import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { CanIAnswer, EffectiveAccess, WhoCanAnswer } from '@mcpctl/contracts'
import { Ajv2020 } from 'ajv/dist/2020'
import { v7 as uuidv7 } from 'uuid'
import type { JsonObject } from '@mcpctl/event-store'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import {
  expectStatus,
  problemOf,
  startDaemon,
  type Received,
  type Sent,
  type TestDaemon,
} from '../../../../test/support/daemon'
import golden from '../../../../test/events/InstanceScheduled.v1.json' with { type: 'json' }
import { position } from '../../../../test/support/log'

let daemon: TestDaemon
const tokens = new Map<string, string>()
const marks: Record<'before' | 'granted' | 'revoked', { position: bigint; at: string }> = {
  before: { position: 0n, at: '' },
  granted: { position: 0n, at: '' },
  revoked: { position: 0n, at: '' },
}

const send = (path: string, sent?: Sent) => daemon.send(`/api/v1/${path}`, sent)
/** A request of somebody else than the administrator. */
const as = (user: string, path: string, sent: Sent = {}): Promise<Received> =>
  send(path, { ...sent, headers: { authorization: `Bearer ${tokens.get(user) ?? ''}`, ...sent.headers } })
const ask = (user: string, path: string, body: object) => as(user, `authz/${path}`, { body })
const canI = async (user: string, question: object): Promise<CanIAnswer> =>
  JSON.parse(expectStatus(200, await ask(user, 'can-i', question)).text) as CanIAnswer
const effective = async (user: string, query = ''): Promise<EffectiveAccess> =>
  JSON.parse(expectStatus(200, await as(user, `authz/effective${query}`)).text) as EffectiveAccess
const apply = async (body: object) => expectStatus(200, await send('apply', { body }))
const tokenFor = async (user: string, wish: object = {}, by = 'admin') => {
  const issued = expectStatus(201, await as(by, 'tokens', { body: { user, ...wish } }))
  return (JSON.parse(issued.text) as { token: string }).token
}
const mark = async (name: keyof typeof marks) => {
  marks[name] = { position: await position(daemon), at: new Date().toISOString() }
}
const entries = ({ paths }: CanIAnswer) => paths.map(({ entry }) => entry.text)

/** An instance of a server, as the reconciler would have scheduled it. */
const scheduled = async (server: string): Promise<string> => {
  const name = `${server}-ab12-0`
  const data = { ...(golden.data as JsonObject), name, server: { uid: uuidv7(), name: server } }
  const meta = { actor: { uid: uuidv7(), name: 'system:reconciler' } }
  const claims = [{ op: 'take' as const, scope: 'name', key: `instance/${name}` }]
  const event = { id: uuidv7(), type: golden.type, schemaVersion: golden.schemaVersion, data, meta, claims }
  const stream = { streamId: `instance-${uuidv7()}`, category: 'instance', expected: 'none' as const, events: [event] }
  await daemon.parts.store.log.append({ streams: [stream] })
  await eventually(async () => (await send(`instances/${name}`)).status === 200)
  return name
}

beforeAll(async () => {
  daemon = await startDaemon()
  tokens.set('admin', daemon.token)
  await apply({
    users: ['alice', 'bob', 'carol', 'dave', 'oscar'].map((name) => ({ name })),
    groups: [
      { name: 'dev', members: ['alice', 'carol', 'dave'] },
      { name: 'audit', members: ['oscar'] },
    ],
  })
  await mark('before')
  await apply({
    rbac: [
      {
        name: 'dev-team',
        subjects: [{ kind: 'Group', name: 'dev' }],
        bindings: [
          { role: 'view', resource: 'servers' },
          { role: 'edit', resource: 'servers', name: 'github' },
        ],
      },
      {
        name: 'alice-logs',
        subjects: [{ kind: 'User', name: 'alice' }],
        operations: [{ action: 'logs', resource: 'servers', name: 'github' }],
      },
      {
        name: 'auditors',
        subjects: [{ kind: 'Group', name: 'audit' }],
        bindings: ['users', 'groups', 'rbac'].map((resource) => ({ role: 'view', resource })),
      },
      { name: 'bob-runs', subjects: [{ kind: 'User', name: 'bob' }], bindings: [{ role: 'run', resource: 'servers' }] },
    ],
  })
  await mark('granted')
  const gone = { method: 'DELETE' }
  expectStatus(200, await send('rbac/bob-runs', gone))
  await mark('revoked')
  for (const user of ['alice', 'bob', 'carol', 'oscar']) tokens.set(user, await tokenFor(user))
  expectStatus(200, await send('users/dave', gone))
  await apply({ users: [{ name: 'carol', enabled: false }] })
}, 60_000)
afterAll(() => daemon.close())

describe('can-i', () => {
  it('says yes with every grant that allows it: binding, entry, group, who and when', async () => {
    const answer = await canI('alice', { verb: 'update', kind: 'server', name: 'github' })
    expect(answer).toMatchObject({ allowed: true, user: 'alice', nearest: [] })
    expect(answer.paths).toHaveLength(1)
    expect(answer.paths[0]).toMatchObject({
      entry: { text: 'edit:servers:github', role: 'edit', resource: 'servers', name: 'github' },
      rbac: 'dev-team',
      list: 'bindings',
      index: 1,
      grantedBy: 'admin',
      via: { group: 'dev', by: 'admin' },
    })
    const granted = BigInt(answer.paths[0]?.position ?? 0)
    expect(granted > marks.before.position && granted <= marks.granted.position).toBe(true)
    expect(Date.parse(answer.paths[0]?.via?.since ?? '')).toBeLessThanOrEqual(Date.parse(marks.before.at))
  })

  it('takes verbs, roles and operations, and any word for a kind', async () => {
    expect(entries(await canI('alice', { verb: 'watch', kind: 'srv', name: 'github' }))).toEqual([
      'view:servers',
      'edit:servers:github',
    ])
    expect(entries(await canI('alice', { role: 'view', kind: 'Servers' }))).toEqual(['view:servers'])
    expect(entries(await canI('alice', { action: 'logs', kind: 'servers', name: 'github' }))).toEqual([
      'logs:servers/github',
    ])
    expect((await canI('alice', { verb: 'logs', kind: 'servers', name: 'slack' })).allowed).toBe(false)
    expect((await canI('admin', { verb: 'restore' })).allowed).toBe(true)
    expect((await canI('alice', { verb: 'reveal', kind: 'secret', name: 'x' })).allowed).toBe(false)
  })

  it('says no with what comes close and the command that would allow it', async () => {
    expect(await canI('alice', { verb: 'delete', kind: 'servers', name: 'github' })).toMatchObject({
      allowed: false,
      paths: [],
      asked: { text: 'delete:servers:github' },
      nearest: [{ rbac: 'dev-team' }, { rbac: 'dev-team' }],
      remedy: 'mcpctl create rbac alice-delete-servers-github --subject User:alice --binding delete:servers:github',
    })
  })

  it('tells of others to those alone who may view users and bindings, and whether they exist no sooner', async () => {
    for (const user of ['oscar', 'missing']) {
      const refused = await ask('alice', 'can-i', { verb: 'view', kind: 'servers', user })
      expect(refused.status).toBe(403)
      expect(problemOf(refused).detail).toBe(
        `users "${user}" is forbidden: User "alice" cannot view resource "users" named "${user}"`,
      )
    }
    expect((await canI('oscar', { verb: 'edit', kind: 'servers', name: 'github', user: 'alice' })).allowed).toBe(true)
    expect((await ask('oscar', 'can-i', { verb: 'view', kind: 'servers', user: 'missing' })).status).toBe(404)
  })

  it('is what the door decides by: a token that is narrowed narrows the answer', async () => {
    tokens.set('narrow', await tokenFor('alice', { scopes: ['view:servers'] }, 'alice'))
    const edit = { verb: 'edit', kind: 'servers', name: 'github' }
    expect(await canI('narrow', edit)).toMatchObject({
      allowed: false,
      paths: [],
      nearest: [{ rbac: 'dev-team', index: 1 }],
      note: 'the token is narrowed and does not reach so far',
    })
    const body = { name: 'github', package: 'npm:x@1.0.0' }
    const put = { method: 'PUT', body, headers: { 'if-match': '*' } }
    expect((await as('narrow', 'servers/github', put)).status).toBe(403)
    expect((await as('alice', 'servers/github', put)).status).toBe(404)
    expect((await canI('narrow', { verb: 'get', kind: 'servers' })).allowed).toBe(true)
    expect((await effective('narrow')).scopes).toEqual(['view:servers'])
  })

  it('about an instance counts what is held on its server, and tells nobody else that there is one', async () => {
    const name = await scheduled('github')
    expect(entries(await canI('alice', { verb: 'get', kind: 'instance', name }))).toEqual([
      'view:servers',
      'edit:servers:github',
    ])
    expect((await canI('alice', { verb: 'delete', kind: 'instance', name })).allowed).toBe(true)
    expect(entries(await canI('alice', { verb: 'logs', kind: 'instance', name }))).toEqual(['logs:servers/github'])
    expect((await as('alice', `instances/${name}`)).status).toBe(200)
    const about = async (instance: string) => {
      const question = { verb: 'get', kind: 'instances', name: instance }
      const asked = [await canI('bob', question), await canI('oscar', { ...question, user: 'alice' })]
      return JSON.stringify(asked).replaceAll(instance, 'NAME')
    }
    expect(await about(name)).toBe(await about('github-0000-0'))
    expect((await as('bob', `instances/${name}`)).status).toBe(403)
  })

  it('counts what everybody is granted', async () => {
    const subjects = [{ kind: 'Group', name: 'system:authenticated' }]
    await apply({
      rbac: [{ name: 'all', subjects, bindings: [{ role: 'view', resource: 'projects', name: 'lobby' }] }],
    })
    const answer = await canI('bob', { verb: 'get', kind: 'projects', name: 'lobby' })
    expect(answer).toMatchObject({ allowed: true, paths: [{ rbac: 'all', via: { group: 'system:authenticated' } }] })
    expect((await effective('bob')).inherited).toMatchObject([{ rbac: 'all', via: { group: 'system:authenticated' } }])
    expectStatus(200, await send('rbac/all', { method: 'DELETE' }))
  })

  it('answers for whom one impersonates', async () => {
    const headers = { 'impersonate-user': 'alice' }
    const { text } = await as('admin', 'authz/can-i', { body: { verb: 'delete', kind: 'servers' }, headers })
    expect(JSON.parse(text)).toMatchObject({ user: 'alice', allowed: false })
  })

  it('says of somebody disabled that nothing is allowed, and of somebody deleted nothing', async () => {
    expect(await canI('oscar', { verb: 'view', kind: 'servers', user: 'carol' })).toMatchObject({
      allowed: false,
      note: 'user carol is disabled',
    })
    expect((await ask('oscar', 'can-i', { verb: 'view', kind: 'servers', user: 'dave' })).status).toBe(404)
  })

  it('answers for then: by position and by time', async () => {
    const run = { verb: 'call', kind: 'servers', name: 'github' }
    const at = async (when: string) => (await canI('bob', { ...run, at: when })).allowed
    expect(await at(String(marks.before.position))).toBe(false)
    expect(await at(String(marks.granted.position))).toBe(true)
    expect(await at(String(marks.revoked.position))).toBe(false)
    expect(await at(marks.before.at)).toBe(false)
    expect(await at(marks.granted.at)).toBe(true)
    expect(await at(marks.revoked.at)).toBe(false)
    expect(await canI('bob', { ...run, at: '2001-01-01' })).toMatchObject({ note: 'there was no user bob then' })
    // Who was disabled or deleted since could then.
    const carol = { verb: 'view', kind: 'servers', at: String(marks.granted.position) }
    expect((await canI('oscar', { ...carol, user: 'carol' })).allowed).toBe(true)
    expect((await canI('oscar', { ...carol, user: 'dave' })).allowed).toBe(true)
  })

  it.each([
    [{ verb: 'edti', kind: 'servers' }, 'unknown verb "edti"; did you mean "edit"?'],
    [{ verb: 'edit' }, '"edit" needs a kind, for example servers'],
    [{ verb: 'edit', kind: 'serverz' }, 'unknown resource "serverz"; did you mean "servers"?'],
    [{ verb: 'run', kind: 'users' }, '"run" means nothing on users; roles there are view, create, edit, delete'],
    [{ action: 'log', kind: 'servers' }, 'unknown action "log"; did you mean "logs"?'],
    [{ verb: 'edit', role: 'edit', kind: 'servers' }, 'needs a verb, a role or an action, and one of them only'],
    [{ verb: 'edit', kind: 'servers', name: 'a*' }, 'a name is exact'],
    [{ verb: 'edit', kind: 'servers', who: 'me' }, 'unknown field'],
    [{ verb: '__proto__', kind: 'servers' }, 'unknown verb "__proto__"'],
    [{ verb: 'edit', kind: 'servers', at: '2999-01-01T00:00:00Z' }, 'at is a time to come'],
    [{ verb: 'edit', kind: 'servers', at: '999999999' }, 'at is a position to come'],
    [{ verb: 'edit', kind: 'servers', at: 'yesterday' }, 'at must be a position, or a time'],
  ])('refuses %j and says what is wrong', async (question, message) => {
    const refused = await ask('alice', 'can-i', question)
    expect(refused.status).toBe(422)
    expect(problemOf(refused).detail).toContain(message)
  })
})

describe('who-can', () => {
  it('names everybody with the grants that allow it', async () => {
    const answer = expectStatus(200, await ask('oscar', 'who-can', { verb: 'edit', kind: 'servers', name: 'github' }))
    const { users } = JSON.parse(answer.text) as WhoCanAnswer
    expect(users.map(({ user, paths }) => [user, paths.map(({ rbac }) => rbac)])).toEqual([
      ['admin', ['admins']],
      ['alice', ['dev-team']],
    ])
  })

  it('answers to those alone who may view users and bindings', async () => {
    expect((await ask('alice', 'who-can', { verb: 'edit', kind: 'servers' })).status).toBe(403)
  })
})

describe('effective access', () => {
  it('of a user is what he holds himself and through groups', async () => {
    const access = await effective('oscar', '?user=alice')
    expect(access).toMatchObject({
      subject: { kind: 'User', name: 'alice' },
      enabled: true,
      memberships: [{ name: 'dev', by: 'admin' }],
    })
    expect(access.direct.map(({ entry, rbac, list }) => [entry.text, rbac, list])).toEqual([
      ['logs:servers/github', 'alice-logs', 'operations'],
    ])
    expect(access.inherited.map(({ entry, via }) => [entry.text, via?.group])).toEqual([
      ['view:servers', 'dev'],
      ['edit:servers:github', 'dev'],
    ])
  })

  it("is always told of one's own, and of others to those alone who may view users and bindings", async () => {
    expect((await effective('bob')).subject).toMatchObject({ kind: 'User', name: 'bob' })
    expect((await effective('bob', '?user=bob')).direct).toEqual([])
    for (const query of ['?user=alice', '?user=missing', '?group=dev', '?group=missing', '?rbac=dev-team'])
      expect((await as('bob', `authz/effective${query}`)).status).toBe(403)
    for (const query of ['?user=missing', '?group=missing', '?rbac=missing'])
      expect((await as('oscar', `authz/effective${query}`)).status).toBe(404)
    expect((await as('oscar', 'authz/effective?user=alice&group=dev')).status).toBe(400)
  })

  it('of somebody disabled shows what he would hold', async () => {
    const access = await effective('oscar', '?user=carol')
    expect([access.enabled, access.inherited.length]).toEqual([false, 2])
  })

  it('of a group is what it gives to its members', async () => {
    const access = await effective('oscar', '?group=dev')
    expect(access.memberships?.map(({ name }) => name)).toEqual(['alice', 'carol', 'dave'])
    expect(access.direct.map(({ entry }) => entry.text)).toEqual(['view:servers', 'edit:servers:github'])
    expect(access.reaches).toBe(1)
  })

  it('of a binding is what it grants and whom it reaches', async () => {
    const access = await effective('oscar', '?rbac=dev-team')
    expect(access).toMatchObject({ subjects: [{ kind: 'Group', name: 'dev', state: 'Bound' }], reaches: 1 })
  })
})

describe('a dry run', () => {
  const rbac = [
    {
      name: 'dev-team',
      subjects: [{ kind: 'Group', name: 'dev' }],
      bindings: [
        { role: 'view', resource: 'servers' },
        { role: 'delete', resource: 'servers', name: 'github' },
      ],
    },
  ]
  const tried = async (user: string, body: object) =>
    (JSON.parse(expectStatus(200, await as(user, 'apply?dryRun=All', { body })).text) as { access?: unknown }).access

  it('tells who would gain and lose what, by whichever way, and changes nothing', async () => {
    const before = await position(daemon)
    expect(await tried('admin', { rbac })).toEqual([
      { user: 'alice', gained: ['delete:servers:github'], lost: ['edit:servers:github'] },
    ])
    expect(await tried('admin', { groups: [{ name: 'dev', members: ['bob'] }] })).toEqual([
      { user: 'alice', gained: [], lost: ['edit:servers:github', 'view:servers'] },
      { user: 'bob', gained: ['edit:servers:github', 'view:servers'], lost: [] },
    ])
    expect(await tried('admin', { users: [{ name: 'carol', enabled: true }] })).toEqual([
      { user: 'carol', gained: ['edit:servers:github', 'view:servers'], lost: [] },
    ])
    expect(await tried('admin', { users: [{ name: 'bob', displayName: 'Bob' }] })).toEqual([])
    expect(await tried('admin', { projects: [{ name: 'web' }] })).toBeUndefined()
    expect(await position(daemon)).toBe(before)
  })

  it('tells nothing to whom bindings and users are not shown', async () => {
    await apply({
      rbac: [
        {
          name: 'bob-groups',
          subjects: [{ kind: 'User', name: 'bob' }],
          bindings: [{ role: 'edit', resource: 'groups', name: 'dev' }],
        },
      ],
    })
    expect(await tried('bob', { groups: [{ name: 'dev', members: ['carol'] }] })).toBeUndefined()
  })
})

describe('denials', () => {
  it("are told of one's own, and of others with operation audit", async () => {
    expect((await as('alice', 'projects/secret-plans', { method: 'DELETE' })).status).toBe(403)
    const denied = async (user: string, query = '') => {
      const { text } = expectStatus(200, await as(user, `authz/denials${query}`))
      return (JSON.parse(text) as { denials: { asked: string }[] }).denials.map(({ asked }) => asked)
    }
    await eventually(async () => (await denied('alice')).includes('delete:projects:secret-plans'))
    expect(await denied('admin', '?user=alice')).toContain('delete:projects:secret-plans')
    expect((await as('oscar', 'authz/denials?user=alice')).status).toBe(403)
  })
})

it('is described as it answers', async () => {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false })
  ajv.addSchema(JSON.parse(expectStatus(200, await daemon.send('/openapi.json')).text) as object, 'api')
  const edit = { verb: 'edit', kind: 'servers', name: 'github' }
  const described: [string, Promise<Received>][] = [
    ['CanIAnswer', ask('alice', 'can-i', edit)],
    ['CanIAnswer', ask('bob', 'can-i', edit)],
    ['WhoCanAnswer', ask('oscar', 'who-can', edit)],
    ['EffectiveAccess', as('narrow', 'authz/effective')],
    ['EffectiveAccess', as('oscar', 'authz/effective?group=dev')],
    ['EffectiveAccess', as('oscar', 'authz/effective?rbac=dev-team')],
    ['DenialList', as('alice', 'authz/denials')],
    ['Problem', ask('alice', 'who-can', edit)],
  ]
  for (const [schema, received] of described) {
    const validate = ajv.compile({ $ref: `api#/components/schemas/${schema}`, unevaluatedProperties: false })
    validate(JSON.parse((await received).text))
    expect([schema, validate.errors ?? []]).toEqual([schema, []])
  }
})
