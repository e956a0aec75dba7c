import 'reflect-metadata'
import { describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { parseDesired } from '@mcpctl/resource'
import { ProjectModule } from './project.module'

const pointers = (entry: object): string[] => {
  try {
    parseDesired(ProjectModule.resource, { name: 'web', ...entry })
    return []
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    return (error.details.errors ?? []).map(({ pointer }) => pointer)
  }
}

const alice = { kind: 'User', name: 'alice' }

describe('a project', () => {
  it.each<object>([
    {},
    { name: 'web.tools' },
    { description: '' },
    { description: 'any text 🐙' },
    { servers: ['github', 'files'] },
    { members: [alice, { kind: 'Group', name: 'alice' }, { kind: 'User', name: 'a.b@example.com' }] },
    { description: null, servers: null, members: null },
  ])('may be %j', (entry) => {
    expect(pointers(entry)).toEqual([])
  })

  it.each<[string, unknown, string?]>([
    ['name', 'Web'],
    ['name', '-web'],
    ['name', 'web.'],
    ['description', 7],
    ['description', ['a']],
    ['description', 'a\0'],
    ['description', 'a'.repeat(4097)],
    ['servers', 'github'],
    ['servers', { github: true }],
    ['servers', ['GitHub']],
    ['servers', ['a.b']],
    ['servers', [null]],
    ['servers', [['github']]],
    ['servers', ['github', 'github']],
    ['servers', Array.from({ length: 1001 }, (_, i) => `s${String(i)}`)],
    ['members', 'alice'],
    ['members', ['alice']],
    ['members', alice],
    ['members', [null]],
    ['members', [[alice]]],
    ['members', [alice, alice]],
    ['members', [{ name: 'alice' }], '/members/0/kind'],
    ['members', [{ ...alice, kind: 'Robot' }], '/members/0/kind'],
    ['members', [{ kind: 'User' }], '/members/0/name'],
    ['members', [{ ...alice, name: 'Alice' }], '/members/0/name'],
    ['members', [{ ...alice, role: 'admin' }], '/members/0/role'],
    ['server', ['github']],
    ['replicas', 1],
  ])('is refused with %s: %j', (field, value, pointer = `/${field}`) => {
    expect(pointers({ [field]: value })).toEqual([pointer])
  })
})
