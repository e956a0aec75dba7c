import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { ServerReport } from '@mcpctl/kinds/server/server.decider'
import {
  expectStatus,
  listOf,
  objectOf,
  problemOf,
  startDaemon,
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
const create = async (plural: string, entry: object) =>
  objectOf(expectStatus(201, await daemon.send(`/api/v1/${plural}`, { body: entry })))
const tag = (version: string) => `"${version}"`

describe.each([
  { plural: 'servers', fields: { package: source, replicas: 2 }, changed: { package: source, replicas: 3 } },
  { plural: 'projects', fields: { description: 'before' }, changed: { description: 'after' } },
  { plural: 'users', fields: { displayName: 'before' }, changed: { displayName: 'after' } },
  { plural: 'groups', fields: { description: 'before' }, changed: { description: 'after' } },
  {
    plural: 'rbac',
    fields: { bindings: [{ role: 'view', resource: 'servers' }] },
    changed: { bindings: [{ role: 'view', resource: 'servers' }], operations: [{ action: 'logs' }] },
  },
])('$plural', ({ plural, fields, changed }) => {
  const path = (name: string) => `/api/v1/${plural}/${name}`

  it('are created from a flat entry, with a place and a version', async () => {
    const name = unusedName()
    const made = await daemon.send(`/api/v1/${plural}`, { body: { name, labels: { team: 'core' }, ...fields } })
    expect(made.status).toBe(201)
    expect(made.headers.get('location')).toBe(path(name))
    const { metadata, spec } = objectOf(made)
    expect(made.headers.get('etag')).toBe(tag(metadata.resourceVersion))
    expect(metadata).toMatchObject({ name, labels: { team: 'core' }, generation: 1, createdBy: 'admin' })
    expect(spec).toMatchObject(fields)
  })

  it('are created from what was read elsewhere; what the server owns is not taken from the body', async () => {
    const name = unusedName()
    const uid = '01a20409-37e2-73d0-981d-1290f8a231a5'
    const metadata = { name, uid, createdBy: 'root', generation: 7, resourceVersion: '9.9' }
    const made = await create(plural, { metadata, spec: fields, status: { phase: 'Running' } })
    expect(made.metadata).toMatchObject({ createdBy: 'admin', generation: 1 })
    expect(made.metadata.uid).not.toBe(uid)
    expect(made.status['phase']).not.toBe('Running')
  })

  it('cannot be created twice', async () => {
    const { metadata } = await create(plural, { name: unusedName(), ...fields })
    const again = await daemon.send(`/api/v1/${plural}`, { body: { name: metadata.name, ...fields } })
    expect(again.status).toBe(409)
    expect(problemOf(again)).toMatchObject({ reason: 'AlreadyExists', kind: plural, name: metadata.name })
  })

  it('are read with their version, and not again while it is known', async () => {
    const { metadata } = await create(plural, { name: unusedName(), ...fields })
    const read = await daemon.send(path(metadata.name))
    expect(read.headers.get('etag')).toBe(tag(metadata.resourceVersion))
    const known = [
      tag(metadata.resourceVersion),
      `W/${tag(metadata.resourceVersion)}`,
      `"1.0", ${tag(metadata.resourceVersion)}`,
      '*',
    ]
    for (const seen of known) {
      const unchanged = await daemon.send(path(metadata.name), { headers: { 'if-none-match': seen } })
      expect([unchanged.status, unchanged.text]).toEqual([304, ''])
      expect(unchanged.headers.get('etag')).toBe(tag(metadata.resourceVersion))
    }
    const stale = await daemon.send(path(metadata.name), { headers: { 'if-none-match': '"1.0"' } })
    expect(stale.status).toBe(200)
  })

  it('that do not exist are not found', async () => {
    for (const method of ['GET', 'DELETE']) {
      const missing = await daemon.send(path('missing'), { method })
      expect(missing.status).toBe(404)
      expect(problemOf(missing)).toMatchObject({
        detail: `${plural} "missing" not found`,
        kind: plural,
        name: 'missing',
      })
    }
  })

  it('are replaced by whoever has seen the present version', async () => {
    const { metadata } = await create(plural, { name: unusedName(), ...fields })
    const put = { method: 'PUT', body: { ...changed, name: metadata.name } }
    const seen = tag(metadata.resourceVersion)
    const replaced = objectOf(
      expectStatus(200, await daemon.send(path(metadata.name), { ...put, headers: { 'if-match': seen } })),
    )
    expect(replaced.spec).toMatchObject(changed)
    expect(replaced.metadata).toMatchObject({ uid: metadata.uid, generation: 2 })
    const stale = await daemon.send(path(metadata.name), { ...put, headers: { 'if-match': seen } })
    expect(stale.status).toBe(412)
    expect(problemOf(stale)).toMatchObject({ reason: 'PreconditionFailed', kind: plural, name: metadata.name })
  })

  it('are replaced by what was read, with nothing changed', async () => {
    const made = await create(plural, { name: unusedName(), annotations: { note: 'kept' }, ...fields })
    const before = await position(daemon)
    const headers = { 'if-match': '*' }
    const same = await daemon.send(path(made.metadata.name), { method: 'PUT', body: made, headers })
    expect(objectOf(expectStatus(200, same))).toEqual(made)
    expect(await position(daemon)).toBe(before)
  })

  it('cannot be replaced blindly, nor before they exist', async () => {
    const { metadata } = await create(plural, { name: unusedName(), ...fields })
    const blind = await daemon.send(path(metadata.name), { method: 'PUT', body: changed })
    expect(blind.status).toBe(428)
    const missing = await daemon.send(path('missing'), { method: 'PUT', body: changed, headers: { 'if-match': '*' } })
    expect(missing.status).toBe(404)
  })

  it('are created by PUT with If-None-Match: *', async () => {
    const name = unusedName()
    const put = { method: 'PUT', body: fields, headers: { 'if-none-match': '*' } }
    expect((await daemon.send(path(name), put)).status).toBe(201)
    expect((await daemon.send(path(name), put)).status).toBe(409)
  })

  it('keep the name in the path', async () => {
    const { metadata } = await create(plural, { name: unusedName(), ...fields })
    const headers = { 'if-match': '*' }
    const renamed = { method: 'PUT', body: { name: 'other', ...fields }, headers }
    expect((await daemon.send(path(metadata.name), renamed)).status).toBe(400)
  })

  it.each([
    ['a version that is none of ours', '"abc"', 400],
    ['a negative one', '"-1.2"', 400],
    ['one beyond all numbers', '"1.9223372036854775808"', 400],
    ['one from before a restore', '"7.1"', 410],
  ])('refuse %s as a precondition', async (_, version, status) => {
    const { metadata } = await create(plural, { name: unusedName(), ...fields })
    for (const request of [{ method: 'PUT', body: changed }, { method: 'DELETE' }]) {
      const answer = await daemon.send(path(metadata.name), { ...request, headers: { 'if-match': version } })
      expect(answer.status).toBe(status)
    }
  })

  it('answer PATCH and other verbs with what would do', async () => {
    const patched = await daemon.send(path('any'), { method: 'PATCH', body: {} })
    expect(patched.status).toBe(405)
    expect(patched.headers.get('allow')).toBe('GET, PUT, DELETE')
  })

  it('append nothing in a dry run', async () => {
    const { metadata } = await create(plural, { name: unusedName(), ...fields })
    const before = await position(daemon)
    const headers = { 'if-match': '*' }
    const dry = [
      await daemon.send(`/api/v1/${plural}?dryRun=All`, { body: { name: unusedName(), ...fields } }),
      await daemon.send(`${path(metadata.name)}?dryRun=All`, { method: 'PUT', body: changed, headers }),
      await daemon.send(`${path(metadata.name)}?dryRun=All`, { method: 'DELETE' }),
    ]
    expect(dry.map(({ status }) => status)).toEqual([201, 200, 200])
    expect(await position(daemon)).toBe(before)
    expect((await daemon.send(`${path(metadata.name)}?dryRun=Some`, { method: 'DELETE' })).status).toBe(400)
  })
})

describe('a server', () => {
  const path = (name: string) => `/api/v1/servers/${name}`
  const scale = (name: string, replicas: unknown, headers: Record<string, string> = {}) =>
    daemon.send(`${path(name)}/scale`, { method: 'PUT', body: { spec: { replicas } }, headers })

  it('is scaled', async () => {
    const { metadata } = await create('servers', { name: unusedName(), package: source })
    const scaled = expectStatus(200, await scale(metadata.name, 5))
    expect(JSON.parse(scaled.text)).toMatchObject({
      kind: 'Scale',
      metadata: { name: metadata.name, uid: metadata.uid },
      spec: { replicas: 5 },
      status: { replicas: 0 },
    })
    expect(JSON.parse((await daemon.send(`${path(metadata.name)}/scale`)).text)).toEqual(JSON.parse(scaled.text))
    expect(await appended(daemon, metadata.uid)).toEqual(['ServerCreated', 'ReplicasChanged'])
    expectStatus(200, await scale(metadata.name, 5))
    expect(await appended(daemon, metadata.uid)).toEqual(['ServerCreated', 'ReplicasChanged'])
  })

  it.each([[-1], [101], [1.5], ['3'], [null], [undefined]])('is not scaled to %j', async (replicas) => {
    const { metadata } = await create('servers', { name: unusedName(), package: source })
    const refused = await scale(metadata.name, replicas)
    expect(refused.status).toBe(422)
    expect(problemOf(refused).errors).toMatchObject([{ pointer: '/spec/replicas' }])
  })

  it('is scaled only by whoever has seen the present version, if they say which', async () => {
    const { metadata } = await create('servers', { name: unusedName(), package: source })
    const seen = { 'if-match': tag(metadata.resourceVersion) }
    expect((await scale(metadata.name, 2, seen)).status).toBe(200)
    expect((await scale(metadata.name, 3, seen)).status).toBe(412)
    expect((await scale('missing', 3)).status).toBe(404)
  })

  it('is not stale because its status was reported', async () => {
    const { metadata } = await create('servers', { name: unusedName(), package: source })
    const data: ServerReport = {
      phase: 'Progressing',
      replicas: 1,
      updatedReplicas: 1,
      readyReplicas: 0,
      availableReplicas: 0,
      observedGeneration: 1,
      conditions: [],
    }
    await daemon.parts.store.log.append({
      streams: [
        {
          streamId: `server-${metadata.uid}`,
          category: 'server',
          expected: 'exists',
          events: [
            {
              id: '018f0000-0000-7000-8000-00000000aaaa',
              type: 'ServerStatusReported',
              schemaVersion: 1,
              data: { ...data, conditions: [] },
              meta: { actor: { uid: '00000000-0000-0000-0000-000000000000', name: 'system:reconciler' } },
            },
          ],
        },
      ],
    })
    const headers = { 'if-match': tag(metadata.resourceVersion) }
    const body = { package: source, replicas: 4 }
    expectStatus(200, await daemon.send(path(metadata.name), { method: 'PUT', body, headers }))
  })

  it('is Terminating until nothing of it runs, and keeps its name for that time', async () => {
    const { metadata } = await create('servers', { name: unusedName(), package: source })
    const { name } = metadata
    const deleted = expectStatus(202, await daemon.send(path(name), { method: 'DELETE' }))
    expect(objectOf(deleted).metadata.deletionTimestamp).toBeDefined()
    expect(objectOf(deleted).status['phase']).toBe('Terminating')
    expectStatus(202, await daemon.send(path(name), { method: 'DELETE' }))
    expect(objectOf(await daemon.send(path(name))).metadata.uid).toBe(metadata.uid)
    const entry = { name, package: source }
    expect((await daemon.send('/api/v1/servers', { body: entry })).status).toBe(409)
    const applied = await daemon.send('/api/v1/apply', { body: { servers: [entry] } })
    expect(applied.status).toBe(409)
    expect(problemOf(applied)).toMatchObject({ reason: 'Conflict', kind: 'servers', name })
    expect(problemOf(applied).detail).toContain('is being deleted')
    expect(problemOf(await scale(name, 3)).detail).toContain('is being deleted')
    expect(await appended(daemon, metadata.uid)).toEqual(['ServerCreated', 'ServerDeletionRequested'])
  })

  it('is refused a field that its driver cannot enforce', async () => {
    const before = await position(daemon)
    const limited = { name: unusedName(), package: source, resources: { memory: '1Gi' }, network: { mode: 'none' } }
    const refused = problemOf(expectStatus(422, await daemon.send('/api/v1/servers', { body: limited })))
    expect(refused.errors?.map(({ pointer }) => pointer)).toEqual(['/spec/resources', '/spec/network'])
    for (const { message } of refused.errors ?? []) expect(message).toContain('not supported by driver process')
    expect(await position(daemon)).toBe(before)
  })

  it.each([
    'http://mcp.example.com/mcp',
    'https://user:hunter2@example.com/mcp',
    'https://127.0.0.1/mcp',
    'https://localhost:5432/',
    'http://169.254.169.254/',
    'https://169.254.169.254/',
    'https://[::ffff:169.254.169.254]/',
    'https://0x7f.1/',
    'https://2130706433/',
    'https://metadata.google.internal/',
    'file:///etc/passwd',
    'https://',
  ])('is not reached at %s', async (url) => {
    const refused = await daemon.send('/api/v1/servers', { body: { name: unusedName(), url } })
    expect(refused.status).toBe(422)
    expect(problemOf(refused).errors?.map(({ pointer }) => pointer.replace('/spec', ''))).toEqual(['/url'])
    expect(refused.text).not.toContain('hunter2')
  })
})

describe('a project', () => {
  it('is gone at once, shown a last time, and its name is free', async () => {
    const { metadata } = await create('projects', { name: unusedName() })
    const deleted = expectStatus(200, await daemon.send(`/api/v1/projects/${metadata.name}`, { method: 'DELETE' }))
    expect(objectOf(deleted).metadata.uid).toBe(metadata.uid)
    expectStatus(404, await daemon.send(`/api/v1/projects/${metadata.name}`))
    const reborn = await create('projects', { name: metadata.name })
    expect(reborn.metadata.uid).not.toBe(metadata.uid)
  })

  it('names servers that exist, and they name it', async () => {
    const server = await create('servers', { name: unusedName(), package: source })
    const project = await create('projects', { name: unusedName(), servers: [server.metadata.name] })
    const shown = objectOf(await daemon.send(`/api/v1/servers/${server.metadata.name}`))
    expect(shown.referencedBy).toEqual({ projects: [project.metadata.name] })
    expect(shown.metadata.resourceVersion).toBe(server.metadata.resourceVersion)
    const body = { name: unusedName(), servers: [server.metadata.name, 'missing'] }
    const refused = problemOf(expectStatus(422, await daemon.send('/api/v1/projects', { body })))
    expect(refused.errors).toMatchObject([{ pointer: '/spec/servers/1', code: 'not-found' }])
  })
})

describe('instances', () => {
  it.each([
    ['POST', 'servers/some', 'GET, PUT, DELETE'],
    ['PUT', 'servers', 'GET, POST'],
    ['DELETE', 'servers', 'GET, POST'],
    ['POST', 'instances/some', 'GET, DELETE'],
    ['PUT', 'instances', 'GET'],
  ])('answer %s on %s with 405 and what the path takes', async (method, path, allow) => {
    const refused = await daemon.send(`/api/v1/${path}`, { method, body: {} })
    expect([refused.status, refused.headers.get('allow')]).toEqual([405, allow])
  })

  it.each(['POST', 'PUT', 'PATCH'])('answer %s with 405 and what they allow', async (method) => {
    const path = method === 'POST' ? '/api/v1/instances' : '/api/v1/instances/any'
    const refused = await daemon.send(path, { method, body: { name: 'any' } })
    expect(refused.status).toBe(405)
    expect(refused.headers.get('allow')).toBe('GET, DELETE')
    expect(problemOf(refused)).toMatchObject({ reason: 'MethodNotAllowed', kind: 'instances' })
  })
})

describe('a word that names no kind', () => {
  it.each([
    ['server', 'servers'],
    ['srv', 'servers'],
    ['serverz', 'servers'],
    ['Projects', 'projects'],
    ['proj', 'projects'],
  ])('%s is answered with what was meant', async (word, meant) => {
    const missing = await daemon.send(`/api/v1/${word}`)
    expect(missing.status).toBe(404)
    expect(problemOf(missing).detail).toBe(
      `the server doesn't have a resource type "${word}"; did you mean "${meant}"?`,
    )
  })

  it('is not found when nothing is near', async () => {
    expect(problemOf(await daemon.send('/api/v1/gadgets/x'))).toMatchObject({ status: 404, reason: 'NotFound' })
  })
})

describe('two writers', () => {
  it('of one version: one wins, the other is told', async () => {
    const { metadata } = await create('servers', { name: unusedName(), package: source })
    const write = (replicas: number) =>
      daemon.send(`/api/v1/servers/${metadata.name}`, {
        method: 'PUT',
        body: { package: source, replicas },
        headers: { 'if-match': tag(metadata.resourceVersion) },
      })
    const answers = await Promise.all([write(7), write(8)])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412])
    const won = answers.find(({ status }) => status === 200)
    expect(objectOf(await daemon.send(`/api/v1/servers/${metadata.name}`)).spec).toEqual(won && objectOf(won).spec)
  })

  it('of one new name: one creates it', async () => {
    const name = unusedName()
    const make = () => daemon.send('/api/v1/projects', { body: { name } })
    const answers = await Promise.all([make(), make(), make()])
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409])
  })
})

describe('50 applies of one object at once', () => {
  it('make it once when they say the same', async () => {
    const name = unusedName()
    const body = { servers: [{ name, package: source }] }
    const answers = await Promise.all(Array.from({ length: 50 }, () => daemon.send('/api/v1/apply', { body })))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    const { uid } = objectOf(await daemon.send(`/api/v1/servers/${name}`)).metadata
    expect(await appended(daemon, uid)).toEqual(['ServerCreated'])
  })

  it('are all made, one after the other, when they differ', async () => {
    const name = unusedName()
    const apply = (replicas: number) =>
      daemon.send('/api/v1/apply', { body: { servers: [{ name, package: source, replicas }] } })
    const answers = await Promise.all(Array.from({ length: 50 }, (_, replicas) => apply(replicas + 1)))
    expect(answers.map(({ status }) => status).filter((status) => status !== 200)).toEqual([])
    const { uid } = objectOf(await daemon.send(`/api/v1/servers/${name}`)).metadata
    expect(await appended(daemon, uid)).toHaveLength(50)
  })
})

describe('a list', () => {
  it('shows objects in order of names, and that it is one', async () => {
    const list = listOf(await daemon.send('/api/v1/projects'))
    const names = list.items.map(({ metadata }) => metadata.name)
    expect(list.kind).toBe('ProjectList')
    expect(names.length).toBeGreaterThan(3)
    expect(list.metadata.resourceVersion).toMatch(/^\d+\.\d+$/)
    expect(new Set(names).size).toBe(names.length)
  })
})
