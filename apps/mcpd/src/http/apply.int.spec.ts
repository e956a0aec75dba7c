import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import {
  expectStatus,
  listOf,
  objectOf,
  problemOf,
  startDaemon,
  type TestDaemon,
} from '../../../../test/support/daemon'
import { appended, events, position } from '../../../../test/support/log'

let daemon: TestDaemon

beforeAll(async () => {
  daemon = await startDaemon()
}, 60_000)
afterAll(() => daemon.close())

interface Applied {
  position?: string
  dryRun?: boolean
  results: { kind: string; plural: string; name: string; uid: string; outcome: string }[]
}

const source = 'npm:echo@1.0.0'
let count = 0
const unusedName = () => `thing-${String(++count)}`
const send = (manifest: unknown, query = '') => daemon.send(`/api/v1/apply${query}`, { body: manifest })
const apply = async (manifest: unknown, query = '') =>
  JSON.parse(expectStatus(200, await send(manifest, query)).text) as Applied
const refused = async (status: number, manifest: unknown) => {
  const before = await position(daemon)
  const problem = problemOf(expectStatus(status, await send(manifest)))
  expect(await position(daemon)).toBe(before)
  return problem
}
const outcomes = ({ results }: Applied) => results.map(({ plural, name, outcome }) => `${plural}/${name} ${outcome}`)

describe('an apply', () => {
  it('takes the version that its writer has seen, and refuses all of it when one object has changed since', async () => {
    const [known, fresh] = [unusedName(), unusedName()]
    await apply({ servers: [{ name: known, package: source }] })
    const { metadata } = objectOf(await daemon.send(`/api/v1/servers/${known}`))
    const versioned = (name: string, resourceVersion: string, replicas: number) => ({
      metadata: { name, resourceVersion },
      spec: { package: source, replicas },
    })
    const start = `${metadata.resourceVersion.split('.')[0] ?? ''}.0`
    const both = { servers: [versioned(known, metadata.resourceVersion, 2), versioned(fresh, start, 1)] }
    expect(outcomes(await apply(both))).toEqual([`servers/${known} configured`, `servers/${fresh} created`])

    const third = unusedName()
    const stale = { servers: [versioned(third, start, 1), versioned(known, metadata.resourceVersion, 3)] }
    expect(await refused(412, stale)).toMatchObject({ reason: 'PreconditionFailed', name: known })
    expectStatus(404, await daemon.send(`/api/v1/servers/${third}`))
    // As of the start of the log nothing was there: it is created, or refused, but never changed.
    expect(await refused(412, { servers: [versioned(fresh, start, 5)] })).toMatchObject({ name: fresh })
    expect(await refused(400, { servers: [versioned(third, 'yesterday', 1)] })).toMatchObject({ reason: 'BadRequest' })
  })

  it('creates, configures and leaves alone, and says which', async () => {
    const [a, b, c] = [unusedName(), unusedName(), unusedName()]
    await apply({
      servers: [
        { name: a, package: source },
        { name: b, package: source },
      ],
    })
    const applied = await apply({
      servers: [
        { name: a, package: source },
        { name: b, package: source, replicas: 3 },
        { name: c, package: source },
      ],
    })
    expect(outcomes(applied)).toEqual([`servers/${a} unchanged`, `servers/${b} configured`, `servers/${c} created`])
    expect(applied.position).toBe(String(await position(daemon)))
    for (const { uid, name, kind } of applied.results)
      expect(objectOf(await daemon.send(`/api/v1/servers/${name}`))).toMatchObject({ kind, metadata: { uid } })
  })

  it('of what is there already appends nothing', async () => {
    const name = unusedName()
    const manifest = {
      servers: [{ name, package: source, labels: { a: 'b' }, env: [{ name: 'A', value: 'b' }], args: ['x'] }],
      projects: [{ name, description: 'tools', servers: [name], members: [{ kind: 'User', name: 'alice' }] }],
    }
    await apply(manifest)
    const before = await position(daemon)
    const again = await apply(manifest)
    expect(new Set(again.results.map(({ outcome }) => outcome))).toEqual(new Set(['unchanged']))
    expect(again.position).toBeUndefined()
    expect(await position(daemon)).toBe(before)
  })

  it('sees what its earlier documents make, in whatever order they stand', async () => {
    const [server, project] = [unusedName(), unusedName()]
    const applied = await apply({
      projects: [{ name: project, servers: [server] }],
      servers: [{ name: server, package: source }],
    })
    expect(outcomes(applied)).toEqual([`servers/${server} created`, `projects/${project} created`])
    const other = unusedName()
    const again = await apply({
      servers: [{ name: other, package: source }],
      projects: [{ name: project, servers: [other] }],
    })
    expect(outcomes(again)).toEqual([`servers/${other} created`, `projects/${project} configured`])
    expect(objectOf(await daemon.send(`/api/v1/projects/${project}`)).spec['servers']).toEqual([other])
  })

  it('is one append: its events stand together and are seen together', async () => {
    const names = Array.from({ length: 20 }, unusedName)
    await apply({
      servers: names.map((name) => ({ name, package: source })),
      projects: [{ name: unusedName(), servers: names }],
    })
    const last = (await events(daemon)).slice(-21)
    expect(new Set(last.map(({ recordedAt }) => recordedAt)).size).toBe(1)
    expect(new Set(last.map(({ meta }) => meta.correlationId)).size).toBe(1)
  })

  it('with one wrong document changes nothing, and points at every fault', async () => {
    const [good, project] = [unusedName(), unusedName()]
    const problem = await refused(422, {
      servers: [
        { name: good, package: source },
        { name: unusedName(), package: source, replicas: -1, imge: 'x' },
        { name: 'UPPER', package: source, env: [{ name: 'A', value: 1 }] },
      ],
      projects: [{ name: project, members: [{ kind: 'Robot', name: 'r2' }] }],
    })
    expect(problem.errors?.map(({ pointer }) => pointer)).toEqual([
      '/servers/1/imge',
      '/servers/1/replicas',
      '/servers/2/name',
      '/servers/2/env/0/value',
      '/projects/0/members/0/kind',
    ])
    expectStatus(404, await daemon.send(`/api/v1/servers/${good}`))
    expectStatus(404, await daemon.send(`/api/v1/projects/${project}`))
  })

  it('with a document that the present state refuses changes nothing', async () => {
    const server = unusedName()
    const unknown = await refused(422, {
      servers: [{ name: server, package: source }],
      projects: [{ name: unusedName(), servers: [server, 'missing'] }],
    })
    expect(unknown.errors).toMatchObject([{ pointer: '/projects/0/servers/1', code: 'not-found' }])
    const unsupported = await refused(422, {
      servers: [
        { name: unusedName(), package: source },
        { name: unusedName(), package: source, resources: { memory: '1Gi' } },
      ],
    })
    expect(unsupported.errors?.map(({ pointer }) => pointer)).toEqual(['/servers/1/resources'])
    expectStatus(404, await daemon.send(`/api/v1/servers/${server}`))
  })

  it('names each object once', async () => {
    const name = unusedName()
    const problem = await refused(422, {
      servers: [
        { name, package: source },
        { name, package: source, replicas: 2 },
      ],
    })
    expect(problem.errors).toMatchObject([{ pointer: '/servers/1/name', code: 'duplicate' }])
    await apply({ servers: [{ name, package: source }], projects: [{ name }] })
  })

  it.each<[string, unknown, number, string[]]>([
    ['a key that is no kind', { server: [] }, 422, ['/server']],
    ['instances', { instances: [] }, 422, ['/instances']],
    ['a kind that is no list', { servers: { name: 'a' } }, 422, ['/servers']],
    ['an entry that is no object', { servers: ['a', null] }, 422, ['/servers/0', '/servers/1']],
    ['an entry without a name', { servers: [{ package: source }] }, 422, ['/servers/0/name']],
    ['a list', [], 400, []],
    ['null', null, 400, []],
    ['text', 'servers', 400, []],
  ])('refuses %s', async (_, manifest, status, pointers) => {
    const problem = await refused(status, manifest)
    expect((problem.errors ?? []).map(({ pointer }) => pointer)).toEqual(pointers)
  })

  it('suggests the kind that was meant', async () => {
    const problem = await refused(422, { serverz: [] })
    expect(problem.errors).toMatchObject([{ message: 'unknown resource key; did you mean "servers"?' }])
  })

  it('of nothing does nothing', async () => {
    expect(await apply({})).toEqual({ results: [] })
    expect(await apply({ servers: [] })).toEqual({ results: [] })
  })

  it('takes 500 documents and no more', async () => {
    const entries = Array.from({ length: 501 }, () => ({ name: unusedName(), package: source, replicas: 0 }))
    expect((await refused(413, { servers: entries })).detail).toContain('at most 500 documents')
    const { results } = await apply({ servers: entries.slice(0, 500) })
    expect(results).toHaveLength(500)
  })

  it('in a dry run says what it would do', async () => {
    const [server, project] = [unusedName(), unusedName()]
    const before = await position(daemon)
    const manifest = { projects: [{ name: project, servers: [server] }], servers: [{ name: server, package: source }] }
    const dry = await apply(manifest, '?dryRun=All')
    expect(outcomes(dry)).toEqual([`servers/${server} created`, `projects/${project} created`])
    expect(dry).toMatchObject({ dryRun: true })
    expect(dry.position).toBeUndefined()
    expect(await position(daemon)).toBe(before)
    expectStatus(422, await send({ projects: [{ name: project, servers: [server] }] }, '?dryRun=All'))
  })

  it('turns around what another writer did in between, without losing either', async () => {
    const name = unusedName()
    const { results } = await apply({ servers: [{ name, package: source }] })
    const writes = [
      send({ servers: [{ name, package: source, replicas: 4 }] }),
      daemon.send(`/api/v1/servers/${name}/scale`, { method: 'PUT', body: { spec: { replicas: 6 } } }),
      send({ servers: [{ name, package: source, labels: { a: 'b' }, replicas: 9 }] }),
    ]
    expect((await Promise.all(writes)).map(({ status }) => status)).toEqual([200, 200, 200])
    const types = await appended(daemon, results[0]?.uid ?? '')
    expect(types.filter((type) => type === 'ServerLabelled').length).toBeGreaterThan(0)
    expect(types.filter((type) => type === 'ReplicasChanged').length).toBeGreaterThan(0)
  })

  it('shows what it made at once in a list', async () => {
    const name = unusedName()
    await apply({ projects: [{ name, labels: { only: name } }] })
    const list = listOf(await daemon.send(`/api/v1/projects?labelSelector=only=${name}`))
    expect(list.items.map(({ metadata }) => metadata.name)).toEqual([name])
  })
})
