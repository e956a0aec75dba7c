import 'reflect-metadata'
import { describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { parseDesired } from '@mcpctl/resource'
import { GroupModule } from './group.module'

const problems = (entry: object): [string, string][] => {
  try {
    parseDesired(GroupModule.resource, { name: 'dev', ...entry })
    return []
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    return (error.details.errors ?? []).map(({ pointer, message }) => [pointer, message])
  }
}

const uid = '018f0000-0000-7000-8000-00000000000a'
const many = (count: number) => Array.from({ length: count }, (_, nr) => `user-${String(nr)}`)

describe('a group', () => {
  it.each<object>([
    {},
    { description: '' },
    { description: 'developers\nof the web team' },
    { members: [] },
    { members: ['alice', 'bob@example.com'] },
    { members: [{ name: 'alice' }] },
    { members: [{ kind: 'User', name: 'alice' }] },
    { members: [{ name: 'alice', uid }, 'alice'] },
    { members: many(5000) },
    { description: null, members: null },
  ])('may be %j', (entry) => {
    expect(problems(entry)).toEqual([])
  })

  it.each<[string, unknown, string]>([
    ['name', 'Dev', 'lower-case'],
    ['name', 'dev@web', 'lower-case'],
    ['name', 'system:masters', 'reserved'],
    ['description', 7, 'text'],
    ['description', 'a\0', 'text'],
    ['description', 'a'.repeat(4097), '4096'],
    ['members', 'alice', 'list of user names'],
    ['members', ['Alice'], 'item 0 must be the name of a user'],
    ['members', ['alice', null], 'item 1'],
    ['members', [['alice']], 'item 0'],
    ['members', ['system:authenticated'], 'item 0'],
    ['members', [{ kind: 'Group', name: 'ops' }], 'groups are flat'],
    ['members', [{ kind: 'Robot', name: 'r2' }], 'name of a user'],
    ['members', [{ uid }], 'name of a user'],
    ['members', [{ name: 'alice', uid: 'x' }], 'uid as the server prints it'],
    ['members', [{ name: 'alice', role: 'admin' }], 'unknown field "role"'],
    ['members', ['alice', 'alice'], 'item 1 is there twice: "alice"'],
    ['members', ['alice', { name: 'alice' }], 'item 1 is there twice: "alice"'],
    ['members', many(5001), 'at most 5000'],
    ['groups', ['ops'], 'unknown field'],
  ])('is refused with %s: %j', (field, value, text) => {
    expect(problems({ [field]: value })).toEqual([[`/${field}`, expect.stringContaining(text)]])
  })
})
