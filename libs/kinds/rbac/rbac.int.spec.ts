import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import {
  expectStatus,
  listOf,
  objectOf,
  problemOf,
  startDaemon,
  type Sent,
  type TestDaemon,
} from '../../../test/support/daemon'
import { events, position } from '../../../test/support/log'

let daemon: TestDaemon

beforeAll(async () => {
  daemon = await startDaemon()
}, 60_000)
afterAll(() => daemon.close())

let count = 0
const unusedName = (what: string) => `${what}-${String(++count)}`
const send = (path: string, sent?: Sent) => daemon.send(`/api/v1/${path}`, sent)
const create = async (plural: string, entry: object) => objectOf(expectStatus(201, await send(plural, { body: entry })))
const get = async (plural: string, name: string) => objectOf(expectStatus(200, await send(`${plural}/${name}`)))
const put = (plural: string, entry: { name: string } & Record<string, unknown>) =>
  send(`${plural}/${entry.name}`, { method: 'PUT', body: entry, headers: { 'if-match': '*' } })
const remove = async (plural: string, name: string) =>
  expectStatus(200, await send(`${plural}/${name}`, { method: 'DELETE' }))
const apply = (body: object) => send('apply', { body })
const outcomes = (text: string) =>
  (JSON.parse(text) as { results: { kind: string; outcome: string }[] }).results.map(
    ({ kind, outcome }) => `${kind} ${outcome}`,
  )
/** What was appended after a position, by type. */
const typesAfter = async (after: bigint) =>
  (await events(daemon)).filter((event) => event.position > after).map(({ type }) => type)

/** A user who was deleted, and somebody else who bears the name now. */
const replacedUser = async (bind: (name: string) => Promise<unknown>) => {
  const name = unusedName('alice')
  const former = await create('users', { name })
  await bind(name)
  await remove('users', name)
  const present = await create('users', { name })
  return { name, former: former.metadata.uid, present: present.metadata.uid }
}

describe('a binding', () => {
  it('shows what it grants, to whom, and what should be granted with care', async () => {
    const user = await create('users', { name: unusedName('alice') })
    const group = await create('groups', { name: unusedName('dev'), members: [user.metadata.name] })
    const name = unusedName('binding')
    await create('rbac', {
      name,
      subjects: [
        { kind: 'User', name: user.metadata.name },
        { kind: 'Group', name: group.metadata.name },
        { kind: 'Group', name: 'system:authenticated' },
      ],
      bindings: [
        { role: 'view', resource: 'Server' },
        { role: 'edit', resource: 'srv', name: 'github' },
        { role: 'view', resource: '*' },
      ],
      operations: [{ action: 'logs', resource: 'server', name: 'github' }, { action: 'impersonate' }],
    })
    const { status, spec } = await get('rbac', name)
    expect(status).toMatchObject({
      grants: {
        bindings: ['view:servers', 'edit:servers:github', 'view:*'],
        operations: ['logs:servers/github', 'impersonate'],
      },
      subjects: [
        { kind: 'User', uid: user.metadata.uid, state: 'Bound' },
        { kind: 'Group', uid: group.metadata.uid, state: 'Bound' },
        { kind: 'Group', uid: 'system:authenticated', state: 'Bound' },
      ],
    })
    expect(status['warnings']).toHaveLength(2)
    expect(status['dangling']).toBeUndefined()
    expect(spec['subjects']).toEqual([
      { kind: 'User', name: user.metadata.name },
      { kind: 'Group', name: group.metadata.name },
      { kind: 'Group', name: 'system:authenticated' },
    ])
    expect((await get('users', user.metadata.name)).referencedBy).toEqual({
      groups: [group.metadata.name],
      rbac: [name],
    })
    expect((await get('groups', group.metadata.name)).referencedBy).toEqual({ rbac: [name] })
  })

  it('binds nobody who is not there', async () => {
    const bound = { bindings: [{ role: 'view', resource: 'servers' }] }
    const refused = await send('rbac', {
      body: { name: unusedName('binding'), subjects: [{ kind: 'User', name: 'ghost' }], ...bound },
    })
    expect(refused.status).toBe(422)
    expect(problemOf(refused).errors).toEqual([
      {
        pointer: '/spec/subjects/0',
        code: 'not-found',
        message: 'users "ghost" not found; create it first or in the same apply',
      },
    ])
    const { metadata } = await create('users', { name: unusedName('alice') })
    // A group of that name is somebody else.
    const asGroup = { subjects: [{ kind: 'Group', name: metadata.name }], ...bound }
    expect((await send('rbac', { body: { name: unusedName('binding'), ...asGroup } })).status).toBe(422)
    const other = await create('users', { name: unusedName('bob') })
    const wrongUid = { subjects: [{ kind: 'User', name: metadata.name, uid: other.metadata.uid }], ...bound }
    expect((await send('rbac', { body: { name: unusedName('binding'), ...wrongUid } })).status).toBe(422)
    const rightUid = { subjects: [{ kind: 'User', name: metadata.name, uid: metadata.uid }], ...bound }
    expect((await send('rbac', { body: { name: unusedName('binding'), ...rightUid } })).status).toBe(201)
  })

  it('refuses what means nothing, with a hint', async () => {
    const refused = await send('rbac', {
      body: {
        name: unusedName('binding'),
        bindings: [{ role: 'edit', resource: 'instances' }],
        operations: [{ action: 'frobnicate' }],
      },
    })
    expect(refused.status).toBe(422)
    const [binding, operation] = problemOf(refused).errors ?? []
    expect(binding).toMatchObject({ pointer: '/bindings/0' })
    expect(binding?.message).toContain('roles there are view, delete')
    expect(operation?.message).toContain('operations are logs, backup, restore, audit, reveal')
  })

  it('keeps a subject that is gone apart from whoever bears the name now', async () => {
    const name = unusedName('binding')
    const {
      name: alice,
      former,
      present,
    } = await replacedUser((user) =>
      create('rbac', {
        name,
        subjects: [{ kind: 'User', name: user }],
        bindings: [{ role: 'view', resource: 'servers' }],
      }),
    )
    const shown = await get('rbac', name)
    expect(shown.spec['subjects']).toEqual([{ kind: 'User', name: alice, uid: former }])
    expect(shown.status).toMatchObject({ dangling: [`User:${alice}`], subjects: [{ uid: former, state: 'Dangling' }] })
    expect((await get('users', alice)).referencedBy).toBeUndefined()
    expect(listOf(await send('rbac')).items.find(({ metadata }) => metadata.name === name)?.spec).toEqual(shown.spec)

    const before = await position(daemon)
    expectStatus(200, await apply({ rbac: [{ name, ...shown.spec }] }))
    expectStatus(200, await put('rbac', { name, ...shown.spec }))
    expect(await typesAfter(before)).toEqual([])

    expectStatus(200, await apply({ rbac: [{ name, ...shown.spec, subjects: [{ kind: 'User', name: alice }] }] }))
    expect(await typesAfter(before)).toEqual(['RbacSubjectRemoved', 'RbacSubjectAdded'])
    expect((await get('rbac', name)).status['subjects']).toMatchObject([{ uid: present, state: 'Bound' }])
    expect((await get('users', alice)).referencedBy).toEqual({ rbac: [name] })
  })

  it('answers a write with what a read shows', async () => {
    const name = unusedName('binding')
    const { former } = await replacedUser((user) => create('rbac', { name, subjects: [{ kind: 'User', name: user }] }))
    const { spec } = await get('rbac', name)
    const answer = objectOf(expectStatus(200, await put('rbac', { name, ...spec, bindings: [] })))
    expect(answer.spec).toEqual((await get('rbac', name)).spec)
    expect(JSON.stringify(answer.spec)).toContain(former)
  })

  it('is written by many at once, and holds what one of them wrote, whole', async () => {
    const name = unusedName('binding')
    await create('rbac', { name })
    const names = Array.from({ length: 8 }, (_, nr) => `server-${String(nr)}`)
    const bindings = (server: string) => ['view', 'edit'].map((role) => ({ role, resource: 'servers', name: server }))
    const answers = await Promise.all(names.map((server) => apply({ rbac: [{ name, bindings: bindings(server) }] })))
    expect(answers.map(({ status }) => status)).toEqual(names.map(() => 200))
    expect(names.map(bindings)).toContainEqual((await get('rbac', name)).spec['bindings'])
  })
})

describe('users, groups and bindings in one manifest', () => {
  const team = (suffix: string) => ({
    rbac: [
      {
        name: `team${suffix}`,
        subjects: [
          { kind: 'Group', name: `dev${suffix}` },
          { kind: 'User', name: `alice${suffix}` },
        ],
        bindings: [{ role: 'view', resource: 'servers' }],
      },
    ],
    groups: [{ name: `dev${suffix}`, members: [`alice${suffix}`, `bob${suffix}`] }],
    users: [{ name: `bob${suffix}` }, { name: `alice${suffix}`, email: 'alice@example.com' }],
  })

  it('are made in the order in which they name each other', async () => {
    const answer = expectStatus(200, await apply(team('-one')))
    expect(outcomes(answer.text)).toEqual(['User created', 'User created', 'Group created', 'RbacBinding created'])
    const alice = await get('users', 'alice-one')
    expect((await get('groups', 'dev-one')).status['members']).toMatchObject([{ uid: alice.metadata.uid }, {}])
  })

  it('are all refused when one of them names nobody', async () => {
    const before = await position(daemon)
    const manifest = team('-two')
    const refused = await apply({ ...manifest, users: manifest.users.slice(0, 1) })
    expect(refused.status).toBe(422)
    expect(problemOf(refused).errors).toMatchObject([{ pointer: '/groups/0/members/0', code: 'not-found' }])
    expect(await position(daemon)).toBe(before)
  })

  it('come back unchanged from what get prints', async () => {
    expectStatus(200, await apply(team('-three')))
    await remove('users', 'bob-three')
    const printed = async (plural: string) =>
      listOf(await send(`${plural}?limit=1000`)).items.map(({ metadata: { name, labels, annotations }, spec }) => ({
        name,
        labels,
        annotations,
        ...spec,
      }))
    const before = await position(daemon)
    const all = { users: await printed('users'), groups: await printed('groups'), rbac: await printed('rbac') }
    const answer = expectStatus(200, await apply(all))
    expect(new Set(outcomes(answer.text).map((line) => line.split(' ')[1]))).toEqual(new Set(['unchanged']))
    expect(await position(daemon)).toBe(before)
  })
})

describe('a group', () => {
  it('keeps a member who is gone apart from whoever bears the name now', async () => {
    const name = unusedName('dev')
    const { name: alice, former, present } = await replacedUser((user) => create('groups', { name, members: [user] }))
    const shown = await get('groups', name)
    expect(shown.spec['members']).toEqual([{ name: alice, uid: former }])
    expect(shown.status).toMatchObject({ dangling: [alice], members: [{ uid: former, state: 'Dangling' }] })
    expect((await get('users', alice)).referencedBy).toBeUndefined()
    const both = { name, members: [...(shown.spec['members'] as object[]), alice] }
    expectStatus(200, await put('groups', both))
    expect((await get('groups', name)).spec['members']).toEqual([{ name: alice, uid: former }, alice])
    expect((await get('users', alice)).referencedBy).toEqual({ groups: [name] })
    expectStatus(200, await put('groups', { name, members: [alice] }))
    expect((await get('groups', name)).status['members']).toMatchObject([{ uid: present, state: 'Bound' }])
  })

  it('has members that exist, users only', async () => {
    const group = await create('groups', { name: unusedName('ops') })
    const bodies = [['ghost'], [{ kind: 'Group', name: group.metadata.name }], [group.metadata.name]]
    for (const members of bodies)
      expect((await send('groups', { body: { name: unusedName('dev'), members } })).status).toBe(422)
  })
})

describe('a user', () => {
  it('is disabled and enabled; who does not speak of it changes nothing', async () => {
    const name = unusedName('alice')
    await create('users', { name, enabled: false })
    expect(await get('users', name)).toMatchObject({ spec: { enabled: false }, status: { phase: 'Disabled' } })
    expectStatus(200, await apply({ users: [{ name, displayName: 'Alice' }] }))
    expect((await get('users', name)).spec).toEqual({ type: 'human', displayName: 'Alice', enabled: false })
    expectStatus(200, await put('users', { name, enabled: true }))
    expect(await get('users', name)).toMatchObject({ spec: { enabled: true }, status: { phase: 'Active' } })
  })

  it('never changes its type', async () => {
    const name = unusedName('ci')
    await create('users', { name, type: 'service' })
    const refused = await put('users', { name, type: 'human' })
    expect(refused.status).toBe(422)
    expect(problemOf(refused).errors).toMatchObject([{ pointer: '/spec/type', code: 'immutable' }])
    expectStatus(200, await put('users', { name }))
  })

  it('may be called as a mail address', async () => {
    const name = `${unusedName('a.b')}+x@example.com`
    const made = await send('users', { body: { name } })
    expect(made.headers.get('location')).toBe(`/api/v1/users/${name}`)
    expect((await get('users', encodeURIComponent(name))).metadata.name).toBe(name)
  })

  it('of a name that was freed is somebody else', async () => {
    const { former, present } = await replacedUser(() => Promise.resolve())
    expect(present).not.toBe(former)
  })
})
