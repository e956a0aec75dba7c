import 'reflect-metadata'
import { describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { parseDesired } from '@mcpctl/resource'
import { UserModule } from './user.module'

const problems = (entry: object): Record<string, string> => {
  try {
    parseDesired(UserModule.resource, { name: 'alice', ...entry })
    return {}
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    return Object.fromEntries((error.details.errors ?? []).map(({ pointer, message }) => [pointer, message]))
  }
}

describe('a user', () => {
  it.each<object>([
    {},
    { name: 'a' },
    { name: 'a.b@example.com' },
    { name: 'first_last+tag' },
    { type: 'human' },
    { type: 'service' },
    { displayName: 'Ali Ce 🐙' },
    { displayName: '' },
    { email: 'alice@example.com' },
    { email: '' },
    { enabled: false },
    { displayName: null, email: null, enabled: null, type: null },
  ])('may be %j', (entry) => {
    expect(problems(entry)).toEqual({})
  })

  it.each<[string, unknown]>([
    ['name', 'Alice'],
    ['name', '@alice'],
    ['name', 'alice@'],
    ['name', 'a b'],
    ['name', 'a/b'],
    ['name', 'a'.repeat(64)],
    ['type', 'robot'],
    ['type', 'Human'],
    ['displayName', 7],
    ['displayName', 'a\nb'],
    ['displayName', '\u001b[31mroot'],
    ['displayName', 'a'.repeat(257)],
    ['email', 'alice'],
    ['email', 'a b@example.com'],
    ['email', `${'a'.repeat(129)}@example.com`],
    ['enabled', 'yes'],
    ['enabled', 1],
    ['password', 'secret'],
    ['groups', ['dev']],
    ['role', 'admin'],
  ])('is refused with %s: %j', (field, value) => {
    expect(Object.keys(problems({ [field]: value }))).toEqual([`/${field}`])
  })

  it.each(['system:admin', 'system:authenticated'])('has no name that is ours: %s', (name) => {
    expect(problems({ name })['/name']).toContain('reserved')
  })

  it('is told which characters a name may have', () => {
    expect(problems({ name: 'a b' })['/name']).toContain('"@"')
  })

  it('never sees a password repeated', () => {
    expect(JSON.stringify(problems({ password: 'hunter2hunter2' }))).not.toContain('hunter2')
  })
})
