import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { rbacOf } from '../../../../test/support/access-fixture'
import { until } from '../../../../test/support/binaries'
import { Caller, type Item, type Reply } from '../../../../test/support/caller'
import { startDaemon, type TestDaemon } from '../../../../test/support/daemon'
import { EventSource } from '../../../../test/support/event-source'
import { events, position } from '../../../../test/support/log'

let daemon: TestDaemon
let root: Caller
/** May make servers and nothing else. */
let eve: Caller
let name: string
let count = 0

const server = (called = name) => ({ name: called, package: 'npm:echo@1.0.0', replicas: 0 })
const grant = (...entries: string[]) => grantAs(name, ...entries)
const grantAs = (binding: string, ...entries: string[]) =>
  root.must(root.apply({ rbac: [rbacOf(binding, ['u:eve'], entries)] }))
const make = (plural: string, body: object) => root.must(root.post(`/${plural}`, body))
/** Done when it is gone: a server ends its instances first. */
const remove = async (path: string) => {
  await root.must(root.delete(path))
  await until(`${path} is gone`, async () => (await root.get(path)).status === 404)
}
const warningsOf = ({ headers }: Reply) => headers.get('warning') ?? ''
const told = async (after = 0n) =>
  (await events(daemon)).filter(({ type, position: at }) => type === 'GrantRevived' && at > after)
const toldOf = async (object: string) =>
  (await told()).filter(({ data }) => (data as { object: { name: string } }).object.name === object)
/** Whether it is there, by what the binding's entries name. */
const objectsOf = (item: Item) => item.status['objects']

beforeAll(async () => {
  daemon = await startDaemon({ leads: true })
  await until('it leads', () => daemon.parts.daemon.leads())
  root = new Caller(daemon.address, daemon.token)
  await root.must(root.apply({ users: [{ name: 'eve' }, { name: 'reader' }] }))
  await grantAs('eve', 'create:servers', 'view:servers')
  const { token } = await root.must(root.post<{ token: string }>('/tokens', { user: 'eve' }))
  eve = root.withToken(token)
}, 60_000)
beforeEach(() => {
  name = `thing-${String(++count)}`
})
afterAll(() => daemon.close())

describe('a grant that names an object that is made again', () => {
  beforeEach(async () => {
    await make('servers', server())
    await grant(`edit:servers:${name}`, `op logs:servers/${name}`)
    await remove(`/servers/${name}`)
  })

  it('is told of with the object: a warning to whoever may view the binding, an event for each entry', async () => {
    const reply = await root.post('/servers', server())
    expect(reply.status).toBe(201)
    expect(warningsOf(reply)).toContain(
      `another server '${name}' was there before: making this one brings 2 grants to life again: ` +
        `binding ${name} edit:servers:${name}, binding ${name} op logs:servers/${name}; see: mcpctl describe rbac ${name}`,
    )
    const found = await toldOf(name)
    const log = await events(daemon)
    const created = log.findLast(({ type }) => type === 'ServerCreated')
    const deleted = log.findLast(({ type }) => type === 'ServerDeleted')
    expect(found.map(({ data }) => (data as { entry: object }).entry)).toEqual([
      { role: 'edit', resource: 'servers', name },
      { action: 'logs', resource: 'servers', name },
    ])
    for (const { data, meta, category, streamId } of found) {
      expect(data).toMatchObject({
        rbac: { name },
        object: { kind: 'servers', name, uid: reply.body.metadata.uid },
        granted: { by: 'admin' },
        deleted: { position: String(deleted?.position) },
      })
      expect(meta.actor.name).toBe('admin')
      expect([category, streamId]).toEqual(['audit', `audit-${meta.actor.uid}`])
    }
    expect(found.map((each) => each.position)).toEqual([1n, 2n].map((nth) => (created?.position ?? 0n) + nth))
  })

  it('is recorded, and not told to who may not view the binding', async () => {
    const reply = await eve.post('/servers', server())
    expect([reply.status, warningsOf(reply)]).toEqual([201, ''])
    expect((await toldOf(name)).map(({ meta }) => meta.actor.name)).toEqual(['eve', 'eve'])
  })

  it('is warned of when the making is only tried, which appends nothing', async () => {
    const before = await position(daemon)
    const reply = await root.post('/servers?dryRun=All', server())
    expect(reply.status).toBe(201)
    expect(warningsOf(reply)).toContain('brings 2 grants to life again')
    expect(await told(before)).toEqual([])
    expect((await root.get(`/servers/${name}`)).status).toBe(404)
  })

  it('is told of once when the same request is sent twice', async () => {
    const again = root.with({ 'idempotency-key': `again-${name}` })
    expect((await again.post('/servers', server())).status).toBe(201)
    expect((await again.post('/servers', server())).status).toBe(201)
    expect(await toldOf(name)).toHaveLength(2)
  })

  it('is told of when a manifest makes many objects, by name', async () => {
    const others = Array.from({ length: 9 }, (_, nth) => server(`${name}-${String(nth)}`))
    const reply = await root.apply({ servers: [...others, server()] })
    expect(reply.status).toBe(200)
    expect(warningsOf(reply).match(/299 mcpd/g)).toHaveLength(1)
    expect(warningsOf(reply)).toContain(`another server '${name}' was there before`)
    expect(await toldOf(name)).toHaveLength(2)
  })

  it('is told of however many are made anew in one request', async () => {
    const names = Array.from({ length: 3 }, (_, nth) => `${name}-${String(nth)}`)
    await root.must(root.apply({ servers: names.map(server) }))
    await grantAs(`${name}-all`, ...names.map((each) => `run:servers:${each}`))
    for (const each of names) await remove(`/servers/${each}`)
    const reply = await root.apply({ servers: names.map(server) })
    expect(warningsOf(reply).match(/brings 1 grant to life again/g)).toHaveLength(3)
    for (const each of names) expect(await toldOf(each)).toHaveLength(1)
  })

  it('is no news any more when it has been told and the object is changed', async () => {
    await make('servers', server())
    const before = await position(daemon)
    const reply = await root.apply({ servers: [{ ...server(), labels: { a: 'b' } }] })
    expect([reply.status, warningsOf(reply)]).toEqual([200, ''])
    expect(await told(before)).toEqual([])
  })

  it('is told of no more once it is revoked', async () => {
    await grant(`view:servers:${name}`)
    await remove(`/rbac/${name}`)
    expect(warningsOf(await root.post('/servers', server()))).toBe('')
    expect(await toldOf(name)).toEqual([])
  })

  it('can no longer be told of by its twin: of two who make it at once, one does', async () => {
    const replies = await Promise.all([root.post('/servers', server()), root.post('/servers', server())])
    expect(replies.map(({ status }) => status).sort()).toEqual([201, 409])
    expect(await toldOf(name)).toHaveLength(2)
  })
})

describe('a grant that nobody brings to life', () => {
  it('is one that was given before there was such an object', async () => {
    await grant(`edit:servers:${name}`)
    expect(warningsOf(await root.post('/servers', server()))).toBe('')
    expect(await toldOf(name)).toEqual([])
  })

  it('is one that was given after the object had gone', async () => {
    await make('servers', server())
    await remove(`/servers/${name}`)
    await grant(`edit:servers:${name}`)
    expect(warningsOf(await root.post('/servers', server()))).toBe('')
    expect(await toldOf(name)).toEqual([])
  })

  it('is one about another kind', async () => {
    await make('servers', server())
    await make('projects', { name })
    await grant(`edit:projects:${name}`)
    await remove(`/servers/${name}`)
    expect(warningsOf(await root.post('/servers', server()))).toBe('')
    expect(await toldOf(name)).toEqual([])
  })
})

describe('every kind', () => {
  const kinds: [string, object, string][] = [
    ['projects', {}, 'edit:projects'],
    ['groups', {}, 'edit:groups'],
    ['users', {}, 'view:users'],
    ['secrets', { data: { key: 'plain' } }, 'view:secrets'],
    ['rbac', { subjects: [{ kind: 'User', name: 'eve' }] }, 'view:rbac'],
  ]
  it.each(kinds)('is told of: %s', async (plural, body, entry) => {
    await make(plural, { name, ...body })
    await grantAs(`${name}-grant`, `${entry}:${name}`)
    await remove(`/${plural}/${name}`)
    const reply = await root.post(`/${plural}`, { name, ...body })
    expect(warningsOf(reply)).toContain(`binding ${name}-grant ${entry}:${name}`)
    expect(await toldOf(name)).toHaveLength(1)
  })

  it('is told of: servers, by what is granted on their instances', async () => {
    await make('servers', server())
    await grant(`view:instances:${name}`)
    await remove(`/servers/${name}`)
    expect(warningsOf(await root.post('/servers', server()))).toContain(`binding ${name} view:instances:${name}`)
  })
})

describe('a binding', () => {
  const seen = async (as = root) => objectsOf(await as.must(as.get(`/rbac/${name}`)))

  it('says of each object that it names whether it is there', async () => {
    await grant('view:projects', `edit:servers:${name}`, `op logs:servers/${name}`, `view:instances:${name}`)
    const states = (state: string) => [
      { resource: 'servers', name, state },
      { resource: 'instances', name, state },
    ]
    expect(await seen()).toEqual(states('Missing'))
    await make('servers', server())
    expect(await seen()).toEqual(states('Bound'))
    const { items } = await root.must(root.get<{ items: Item[] }>('/rbac'))
    expect(objectsOf(items.find(({ metadata }) => metadata.name === name) as Item)).toEqual(states('Bound'))
    await remove(`/servers/${name}`)
    expect(await seen()).toEqual(states('Missing'))
  })

  it('says nothing of them where it names none', async () => {
    await grant('view:servers')
    expect(await seen()).toBeUndefined()
  })

  it('tells nobody of objects that they may not view, and a watch tells of none', async () => {
    await make('servers', server())
    await make('projects', { name })
    await grant(`edit:servers:${name}`, `edit:projects:${name}`, 'view:groups:nobody-knows')
    await root.must(
      root.apply({ rbac: [rbacOf(`${name}-reader`, ['u:reader'], ['view:rbac', `view:projects:${name}`])] }),
    )
    const { token } = await root.must(root.post<{ token: string }>('/tokens', { user: 'reader' }))
    const reader = root.withToken(token)
    expect(await seen(reader)).toEqual([{ resource: 'projects', name, state: 'Bound' }])
    const source = await EventSource.watch(reader, 'rbac')
    try {
      await source.saw('ADDED', name)
      await root.must(
        root.apply({ rbac: [{ ...rbacOf(name, ['u:eve'], [`view:servers:${name}`]), labels: { a: 'b' } }] }),
      )
      await source.saw('MODIFIED', name)
      const objects = source.events.map(({ object }) => object as unknown as Item)
      for (const object of objects.filter(({ metadata }) => metadata.name === name))
        expect(objectsOf(object)).toBeUndefined()
    } finally {
      source.close()
    }
  })
})
