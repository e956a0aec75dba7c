import 'reflect-metadata'
import { RequestMethod, type Type } from '@nestjs/common'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { roles, rolesOfKind, type Ask } from '@mcpctl/access'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import { needOf, type OperationNeed, type RoleNeed } from '@mcpctl/resource'
import { expectStatus, listOf, objectOf, startDaemon, type TestDaemon } from '../../../../test/support/daemon'
import { controllersOf } from './declared'

const ROUNDS = 16
const names = ['one', 'two', 'three', 'four', 'five', 'six']
const kinds = Object.keys(rolesOfKind).filter((kind) => kind !== 'secrets')

let daemon: TestDaemon
let token: string
let uid: string

beforeAll(async () => {
  daemon = await startDaemon({ leads: true })
  await eventually(() => daemon.parts.daemon.leads())
  const servers = names.map((name) => ({ name, package: 'npm:mcp-server@1.0.0', replicas: 0 }))
  const projects = names.map((name) => ({ name, servers: [name] }))
  const groups = names.map((name) => ({ name, members: [] }))
  expectStatus(
    200,
    await daemon.send('/api/v1/apply', { body: { users: [{ name: 'eve' }], servers, projects, groups } }),
  )
  const issued = expectStatus(201, await daemon.send('/api/v1/tokens', { body: { user: 'eve' } }))
  token = (JSON.parse(issued.text) as { token: string }).token
  uid = objectOf(await daemon.send('/api/v1/users/eve')).metadata.uid
}, 60_000)
afterAll(() => daemon.close())

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
  action: some(['logs', 'audit', 'rebuild', '*']),
  ...(random() < 0.5 && { resource: 'servers', ...(random() < 0.7 && { name: some(names) }) }),
})

const distinct = <T>(list: T[]): T[] => [...new Map(list.map((each) => [JSON.stringify(each), each])).values()]

/** Gives eve other rights. */
const deal = async (): Promise<void> => {
  const bindings = distinct(Array.from({ length: 1 + Math.floor(random() * 10) }, randomBinding))
  const operations = distinct(Array.from({ length: Math.floor(random() * 3) }, randomOperation))
  const rbac = [{ name: 'eve', subjects: [{ kind: 'User', name: 'eve' }], bindings, operations }]
  expectStatus(200, await daemon.send('/api/v1/apply', { body: { rbac } }))
}

const asEve = (path: string, method = 'GET', body?: unknown) =>
  daemon.send(path, { method, ...(body !== undefined && { body }), headers: { authorization: `Bearer ${token}` } })

interface Route {
  label: string
  method: string
  path: string
  need: RoleNeed | OperationNeed
}

const text = (value: unknown): string => (typeof value === 'string' ? value.replace(/^\/$/, '') : '')

const routesOf = (controller: Type): Route[] =>
  Object.getOwnPropertyNames(controller.prototype).flatMap((name) => {
    const method = (controller.prototype as Record<string, object>)[name]
    const need = typeof method === 'function' ? needOf(controller, method) : undefined
    if (!method || !Reflect.hasMetadata('method', method) || need === undefined || typeof need === 'string') return []
    const path = [Reflect.getMetadata('path', controller), Reflect.getMetadata('path', method)]
    const verb = RequestMethod[Reflect.getMetadata('method', method) as RequestMethod].replace('ALL', 'GET')
    const joined = `/${path.map(text).filter(Boolean).join('/')}`
    return [{ label: `${controller.name}.${name}`, method: verb, path: joined, need }]
  })

const askFor = ({ need, path }: Route, plural: string, name: string): Ask => {
  const kind = need.kind ?? (path.includes(':plural') ? plural : undefined)
  const named = path.includes(':name') || ('role' in need && need.role === 'create') ? { name } : {}
  if ('operation' in need) return { action: need.operation, ...(kind !== undefined && { kind, ...named }) }
  return { role: typeof need.role === 'function' ? 'edit' : need.role, kind: kind ?? '', ...named }
}

const mayEve = async (ask: Ask): Promise<boolean> => {
  const { role, action } = ask as { role?: string; action?: string }
  const { kind, name } = ask
  const body = { ...(role !== undefined ? { role } : { action }), ...(kind && { kind }), ...(name && { name }) }
  const answer = expectStatus(200, await asEve('/api/v1/authz/can-i', 'POST', body))
  return (JSON.parse(answer.text) as { allowed: boolean }).allowed
}

const isMeaningless = (ask: Ask): boolean =>
  'role' in ask && !(rolesOfKind as Record<string, readonly string[]>)[ask.kind]?.includes(ask.role)

describe('whatever rights somebody has', () => {
  it('each route that says what it needs answers as can-i does', async () => {
    const routes = controllersOf(daemon.parts.app).flatMap(routesOf)
    expect(routes.length).toBeGreaterThan(15)
    const outcomes = { allowed: 0, refused: 0 }
    for (let round = 0; round < ROUNDS; round++) {
      await deal()
      const rights = await daemon.parts.store.directory.rightsOf(uid)
      for (const route of routes) {
        const name = some(names)
        const plural = some(kinds)
        const ask = askFor(route, plural, name)
        if (isMeaningless(ask)) continue
        const isSome = 'some' in route.need && 'role' in ask
        const expected = isSome ? rights.reaches(ask.role, ask.kind) : await mayEve(ask)
        const path = route.path.replace(':plural', plural).replace(':name', name).replace(/:\w+/g, '1')
        const body = route.method === 'POST' && 'role' in route.need ? { name } : undefined
        const { status } = await asEve(`${path}${route.method === 'GET' ? '' : '?dryRun=All'}`, route.method, body)
        outcomes[expected ? 'allowed' : 'refused']++
        expect([round, route.label, ask, status !== 403]).toEqual([round, route.label, ask, expected])
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
