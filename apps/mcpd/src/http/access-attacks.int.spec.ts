import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { rbacOf } from '../../../../test/support/access-fixture'
import { until } from '../../../../test/support/binaries'
import { Caller, type Item, type Items, type Reply } from '../../../../test/support/caller'
import { startDaemon, type TestDaemon } from '../../../../test/support/daemon'
import { EventSource } from '../../../../test/support/event-source'
import { exchange, initialize } from '../../../../test/support/mcp-exchange'
import { goneWithinMs } from '../../../../test/support/deadlines'

let first: TestDaemon
let second: TestDaemon
let root: Caller
/** Holds what a test gives him. */
let eve: Caller

const server = (name: string) => ({ name, package: 'npm:echo@1.0.0', replicas: 0 })
const apply = (body: object) => root.must(root.apply(body))
const give = (...entries: string[]) => apply({ rbac: [rbacOf('eve-rights', ['u:eve'], entries)] })
const tokenFor = async (user: string, scopes?: string[]): Promise<Caller> => {
  const { token } = await root.must(root.post<{ token: string }>('/tokens', { user, ...(scopes && { scopes }) }))
  return root.withToken(token)
}

beforeAll(async () => {
  first = await startDaemon({ leads: true })
  await until('it leads', () => first.parts.daemon.leads())
  second = await startDaemon({ leads: true, database: first.database })
  root = new Caller(first.address, first.token)
  await apply({
    users: ['eve', 'bob', 'mia'].map((name) => ({ name })),
    groups: [{ name: 'hidden', members: ['bob', 'mia'] }],
    servers: ['one', 'two', 'secret-one'].map(server),
    projects: [
      { name: 'open', servers: ['one'] },
      { name: 'secret-project', servers: ['one', 'two'] },
    ],
    rbac: [rbacOf('secret-binding', ['u:bob', 'g:hidden'], ['edit:servers'])],
  })
  eve = await tokenFor('eve')
}, 60_000)
beforeEach(() => give('view:servers:one'))
afterAll(async () => {
  await second.close()
  await first.close()
})

/** What a reply says, apart from its own id and the end of the log, which goes on with what is recorded of refusals. */
const said = ({ status, text, headers }: Reply, name: string) => ({
  status,
  text: text.replaceAll(name, 'NAME').replace(/urn:request:[\w-]+|(?<="resourceVersion":")[\d.]+/, ''),
  headers: ['location', 'etag', 'allow', 'retry-after'].map((header) => headers.get(header)?.replaceAll(name, 'NAME')),
})

describe('what is hidden cannot be told from what is not there', () => {
  const body = { metadata: { name: 'NAME' }, spec: { package: 'npm:echo@1.0.0' } }
  const asked: [string, string, Record<string, string>?, unknown?][] = [
    ['GET', '/servers/NAME'],
    ['GET', '/servers/NAME', { 'if-none-match': '*' }],
    ['PUT', '/servers/NAME', { 'if-match': '"1.1"' }, body],
    ['PUT', '/servers/NAME', {}, body],
    ['PUT', '/servers/NAME', { 'if-match': '*' }, body],
    ['PUT', '/servers/NAME', { 'if-none-match': '*' }, body],
    ['PUT', '/servers/NAME?dryRun=All', { 'if-match': '"9.9"' }, body],
    ['PATCH', '/servers/NAME', {}, {}],
    ['DELETE', '/servers/NAME'],
    ['DELETE', '/servers/NAME?dryRun=All', { 'if-match': '"1.1"' }],
    ['POST', '/servers', {}, body],
    ['POST', '/servers?dryRun=All', { 'idempotency-key': 'NAME' }, body],
    ['POST', '/servers/NAME', {}, {}],
    ['PUT', '/servers/NAME/scale', { 'if-match': '"1.1"' }, { spec: { replicas: 1 } }],
    ['GET', '/servers/NAME/logs?follow=1'],
    ['GET', '/servers?fieldSelector=metadata.name%3DNAME'],
    ['GET', '/servers?fieldSelector=metadata.name%3DNAME&limit=1'],
    ['POST', '/authz/can-i', {}, { verb: 'edit', kind: 'servers', name: 'NAME' }],
    ['POST', '/authz/who-can', {}, { verb: 'edit', kind: 'servers', name: 'NAME' }],
    ['POST', '/apply', {}, { servers: [{ name: 'NAME', package: 'npm:echo@1.0.0' }] }],
    ['POST', '/apply?dryRun=All', {}, { servers: [{ name: 'NAME', nonsense: 1 }] }],
  ]
  it.each(asked)('B49 %s %s', async (method, path, headers = {}, sent) => {
    const ask = async (name: string) => {
      const named = (text: string) => text.replaceAll('NAME', name)
      const given = JSON.parse(named(JSON.stringify({ headers, sent }))) as { headers: object; sent?: unknown }
      const reply = await eve.with({ ...given.headers }).send(method, `/api/v1${named(path)}`, given.sent)
      return said(reply, name)
    }
    expect(await ask('secret-one')).toEqual(await ask('nothing-one'))
  })

  it.each<[string, string, string]>([
    ['users', 'bob', 'nobody'],
    ['groups', 'hidden', 'nothing'],
    ['rbac', 'secret-binding', 'nothing'],
    ['projects', 'secret-project', 'nothing'],
  ])('B49 of %s', async (plural, there, absent) => {
    for (const method of ['GET', 'DELETE', 'PUT'])
      expect(said(await eve.send(method, `/api/v1/${plural}/${there}`), there)).toEqual(
        said(await eve.send(method, `/api/v1/${plural}/${absent}`), absent),
      )
    const effective = plural.replace(/s$/, '')
    for (const path of [`/authz/effective?${effective}=`, `/authz/denials?user=`])
      expect(said(await eve.get(path + there), there)).toEqual(said(await eve.get(path + absent), absent))
    for (const header of ['impersonate-user', 'impersonate-group']) {
      const as = (name: string) => eve.with({ 'impersonate-user': name, [header]: name }).get('/servers')
      expect(said(await as(there), there)).toEqual(said(await as(absent), absent))
    }
  })

  it('B49 by what refers to what one sees, in lists, in objects and in answers to writes', async () => {
    await give('view:servers:one', 'edit:servers:one', 'view:projects:open', 'view:users:bob', 'run:servers:one')
    const { spec, metadata } = await eve.must(eve.get('/servers/one'))
    const replies = [
      await eve.get('/servers/one'),
      await eve.get('/servers?limit=1'),
      await eve.put(
        '/servers/one',
        { metadata: { name: 'one', labels: metadata.labels }, spec },
        metadata.resourceVersion,
      ),
      await eve.apply({ servers: [{ name: 'one', ...spec, labels: { a: 'b' } }] }),
      await eve.get('/users/bob'),
      await eve.get('/users'),
    ]
    for (const { status, text } of replies) {
      expect(status).toBe(200)
      expect(text).not.toMatch(/secret-|hidden|remaining/)
    }
    expect(replies[0]?.text).toContain('open')
  })

  it('B49 by pages: a list that holds no more says so, whatever else there is', async () => {
    await give('view:servers:one', 'view:servers:two')
    const page = await eve.must(eve.get<Items & { metadata: { continue?: string } }>('/servers?limit=1'))
    expect(page.items).toHaveLength(1)
    const token = page.metadata.continue ?? ''
    const last = await eve.must(eve.get<Items & { metadata: object }>(`/servers?limit=1&continue=${token}`))
    expect(last.items.map(({ metadata }) => metadata.name)).toEqual(['two'])
    expect(last.metadata).not.toHaveProperty('continue')
    // Somebody else's token is of no use, and neither is one's own with less rights.
    expect(await root.get(`/servers?limit=1&continue=${token}`)).toMatchObject({ status: 410 })
    await give('view:servers:one')
    const after = await eve.must(eve.get<Items>(`/servers?limit=1&continue=${token}`))
    expect(after.items).toEqual([])
  })
})

describe('entries', () => {
  it.each(['constructor', 'toString', '__proto__', 'hasOwnProperty'])(
    'B49 on %s are refused as unknown',
    async (word) => {
      const entry = (list: string, value: object) => ({ name: 'odd', subjects: [], [list]: [value] })
      expect(await root.post('/rbac', entry('bindings', { role: 'view', resource: word }))).toMatchObject({
        status: 422,
      })
      expect(await root.post('/rbac', entry('operations', { action: 'logs', resource: word }))).toMatchObject({
        status: 422,
      })
      expect(await root.post('/rbac', entry('operations', { action: word }))).toMatchObject({ status: 422 })
      for (const scope of [`view:${word}`, `op logs:${word}`, `op ${word}`, `${word}:servers`])
        expect(await root.post('/tokens', { scopes: [scope] })).toMatchObject({ status: 422 })
      for (const question of [
        { verb: 'view', kind: word },
        { action: 'logs', kind: word },
        { verb: word, kind: 'servers' },
      ])
        expect(await root.post('/authz/can-i', question)).toMatchObject({ status: 422 })
      expect(await root.get(`/${word}`)).toMatchObject({ status: 404 })
    },
  )
})

describe('escalation', () => {
  const escalation = { status: 403, reason: 'Escalation' }
  beforeEach(async () => {
    await apply({ users: [{ name: 'mia', enabled: true }], groups: [{ name: 'hidden', members: ['bob', 'mia'] }] })
    await give('view:servers:one', 'create:rbac', 'edit:rbac', 'edit:groups', 'edit:users', 'create:users', 'op tokens')
  })
  const versionOf = async (path: string) => (await root.must(root.get(path))).metadata.resourceVersion

  it('B49 by replacing what exists, with and without its own version', async () => {
    const members = { metadata: { name: 'hidden' }, spec: { members: ['bob', 'mia', 'eve'] } }
    expect(await eve.put('/groups/hidden', members, await versionOf('/groups/hidden'))).toMatchObject(escalation)
    const own = rbacOf('eve-rights', ['u:eve'], ['edit:servers'])
    const { name, ...spec } = own
    const version = await versionOf('/rbac/eve-rights')
    expect(await eve.put(`/rbac/${name}`, { metadata: { name }, spec }, version)).toMatchObject(escalation)
    expect(
      await eve.with({ 'if-none-match': '*' }).send('PUT', '/api/v1/rbac/mine', rbacOf('mine', ['u:eve'], ['run:*'])),
    ).toMatchObject(escalation)
  })
  it('B49 by another case, form or order of what is granted', async () => {
    for (const binding of [
      { role: 'edit', resource: 'server' },
      { role: 'edit', resource: 'Servers' },
      { role: 'view', resource: 'servers' },
      { role: 'view', resource: '*' },
    ]) {
      const body = { name: 'mine', subjects: [{ kind: 'User', name: 'eve' }], bindings: [binding] }
      expect((await eve.post('/rbac', body)).status).toBe(403)
    }
    expect(
      await eve.apply({
        rbac: [rbacOf('z', ['u:eve'], ['view:servers:one']), rbacOf('a', ['g:hidden', 'u:eve'], ['edit:servers'])],
      }),
    ).toMatchObject(escalation)
  })
  it('B49 by enabling, renaming, a code or a token of one who holds more', async () => {
    expect(await eve.apply({ users: [{ name: 'bob', displayName: 'Eve' }] })).toMatchObject(escalation)
    expect(await eve.post('/users/bob/password', {})).toMatchObject(escalation)
    expect(await eve.post('/tokens', { user: 'bob', scopes: ['view:servers:one'] })).toMatchObject(escalation)
    await apply({ users: [{ name: 'mia', enabled: false }] })
    expect(await eve.apply({ users: [{ name: 'mia', enabled: true }] })).toMatchObject(escalation)
    // Nor by leaving her groups to be joined again.
    expect(
      await eve.apply({ users: [{ name: 'mia', enabled: true }], groups: [{ name: 'hidden', members: ['bob'] }] }),
    ).toMatchObject({ status: 200 })
    expect(await eve.apply({ groups: [{ name: 'hidden', members: ['bob', 'mia'] }] })).toMatchObject(escalation)
  })
  it('B49 by a token of an administrator that is narrowed', async () => {
    const narrow = await tokenFor('admin', ['edit:groups', 'create:rbac', 'edit:users', 'op tokens'])
    expect(await narrow.apply({ groups: [{ name: 'hidden', members: ['bob', 'mia', 'eve'] }] })).toMatchObject(
      escalation,
    )
    expect(await narrow.post('/rbac', rbacOf('x', ['u:eve'], ['edit:servers']))).toMatchObject(escalation)
    for (const [path, body] of [
      ['/tokens', {}],
      ['/users/bob/password', {}],
      ['/shutdown', {}],
    ] as const)
      expect(await narrow.post(path, body)).toMatchObject({ status: 403 })
    for (const path of ['/servers', '/servers/one', '/users', '/servers?watch=1', '/servers/one/logs'])
      expect(await narrow.get(path)).toMatchObject(path === '/users' ? { status: 200 } : { status: 403 })
    expect(
      (await narrow.post<{ allowed: boolean }>('/authz/can-i', { verb: 'view', kind: 'servers' })).body.allowed,
    ).toBe(false)
  })
})

describe('tokens that are narrowed', () => {
  it('R007 list what each of both allows, by whichever of its names', async () => {
    await give('view:servers:one')
    const scoped = async (...scopes: string[]) =>
      eve.withToken((await eve.must(eve.post<{ token: string }>('/tokens', { scopes }))).token)
    const other = await scoped('view:instances:something')
    // There may be such an instance of that server: the list is empty, not forbidden.
    expect(await other.get('/instances')).toMatchObject({ status: 200 })
    expect(await other.get('/servers')).toMatchObject({ status: 403 })
    expect(await (await scoped('view:users')).get('/users')).toMatchObject({ status: 403 })
  })
})

describe('rights are changed by many at once', () => {
  const innocent = (index: number) => rbacOf(`many-${String(index)}`, ['u:mia'], ['view:servers:one'])
  const numbers = Array.from({ length: 20 }, (_, index) => index)
  const statuses = (replies: Reply[]) => [...new Set(replies.map(({ status, text }) => (status < 300 ? status : text)))]

  it('B55 and all of them succeed, on one daemon and on two', async () => {
    for (let round = 0; round < 3; round++)
      for (const at of [[first], [first, second]]) {
        const caller = (index: number) => root.at(at[index % at.length]?.address ?? '')
        expect(
          statuses(await Promise.all(numbers.map((index) => caller(index).post('/rbac', innocent(index))))),
        ).toEqual([201])
        const tokens = numbers.map((index) => caller(index).post('/tokens', { user: 'mia' }))
        const deleted = numbers.map((index) => caller(index + 1).delete(`/rbac/many-${String(index)}`))
        expect(statuses(await Promise.all(tokens))).toEqual([201])
        expect(statuses(await Promise.all(deleted))).toEqual([200])
      }
  }, 120_000)

  it('and a request that is refused, or only tried, keeps nobody waiting', async () => {
    await give('create:rbac')
    const refused = numbers.map(() => eve.post('/rbac', rbacOf('mine', ['u:eve'], ['edit:*'])))
    const tried = numbers.map((index) => root.post('/rbac?dryRun=All', innocent(index)))
    expect((await Promise.all(refused)).every(({ status }) => status === 403)).toBe(true)
    expect((await Promise.all(tried)).every(({ status }) => status === 201)).toBe(true)
    expect(await root.post('/rbac', innocent(0))).toMatchObject({ status: 201 })
    expect(await root.delete('/rbac/many-0')).toMatchObject({ status: 200 })
  })
})

describe('a session of a gateway', () => {
  const ping = { id: 7, method: 'ping' }
  const denials = async (user: string): Promise<string[]> => {
    const { denials: told } = await root.must(root.get<{ denials: { asked: string }[] }>(`/authz/denials?user=${user}`))
    return told.map(({ asked }) => asked)
  }

  it('B11 is not there for anybody else, who is recorded to have tried', async () => {
    await apply({ projects: [{ name: 'bare' }] })
    await give('run:projects:bare')
    await apply({ rbac: [rbacOf('runs', ['u:mia'], ['run:projects:bare'])] })
    const mia = await tokenFor('mia')
    const { session, status } = await initialize(mia, 'projects/bare')
    expect(status).toBe(200)
    expect(session).toBeDefined()
    const unknown = await exchange(eve, 'projects/bare', ping, 'no-such-session')
    expect(await denials('eve')).not.toContain('session of another at project/bare')
    const stolen = await exchange(eve, 'projects/bare', ping, session)
    expect([stolen.status, stolen.body]).toEqual([404, unknown.body])
    await until('it is told', async () => (await denials('eve')).includes('session of another at project/bare'))
    expect((await exchange(mia, 'projects/bare', ping, session)).status).toBe(200)
    expect((await exchange(mia.with({ 'impersonate-user': 'eve' }), 'projects/bare', ping, session)).status).toBe(403)
    expect((await exchange(root.with({ 'impersonate-user': 'mia' }), 'projects/bare', ping, session)).status).toBe(404)
  })
})

describe('a watch', () => {
  it('B9 ends on both daemons within a second when its reader leaves the group that let him see', async () => {
    await apply({
      users: [{ name: 'gus' }],
      groups: [{ name: 'readers', members: ['gus'] }],
      rbac: [rbacOf('readers', ['g:readers'], ['view:servers'])],
    })
    const gus = await tokenFor('gus')
    for (let round = 0; round < 3; round++) {
      await apply({ groups: [{ name: 'readers', members: ['gus'] }] })
      const sources: EventSource[] = []
      for (const caller of [gus, gus.at(second.address)]) {
        await until('he may', async () => (await caller.get('/servers')).status === 200)
        const source = await EventSource.watch(caller, 'servers')
        sources.push(source)
        await source.saw('ADDED', 'two')
      }
      await apply({ groups: [{ name: 'readers', members: [] }] })
      const changed = performance.now()
      for (const source of sources) expect((await source.ended()) - changed).toBeLessThan(goneWithinMs)
      for (const source of sources) source.close()
    }
  }, 60_000)

  it('R008 of bindings shows what dangles, as get does', async () => {
    await apply({ users: [{ name: 'gone' }], rbac: [rbacOf('dangles', ['u:gone', 'u:bob'], ['view:servers:one'])] })
    const source = await EventSource.watch(root, 'rbac')
    await source.saw('ADDED', 'dangles')
    await root.must(root.delete('/users/gone'))
    const got = await root.must(root.get('/rbac/dangles'))
    expect(got.status['dangling']).toEqual(['User:gone'])
    await apply({ rbac: [{ name: 'dangles', labels: { a: 'b' }, ...got.spec }] })
    await source.saw('MODIFIED', 'dangles')
    const { object } = source.events.findLast(({ type }) => type === 'MODIFIED') as unknown as { object: Item }
    expect(object.status['dangling']).toEqual(['User:gone'])
    source.close()
  })
})
