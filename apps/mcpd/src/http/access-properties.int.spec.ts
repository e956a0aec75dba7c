import 'reflect-metadata'
import { RequestMethod, type Type } from '@nestjs/common'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { roles, rolesOfKind, type Ask } from '@mcpctl/access'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import { needOf, type Need, type OperationNeed, type RoleNeed } from '@mcpctl/resource'
import { expectStatus, listOf, objectOf, startDaemon, type TestDaemon } from '../../../../test/support/daemon'
import { controllersOf } from './declared'

const ROUNDS = 16
const names = ['one', 'two', 'three', 'four', 'five', 'six']
const kinds = Object.keys(rolesOfKind).filter((kind) => kind !== 'secrets')

let daemon: TestDaemon
let token: string
let uid: string
/** Of each user but eve. */
const tokenIds = new Map<string, string>()

beforeAll(async () => {
  daemon = await startDaemon({ leads: true })
  await eventually(() => daemon.parts.daemon.leads())
  const servers = names.map((name) => ({ name, package: 'npm:mcp-server@1.0.0', replicas: 0 }))
  const projects = names.map((name) => ({ name, servers: [name] }))
  const groups = names.map((name) => ({ name, members: [] }))
  expectStatus(
    200,
    await daemon.send('/api/v1/apply', {
      body: { users: ['eve', ...names].map((name) => ({ name })), servers, projects, groups },
    }),
  )
  token = (await issue('eve')).token
  for (const name of names) tokenIds.set(name, (await issue(name)).id)
  uid = objectOf(await daemon.send('/api/v1/users/eve')).metadata.uid
}, 60_000)
afterAll(() => daemon.close())

const issue = async (user: string) => {
  const issued = expectStatus(201, await daemon.send('/api/v1/tokens', { body: { user } }))
  return JSON.parse(issued.text) as { id: string; token: string }
}

/** The same numbers each time: a failure can be looked at. */
const randoms = (seed: number) => () => {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
  return seed / 2_147_483_648
}

const random = randoms(42)
const some = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T

const randomBinding = () => {
  const resource = random() < 0.15 ? '*' : some(kinds)
  const offered = resource === '*' ? roles : rolesOfKind[resource as keyof typeof rolesOfKind]
  return { role: some<string>(offered), resource, ...(resource !== '*' && random() < 0.6 && { name: some(names) }) }
}

const randomOperation = () => ({
  action: some(['logs', 'audit', 'rebuild', 'tokens', '*']),
  ...(random() < 0.5 && { resource: some(['servers', 'users']), ...(random() < 0.7 && { name: some(names) }) }),
})

const distinct = <T>(list: T[]): T[] => [...new Map(list.map((each) => [JSON.stringify(each), each])).values()]

const nothing = { name: 'eve', subjects: [{ kind: 'User', name: 'eve' }], bindings: [], operations: [] }

/** Gives eve other rights. */
const deal = async (): Promise<void> => {
  const bindings = distinct(Array.from({ length: 1 + Math.floor(random() * 10) }, randomBinding))
  const operations = distinct(Array.from({ length: Math.floor(random() * 4) }, randomOperation))
  const rbac = [{ ...nothing, bindings, operations }]
  expectStatus(200, await daemon.send('/api/v1/apply', { body: { rbac } }))
}

const asEve = (path: string, method = 'GET', body?: unknown) =>
  daemon.send(path, { method, ...(body !== undefined && { body }), headers: { authorization: `Bearer ${token}` } })

interface Route<Needed extends Need = Need> {
  label: string
  method: string
  path: string
  need: Needed
}

type Guarded = Route<RoleNeed | OperationNeed>

const text = (value: unknown): string => (typeof value === 'string' ? value.replace(/^\/$/, '') : '')

const routesOf = (controller: Type): Route[] =>
  Object.getOwnPropertyNames(controller.prototype).flatMap((name) => {
    const method = (controller.prototype as Record<string, object>)[name]
    const need = typeof method === 'function' ? needOf(controller, method) : undefined
    if (!method || !Reflect.hasMetadata('method', method) || need === undefined) return []
    const path = [Reflect.getMetadata('path', controller), Reflect.getMetadata('path', method)]
    const verb = RequestMethod[Reflect.getMetadata('method', method) as RequestMethod]
    return [
      { label: `${controller.name}.${name}`, method: verb, path: `/${path.map(text).filter(Boolean).join('/')}`, need },
    ]
  })

const routes = (): Route[] => controllersOf(daemon.parts.app).flatMap(routesOf)
const isGuarded = (route: Route): route is Guarded => typeof route.need !== 'string'
const verbOf = ({ method }: Route) => method.replace('ALL', 'GET')

/** What the web framework serves, whoever has registered it: `GET /api/v1/servers/:name/logs`. It prints its routes as a tree. */
const served = (): string[] => {
  const above: string[] = []
  const tree = daemon.parts.app.getHttpAdapter().getInstance().printRoutes({ commonPrefix: false })
  return tree.split('\n').flatMap((line) => {
    const [, indent = '', path = '', methods = ''] = /^([│├└─ ]+)(\S+) \((.+)\)$/.exec(line) ?? []
    if (methods === '') return []
    const depth = indent.length / 4
    above.splice(depth - 1, Infinity, path)
    return methods.split(', ').map((method) => `${method} ${above.join('')}`)
  })
}

const askFor = ({ need, path }: Guarded, plural: string, name: string): Ask => {
  const kind = need.kind ?? (path.includes(':plural') ? plural : undefined)
  const named = path.includes(':name') || ('role' in need && need.role === 'create') ? { name } : {}
  if ('operation' in need) return { action: need.operation, ...(kind !== undefined && { kind, ...named }) }
  return { role: typeof need.role === 'function' ? 'edit' : need.role, kind: kind ?? '', ...named }
}

const filled = (path: string, plural: string, name: string) =>
  path
    .replace(/(\(\^.+\))?::/, '\0')
    .replace(':plural', plural)
    .replace(':name', name)
    .replace(/:\w+/g, '1')
    .replace('\0', ':')

/** What a controller that decides itself is sent, and what its answer must follow from. */
interface Decided {
  path: string
  body?: object
  any?: Ask[]
  all?: Ask[]
  /** How it refuses; by 403 where nothing is said. */
  refusals?: number[]
}

const viewUser = (name: string): Ask => ({ role: 'view', kind: 'users', name })
const tokensOf = (name: string): Ask => ({ action: 'tokens', kind: 'users', name })
const viewUsers: Ask = { role: 'view', kind: 'users' }
const viewBindings: Ask = { role: 'view', kind: 'rbac' }

/** By route, about some name. Nothing that is allowed changes anything. */
const inside: Record<string, (name: string) => Decided> = {
  'PasswordController.password': (name) => ({
    path: `/api/v1/users/${name}/password`,
    body: { current: 'no one chooses the password of another' },
    all: [{ role: 'edit', kind: 'users', name }],
  }),
  'TokensController.list': (name) => ({
    path: `/api/v1/tokens?user=${name}`,
    any: [viewUser(name), tokensOf(name)],
  }),
  'TokensController.issue': (name) => ({
    path: '/api/v1/tokens?dryRun=All',
    body: { user: name },
    all: [tokensOf(name)],
  }),
  'TokensController.revoke': (name) => ({
    path: `/api/v1/tokens/${tokenIds.get(name) ?? ''}?dryRun=All`,
    all: [tokensOf(name)],
    // Who may not even see the user is not told that the token is one.
    refusals: [403, 404],
  }),
  'AuthzController.canI': (name) => ({
    path: '/api/v1/authz/can-i',
    body: { user: name, role: 'view', kind: 'servers' },
    all: [viewUser(name), viewBindings],
  }),
  'AuthzController.whoCan': () => ({
    path: '/api/v1/authz/who-can',
    body: { role: 'view', kind: 'servers' },
    all: [viewUsers, viewBindings],
  }),
  'AuthzController.effective': (name) => ({
    path: `/api/v1/authz/effective?user=${name}`,
    all: [viewUser(name), viewBindings],
  }),
  'AuthzController.denials': (name) => ({
    path: `/api/v1/authz/denials?user=${name}`,
    all: [{ action: 'audit' }, viewUser(name)],
  }),
  'ApplyController.apply': (name) => {
    const isNew = random() < 0.5
    return {
      path: '/api/v1/apply?dryRun=All',
      body: { servers: [{ name: isNew ? `new-${name}` : name, package: 'npm:mcp-server@1.0.1', replicas: 0 }] },
      all: [isNew ? { role: 'create', kind: 'servers', name: `new-${name}` } : { role: 'edit', kind: 'servers', name }],
    }
  },
  // Whoever holds everything would end the daemon: no deal gives that.
  'StatusController.shutdown': () => ({
    path: '/api/v1/shutdown',
    body: {},
    all: roles.map((role): Ask => ({ role, kind: '*' })),
  }),
}

const mayEve = async (ask: Ask): Promise<boolean> => {
  const { role, action } = ask as { role?: string; action?: string }
  const { kind, name } = ask
  const body = { ...(role !== undefined ? { role } : { action }), ...(kind && { kind }), ...(name && { name }) }
  const answer = expectStatus(200, await asEve('/api/v1/authz/can-i', 'POST', body))
  return (JSON.parse(answer.text) as { allowed: boolean }).allowed
}

/** Whether can-i says what lets eve through. */
const follows = async ({ any = [], all = [] }: Decided): Promise<boolean> => {
  const some = await Promise.all(any.map(mayEve))
  const every = await Promise.all(all.map(mayEve))
  return every.every(Boolean) && (any.length === 0 || some.some(Boolean))
}

const isMeaningless = (ask: Ask): boolean =>
  'role' in ask && !(rolesOfKind as Record<string, readonly string[]>)[ask.kind]?.includes(ask.role)

describe('every route', () => {
  it('is one of a controller that says what it needs', () => {
    // The framework prints a colon that was written twice once, or twice, as it likes.
    const once = (route: string) => route.replace('::', ':')
    const declared = new Set(routes().map(({ method, path }) => once(`${method} ${path}`)))
    const paths = served()
      .map(once)
      .filter((route) => !route.startsWith('HEAD '))
    expect(paths.length).toBeGreaterThan(40)
    const isDeclared = (route: string) => declared.has(route) || declared.has(route.replace(/^\w+/, 'ALL'))
    expect(paths.filter((route) => !isDeclared(route))).toEqual([])
  })

  it('refuses who shows no token, but for those that are open to all', async () => {
    for (const route of routes()) {
      const path = filled(route.path, 'servers', 'one')
      const method = verbOf(route)
      const sent = { method, headers: { authorization: '' }, ...(method === 'POST' && { body: {} }) }
      const { status } = await daemon.send(path, sent)
      expect([route.label, status === 401]).toEqual([route.label, route.need !== 'open'])
    }
  })

  it('that needs a token and nothing else is open to somebody without rights', async () => {
    expectStatus(200, await daemon.send('/api/v1/apply', { body: { rbac: [nothing] } }))
    const asking = routes().filter(({ need }) => need === 'authenticated')
    expect(asking.length).toBeGreaterThan(5)
    for (const route of asking) {
      const path = filled(route.path, 'servers', 'one')
      const { status } = await asEve(verbOf(route) === 'GET' ? path : `${path}?dryRun=All`, verbOf(route))
      expect([route.label, [401, 403].includes(status)]).toEqual([route.label, false])
    }
  })
})

describe('whatever rights somebody has', () => {
  it('each route that says what it needs answers as can-i does', async () => {
    const guarded = routes().filter(isGuarded)
    expect(guarded.length).toBeGreaterThan(15)
    const outcomes = { allowed: 0, refused: 0 }
    for (let round = 0; round < ROUNDS; round++) {
      await deal()
      const rights = await daemon.parts.store.directory.rightsOf(uid)
      for (const route of guarded) {
        const name = some(names)
        const plural = some(kinds)
        const ask = askFor(route, plural, name)
        if (isMeaningless(ask)) continue
        const isSome = 'some' in route.need && 'role' in ask
        const expected = isSome ? rights.reaches(ask.role, ask.kind) : await mayEve(ask)
        const method = verbOf(route)
        const path = filled(route.path, plural, name)
        const body = method === 'POST' && 'role' in route.need ? { name } : undefined
        const { status } = await asEve(`${path}${method === 'GET' ? '' : '?dryRun=All'}`, method, body)
        outcomes[expected ? 'allowed' : 'refused']++
        expect([round, route.label, ask, status !== 403]).toEqual([round, route.label, ask, expected])
      }
    }
    expect(Math.min(outcomes.allowed, outcomes.refused)).toBeGreaterThan(20)
  }, 120_000)

  it('each route whose controller decides answers as can-i does', async () => {
    const deciding = routes().filter(({ need }) => need === 'inside')
    expect(deciding.map(({ label }) => label).sort()).toEqual(Object.keys(inside).sort())
    const outcomes = { allowed: 0, refused: 0 }
    for (let round = 0; round < ROUNDS; round++) {
      await deal()
      for (const { label, method } of deciding) {
        const name = some(names)
        const decided = inside[label]?.(name) ?? { path: '' }
        const { path, body, refusals = [403] } = decided
        const expected = await follows(decided)
        const { status } = await asEve(path, method, body)
        outcomes[expected ? 'allowed' : 'refused']++
        expect([round, label, name, !refusals.includes(status)]).toEqual([round, label, name, expected])
      }
    }
    expect(Math.min(outcomes.allowed, outcomes.refused)).toBeGreaterThan(20)
  }, 120_000)

  it('a list holds what may be viewed, and nothing else', async () => {
    for (let round = 0; round < ROUNDS * 2; round++) {
      await deal()
      const rights = await daemon.parts.store.directory.rightsOf(uid)
      for (const plural of ['servers', 'projects', 'groups', 'users', 'rbac']) {
        const answer = await asEve(`/api/v1/${plural}`)
        if (!rights.reaches('view', plural)) {
          expectStatus(403, answer)
          continue
        }
        const all = listOf(await daemon.send(`/api/v1/${plural}`)).items.map(({ metadata }) => metadata.name)
        const seen = listOf(expectStatus(200, answer)).items.map(({ metadata }) => metadata.name)
        expect(seen).toEqual(all.filter((name) => rights.allows({ role: 'view', kind: plural, name })))
      }
    }
  }, 120_000)
})
