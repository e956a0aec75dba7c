import { describe, expect, it } from '@jest/globals'
import type { Role } from '@mcpctl/contracts'
import fc from 'fast-check'
import { actions, entryText, parseOperation, parseRole, roles, rolesOfKind, type Entry } from './entry'
import { matches, Rights, type Ask } from './rights'

const entry = (text: string): Entry => (text.startsWith('op ') ? parseOperation(text.slice(3)) : parseRole(text))
const rights = (...texts: string[]) => new Rights(texts.map(entry))
const on = (role: Role, kind: string, name?: string, owner?: string): Ask => ({
  role,
  kind,
  ...(name !== undefined && { name }),
  ...(owner !== undefined && { owner }),
})

const kinds = Object.keys(rolesOfKind)
const names = fc.constantFrom('a', 'b', 'c')
const anEntry: fc.Arbitrary<Entry> = fc.oneof(
  fc
    .record({ role: fc.constantFrom(...roles), resource: fc.constantFrom(...kinds), name: fc.option(names) })
    .map(({ role, resource, name }) => ({ role, resource, ...(name !== null && { name }) })),
  fc.constantFrom(...roles).map((role) => ({ role, resource: '*' })),
  fc
    .record({
      action: fc.constantFrom(...actions, '*'),
      place: fc.option(fc.record({ resource: fc.constantFrom(...kinds), name: fc.option(names) })),
    })
    .map(({ action, place }) => ({
      action,
      ...(place && { resource: place.resource, ...(place.name !== null && { name: place.name }) }),
    })),
)
const entries = fc.array(anEntry, { maxLength: 8 })
const anAsk: fc.Arbitrary<Ask> = fc
  .record({
    role: fc.constantFrom(...roles),
    action: fc.constantFrom(...actions),
    kind: fc.constantFrom(...kinds),
    name: fc.option(names),
    owner: fc.option(names),
    operation: fc.boolean(),
  })
  .map(({ role, action, kind, name, owner, operation }) => ({
    ...(operation ? { action } : { role }),
    kind,
    ...(name !== null && { name }),
    // Only an instance that is named has an owner.
    ...(name !== null && owner !== null && kind === 'instances' && { owner }),
  }))

describe('rights', () => {
  it('without an entry allow nothing', () => {
    fc.assert(fc.property(anAsk, (ask) => !new Rights([]).allows(ask)))
  })

  it.each<[string, Ask, boolean]>([
    ['edit:servers', on('view', 'servers', 'github'), true],
    ['edit:servers', on('delete', 'servers', 'github'), false],
    ['edit:servers', on('create', 'servers', 'github'), false],
    ['edit:servers:github', on('view', 'servers', 'github'), true],
    ['edit:servers:github', on('view', 'servers', 'slack'), false],
    ['edit:servers:github', on('view', 'servers'), false],
    ['view:*', on('view', 'rbac'), true],
    ['view:*', on('run', 'servers', 'github'), false],
    ['run:projects:web', on('view', 'projects', 'web'), false],
    ['view:servers', on('view', 'instances', 'github-1', 'github'), true],
    ['view:servers:github', on('view', 'instances', 'github-1', 'github'), true],
    ['view:servers:github', on('view', 'instances', 'slack-1', 'slack'), false],
    ['view:instances:github', on('view', 'instances', 'github-1', 'github'), true],
    ['edit:servers:github', on('delete', 'instances', 'github-1', 'github'), true],
    ['delete:servers:github', on('delete', 'instances', 'github-1', 'github'), false],
    ['delete:instances', on('view', 'instances', 'github-1', 'github'), false],
    ['delete:servers:github', on('delete', 'servers'), false],
    ['op logs', { action: 'logs', kind: 'servers', name: 'slack' }, true],
    ['op logs:servers/github', { action: 'logs', kind: 'servers', name: 'github' }, true],
    ['op logs:servers/github', { action: 'logs', kind: 'instances', name: 'github-1', owner: 'github' }, true],
    ['op logs:servers/github', { action: 'logs', kind: 'instances', name: 'slack-1', owner: 'slack' }, false],
    ['op logs:instances/github', { action: 'logs', kind: 'instances', name: 'github-1', owner: 'github' }, true],
    ['op logs:instances/github', { action: 'logs', kind: 'instances', name: 'slack-1', owner: 'slack' }, false],
    ['op logs:instances/github', { action: 'logs', kind: 'servers', name: 'github' }, false],
    ['op logs:servers/github', { action: 'logs' }, false],
    ['op *', { action: 'grant' }, true],
    ['view:*', { action: 'logs' }, false],
  ])('with %s: %j is %j', (text, ask, expected) => {
    expect(rights(text).allows(ask)).toBe(expected)
    expect(matches(entry(text), ask)).toBe(expected)
  })

  it('answer as the entries one by one', () => {
    fc.assert(
      fc.property(entries, anAsk, (held, ask) => {
        expect(new Rights(held).allows(ask)).toBe(held.some((each) => matches(each, ask)))
      }),
      { numRuns: 3_000 },
    )
  })

  it('grow with every entry', () => {
    fc.assert(
      fc.property(entries, anEntry, anAsk, (held, more, ask) => {
        if (new Rights(held).allows(ask)) expect(new Rights([...held, more]).allows(ask)).toBe(true)
      }),
    )
  })

  it('list what they allow, one by one', () => {
    const objects = ['a', 'b', 'c'].flatMap((name) => ['a', 'b', 'c'].map((owner) => ({ name, owner })))
    fc.assert(
      fc.property(entries, fc.constantFrom(...kinds), fc.constantFrom(...roles), (held, kind, role) => {
        const scope = new Rights(held).scope(role, kind)
        for (const { name, owner } of objects) {
          const ask = kind === 'instances' ? on(role, kind, name, owner) : on(role, kind, name)
          const listed = scope.all || scope.names.has(name) || (kind === 'instances' && scope.owners.has(owner))
          expect(listed).toBe(new Rights(held).allows(ask))
        }
      }),
    )
  })

  it('cover an entry only when they allow all that it does', () => {
    fc.assert(
      fc.property(entries, anEntry, anAsk, (held, given, ask) => {
        const author = new Rights(held)
        if (author.covers(given) && matches(given, ask)) expect(author.allows(ask)).toBe(true)
      }),
      { numRuns: 3_000 },
    )
  })

  it('cover what they hold', () => {
    fc.assert(fc.property(entries, anEntry, (held, own) => new Rights([...held, own]).covers(own)))
  })

  it.each([
    ['view:servers', 'view:*'],
    ['view:servers:github', 'view:servers'],
    ['edit:servers', 'delete:servers'],
    ['op logs:servers/github', 'op logs'],
    ['op logs', 'op *'],
    ['run:servers', 'edit:servers'],
  ])('of %s do not cover %s', (held, given) => {
    expect(rights(held).covers(entry(given))).toBe(false)
  })

  it('are full only with every role on everything and every action', () => {
    const all = ['view:*', 'create:*', 'edit:*', 'delete:*', 'run:*', 'op *']
    expect(rights(...all).isFullAdmin()).toBe(true)
    // Who may edit may view.
    for (const missing of all.slice(1))
      expect(rights(...all.filter((text) => text !== missing)).isFullAdmin()).toBe(false)
  })
})

describe('the scope of a token', () => {
  it('only takes away', () => {
    fc.assert(
      fc.property(entries, entries, anAsk, (held, scope, ask) => {
        const narrowed = new Rights(held).within(new Rights(scope))
        expect(narrowed.allows(ask)).toBe(new Rights(held).allows(ask) && new Rights(scope).allows(ask))
      }),
    )
  })

  it('narrows what is covered', () => {
    const root = rights('view:*', 'create:*', 'edit:*', 'delete:*', 'run:*', 'op *').within(rights('view:servers'))
    expect(root.covers(entry('edit:servers'))).toBe(false)
    expect(root.isFullAdmin()).toBe(false)
  })
})

describe('an entry', () => {
  it('reads as it is written', () => {
    fc.assert(fc.property(anEntry, (given) => entryText(given).length > 0))
    for (const text of [
      'edit:servers:github',
      'view:*',
      'op logs',
      'op logs:servers',
      'op impersonate:users/alice',
      'op *',
    ])
      expect(entryText(entry(text))).toBe(text)
  })

  it.each([
    ['edit:instances', /means nothing on instances; roles there are view, delete/],
    ['run:users', /means nothing on users/],
    ['edit:server', /unknown resource "server"; did you mean "servers"\?/],
    ['edt:servers', /unknown role "edt"; did you mean "edit"\?/],
    ['edit:servers:*', /a name is exact/],
    ['edit:*:github', /a name needs a resource of its own/],
    ['edit:servers:', /the name is empty/],
    ['edit', /unknown resource ""/],
    [
      'op frobnicate',
      /operations are logs, backup, restore, audit, reveal, impersonate, grant, tokens, rotate-keys, rebuild/,
    ],
    ['op logs:server/github', /unknown resource "server"/],
  ])('%s is refused with the reason', (text, message) => {
    expect(() => entry(text)).toThrow(message)
  })
})
