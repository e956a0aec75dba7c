import 'reflect-metadata'
import { describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { parseDesired } from '@mcpctl/resource'
import { RbacModule } from './rbac.module'

const parse = (entry: object) => parseDesired(RbacModule.resource, { name: 'dev-team', ...entry }).spec
const problems = (entry: object): [string, string][] => {
  try {
    parse(entry)
    return []
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    return (error.details.errors ?? []).map(({ pointer, message }) => [pointer, message])
  }
}

const uid = '018f0000-0000-7000-8000-00000000000a'

describe('a binding', () => {
  it.each<object>([
    {},
    {
      subjects: [
        { kind: 'User', name: 'alice' },
        { kind: 'Group', name: 'alice' },
      ],
    },
    {
      subjects: [
        { kind: 'User', name: 'a.b@example.com', uid },
        { kind: 'User', name: 'a.b@example.com' },
      ],
    },
    { subjects: [{ kind: 'Group', name: 'system:authenticated' }] },
    { bindings: [{ role: 'view', resource: '*' }] },
    { bindings: [{ role: 'run', resource: 'secrets', name: 'gh-token' }] },
    { bindings: [{ role: 'create', resource: 'servers', name: 'not-there-yet' }] },
    { bindings: [{ role: 'view', resource: 'users', name: 'a.b@example.com' }] },
    { bindings: [{ role: 'delete', resource: 'instances' }] },
    { operations: [{ action: '*' }] },
    { operations: [{ action: 'logs' }, { action: 'logs', resource: 'servers' }] },
    { operations: [{ action: 'impersonate', resource: 'users', name: 'alice' }] },
    { subjects: null, bindings: null, operations: null },
  ])('may be %j', (entry) => {
    expect(problems(entry)).toEqual([])
  })

  it.each<[string, object, string, string]>([
    ['subjects', { kind: 'Robot', name: 'r2' }, '/kind', 'supported values: "User", "Group"'],
    ['subjects', { kind: 'User' }, '/name', 'must be the name of a user or group'],
    ['subjects', { kind: 'User', name: 'system:authenticated' }, '/name', 'must be the name'],
    ['subjects', { kind: 'Group', name: 'system:masters' }, '/name', 'must be the name'],
    ['subjects', { kind: 'User', name: '*' }, '/name', 'must be the name'],
    ['subjects', { kind: 'User', name: 'alice', uid: 'x' }, '/uid', 'uid'],
    ['subjects', { kind: 'User', name: 'alice', role: 'admin' }, '/role', 'unknown field'],
    ['bindings', { role: 'admin', resource: 'servers' }, '/role', 'supported values'],
    ['bindings', { role: '*', resource: 'servers' }, '/role', 'supported values'],
    ['bindings', { role: 'view' }, '', 'needs a resource'],
    ['bindings', { role: 'view', resource: 'servrs' }, '', 'did you mean "servers"?'],
    ['bindings', { role: 'edit', resource: 'instances' }, '', '"edit" means nothing on instances'],
    ['bindings', { role: 'run', resource: 'users' }, '', '"run" means nothing on users'],
    ['bindings', { role: 'view', resource: '*', name: 'github' }, '', 'a name needs a resource of its own'],
    ['bindings', { role: 'view', resource: 'servers', name: 'git*' }, '/name', 'a name is exact'],
    ['bindings', { role: 'view', resource: 'servers', name: '*' }, '/name', 'leave it out'],
    ['bindings', { role: 'view', resource: 'servers', name: '' }, '/name', 'must be the name'],
    ['bindings', { role: 'view', resource: 'servers', action: 'logs' }, '/action', 'unknown field'],
    ['operations', { action: 'frobnicate' }, '', 'operations are logs, backup, restore, audit, reveal, impersonate'],
    ['operations', { action: 'log' }, '', 'did you mean "logs"?'],
    ['operations', {}, '', 'needs an action'],
    ['operations', { action: 'logs', resource: 'nodes' }, '', 'unknown resource "nodes"'],
    ['operations', { action: 'logs', name: 'github' }, '', 'a name needs a resource'],
    ['operations', { action: 'logs', resource: 'servers', name: 'git*' }, '/name', 'a name is exact'],
  ])('is refused with %s: %j', (field, entry, pointer, text) => {
    expect(problems({ [field]: [entry] })).toEqual([[`/${field}/0${pointer}`, expect.stringContaining(text)]])
  })

  it.each<[string, unknown, string]>([
    ['subjects', ['alice'], 'item 0 must be an object'],
    ['bindings', ['view:servers'], 'item 0 must be an object'],
    ['operations', 'logs', 'must be a list'],
    ['role', 'view', 'unknown field'],
    ['name', 'Dev', 'lower-case'],
    ['name', 'system:admins', 'reserved'],
  ])('is refused with %s: %j', (field, value, text) => {
    expect(problems({ [field]: value })).toEqual([[`/${field}`, expect.stringContaining(text)]])
  })

  it.each(['Server', 'SERVERS', 'srv', 'servers'])('knows the resource by any word for it: %s', (resource) => {
    expect(parse({ bindings: [{ role: 'view', resource }], operations: [{ action: 'logs', resource }] })).toMatchObject(
      {
        bindings: [{ role: 'view', resource: 'servers' }],
        operations: [{ action: 'logs', resource: 'servers' }],
      },
    )
  })
  it('knows a resource that is no kind yet', () => {
    expect(parse({ bindings: [{ role: 'view', resource: 'secret' }] })).toMatchObject({
      bindings: [{ resource: 'secrets' }],
    })
  })
  it.each([
    ['subjects', 'User:alice', { kind: 'User', name: 'alice' }, { kind: 'User', name: 'alice' }],
    ['bindings', 'view:servers', { role: 'view', resource: 'servers' }, { role: 'view', resource: 'srv' }],
    ['operations', 'logs', { action: 'logs' }, { action: 'logs' }],
  ])('names nothing twice in %s', (field, word, ...entries) => {
    expect(problems({ [field]: entries })).toEqual([[`/${field}`, `item 1 is there twice: "${word}"`]])
  })
})
