import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { parseOperation, parseRole, type Entry } from './entry'
import type { AccessEvent, PlacedEvent } from './events'
import { accessChanges, explain, whoCan } from './explain'
import { AccessFacts, everybody } from './facts'
import { review } from './review'

const now = '2026-06-01T00:00:00.000Z'
const later = '2026-06-01T00:15:00.000Z'
const head = (name: string) => ({ name, labels: {}, annotations: {} })
const entry = (text: string): Entry => (text.startsWith('op ') ? parseOperation(text.slice(3)) : parseRole(text))
const everything = ['view:*', 'create:*', 'edit:*', 'delete:*', 'run:*', 'op *']

let position = 0n
const placed = (uid: string, event: AccessEvent, by = 'root'): PlacedEvent => ({
  ...event,
  uid,
  position: ++position,
  at: now,
  by,
})

const user = (name: string, type: 'human' | 'service' = 'human') =>
  placed(name, { type: 'UserCreated', data: { ...head(name), type } })
const password = (name: string) => placed(name, { type: 'PasswordSet', data: {} })
const group = (name: string, ...members: string[]) =>
  placed(`g-${name}`, {
    type: 'GroupCreated',
    data: { ...head(name), members: members.map((member) => ({ uid: member, name: member })) },
  })
const subject = (text: string) =>
  text.startsWith('g:')
    ? ({ kind: 'Group', name: text.slice(2), uid: `g-${text.slice(2)}` } as const)
    : ({ kind: 'User', name: text, uid: text } as const)
const rbac = (name: string, subjects: string[], entries: string[]) => {
  const parsed = entries.map(entry)
  return placed(`r-${name}`, {
    type: 'RbacCreated',
    data: {
      ...head(name),
      subjects: subjects.map(subject),
      bindings: parsed.filter((each) => 'role' in each),
      operations: parsed.filter((each) => 'action' in each),
    },
  })
}
const added = (name: string, member: string) =>
  placed(`g-${name}`, { type: 'GroupMemberAdded', data: { uid: member, name: member } })
const bound = (name: string, text: string) => placed(`r-${name}`, { type: 'RbacSubjectAdded', data: subject(text) })
const granted = (name: string, text: string) => placed(`r-${name}`, { type: 'RbacEntryGranted', data: entry(text) })

const after = (...events: PlacedEvent[]) => new AccessFacts().after(events)

const world = () =>
  after(
    ...['root', 'alice', 'erin', 'rita', 'bob'].map((name) => user(name)),
    password('root'),
    group('admins', 'root'),
    group('dev', 'alice', 'erin'),
    group('empty'),
    rbac('admins', ['g:admins'], everything),
    rbac('dev-team', ['g:dev'], ['view:servers', 'edit:servers:github']),
    rbac('alice-x', ['alice'], ['create:servers']),
    rbac('rbac-mgr', ['rita'], ['view:rbac', 'create:rbac', 'edit:rbac', 'edit:groups', 'view:servers', 'edit:users']),
  )

const sees = (facts: AccessFacts, name: string) => facts.rightsOfUser(name).allows({ role: 'view', kind: 'servers' })

describe('what users hold', () => {
  it('is theirs, that of their groups and that of everybody', () => {
    const facts = world().after([rbac('all', [], ['view:projects'])])
    const open = facts.after([
      placed('r-all', { type: 'RbacSubjectAdded', data: { kind: 'Group', name: everybody, uid: everybody } }),
    ])
    expect(facts.rightsOfUser('alice').allows({ role: 'create', kind: 'servers' })).toBe(true)
    expect(facts.rightsOfUser('erin').allows({ role: 'create', kind: 'servers' })).toBe(false)
    expect(sees(facts, 'erin')).toBe(true)
    expect(sees(facts, 'bob')).toBe(false)
    expect(open.rightsOfUser('bob').allows({ role: 'view', kind: 'projects' })).toBe(true)
  })

  it.each<[string, (facts: AccessFacts) => PlacedEvent[]]>([
    ['the user is disabled', () => [placed('erin', { type: 'UserDisabled', data: {} })]],
    ['the user is deleted', () => [placed('erin', { type: 'UserDeleted', data: {} })]],
    ['the group is deleted', () => [placed('g-dev', { type: 'GroupDeleted', data: {} })]],
    [
      'the membership ends',
      () => [placed('g-dev', { type: 'GroupMemberRemoved', data: { uid: 'erin', name: 'erin' } })],
    ],
    ['the binding is deleted', () => [placed('r-dev-team', { type: 'RbacDeleted', data: {} })]],
    ['the subject is removed', () => [placed('r-dev-team', { type: 'RbacSubjectRemoved', data: subject('g:dev') })]],
    [
      'the entries are revoked',
      () =>
        ['view:servers', 'edit:servers:github'].map((text) =>
          placed('r-dev-team', { type: 'RbacEntryRevoked', data: entry(text) }),
        ),
    ],
  ])('ends when %s', (_, change) => {
    const facts = world()
    expect(sees(facts.after(change(facts)), 'erin')).toBe(false)
    expect(sees(facts, 'erin')).toBe(true)
  })

  it('does not pass to somebody who bears the name later', () => {
    const facts = world().after([
      placed('alice', { type: 'UserDeleted', data: {} }),
      placed('alice-2', { type: 'UserCreated', data: { ...head('alice'), type: 'human' } }),
    ])
    expect(facts.uidOf('User', 'alice')).toBe('alice-2')
    expect(facts.grantsOfUser('alice-2')).toEqual([])
    expect(facts.isDangling(subject('alice'))).toBe(true)
  })

  it('comes back with who is enabled again', () => {
    const facts = world().after([
      placed('erin', { type: 'UserDisabled', data: {} }),
      placed('erin', { type: 'UserEnabled', data: {} }),
    ])
    expect(sees(facts, 'erin')).toBe(true)
  })
})

describe('facts', () => {
  const names = fc.constantFrom('a', 'b', 'c')
  const anEvent: fc.Arbitrary<() => PlacedEvent> = fc.oneof(
    names.map((name) => () => user(name)),
    names.map((name) => () => placed(name, { type: 'UserDeleted', data: {} })),
    names.map((name) => () => placed(name, { type: 'UserDisabled', data: {} })),
    fc.tuple(names, names).map(
      ([name, member]) =>
        () =>
          group(name, member),
    ),
    fc.tuple(names, names).map(
      ([name, member]) =>
        () =>
          added(name, member),
    ),
    fc.tuple(names, names).map(
      ([name, uid]) =>
        () =>
          placed(`g-${name}`, { type: 'GroupMemberRemoved', data: { uid, name: uid } }),
    ),
    names.map((name) => () => placed(`g-${name}`, { type: 'GroupDeleted', data: {} })),
    fc.tuple(names, names).map(
      ([name, who]) =>
        () =>
          rbac(name, [who, `g:${who}`], ['view:servers']),
    ),
    fc.tuple(names, names).map(
      ([name, who]) =>
        () =>
          bound(name, `g:${who}`),
    ),
    names.map((name) => () => granted(name, 'edit:servers:github')),
    names.map((name) => () => placed(`r-${name}`, { type: 'RbacDeleted', data: {} })),
  )

  it('are the same one event at a time, in layers, and from the start', () => {
    fc.assert(
      fc.property(fc.array(anEvent, { maxLength: 40 }), fc.nat(40), (makers, at) => {
        const events = makers.map((make) => make())
        const inPlace = new AccessFacts()
        for (const event of events) inPlace.apply(event)
        const layered = new AccessFacts().after(events.slice(0, at)).after(events.slice(at))
        for (const name of ['a', 'b', 'c']) {
          expect(layered.grantsOfUser(name)).toEqual(inPlace.grantsOfUser(name))
          expect(layered.uidOf('User', name)).toBe(inPlace.uidOf('User', name))
        }
      }),
    )
  })

  it('stay as they were when more is put on top', () => {
    fc.assert(
      fc.property(fc.array(anEvent, { maxLength: 20 }), fc.array(anEvent, { maxLength: 20 }), (first, second) => {
        const facts = new AccessFacts().after(first.map((make) => make()))
        const before = ['a', 'b', 'c'].map((name) => facts.grantsOfUser(name))
        facts.after(second.map((make) => make()))
        expect(['a', 'b', 'c'].map((name) => facts.grantsOfUser(name))).toEqual(before)
      }),
    )
  })
})

describe('a change of rights', () => {
  const change = (author: string, ...events: PlacedEvent[]) => {
    const before = world()
    return () => {
      review({ before, events, author: { uid: author, rights: before.rightsOfUser(author) }, now })
    }
  }
  const refused = (code: string): Error => expect.objectContaining({ code }) as unknown as Error

  it.each<[string, string, () => PlacedEvent[]]>([
    ['gives what its author holds', 'rita', () => [rbac('n', ['bob'], ['view:servers'])]],
    ['gives less', 'rita', () => [rbac('n', ['bob'], ['view:servers:github'])]],
    ['adds a member to a group without rights', 'rita', () => [added('empty', 'bob')]],
    ['takes away', 'rita', () => [placed('r-dev-team', { type: 'RbacDeleted', data: {} })]],
    [
      'lets somebody set a password who holds nothing',
      'rita',
      () => [placed('bob', { type: 'SetupCodeIssued', data: { id: 'c', expiresAt: later } })],
    ],
    ["is its author's own password", 'rita', () => [password('rita')]],
    ['gives everything, by one who may grant', 'root', () => [rbac('n', ['bob'], everything)]],
  ])('that %s is allowed', (_, author, events) => {
    expect(change(author, ...events())).not.toThrow()
  })

  it.each<[string, () => PlacedEvent[]]>([
    ['gives what its author does not hold', () => [rbac('n', ['bob'], ['edit:servers'])]],
    ['gives it on everything', () => [rbac('n', ['bob'], ['view:*'])]],
    ['adds an entry', () => [granted('dev-team', 'delete:servers')]],
    ['adds a subject to what others hold', () => [bound('admins', 'rita')]],
    ['adds a member to a group with rights', () => [added('admins', 'rita')]],
    ['makes a group of a name that rights wait for', () => [group('admins', 'rita')]],
    [
      'makes the group first and binds it in the same request',
      () => [group('mine', 'rita'), rbac('n', ['g:mine'], ['edit:servers'])],
    ],
    ['binds an empty group, then joins it', () => [rbac('n', ['g:empty'], ['op grant']), added('empty', 'rita')]],
    ['paves its own way', () => [rbac('n', ['rita'], ['op grant']), rbac('m', ['rita'], everything)]],
    [
      'lets somebody become an administrator',
      () => [placed('root', { type: 'SetupCodeIssued', data: { id: 'c', expiresAt: later } })],
    ],
    [
      "issues an administrator's token",
      () => [placed('root', { type: 'TokenIssued', data: { id: 't', prefix: 'mcp_pat_xxxx' } })],
    ],
    [
      'names an administrator otherwise',
      () => [placed('root', { type: 'UserProfileChanged', data: { displayName: 'rita' } })],
    ],
  ])('that %s is refused', (_, events) => {
    expect(change('rita', ...events())).toThrow(refused('Escalation'))
  })

  it('enables nobody who would hold more', () => {
    const before = world().after([placed('root', { type: 'UserDisabled', data: {} })])
    const events = [placed('root', { type: 'UserEnabled', data: {} })]
    const author = { uid: 'rita', rights: before.rightsOfUser('rita') }
    expect(() => {
      review({ before, events, author, now })
    }).toThrow(refused('Escalation'))
  })

  it('tells what is missing to those alone who may see bindings', () => {
    expect(change('rita', rbac('n', ['bob'], ['edit:servers']))).toThrow(/you do not hold "edit:servers"/)
    expect(change('alice', rbac('n', ['bob'], ['delete:servers']))).not.toThrow(/delete:servers/)
  })

  it.each<[string, () => PlacedEvent[]]>([
    ['the binding goes', () => [placed('r-admins', { type: 'RbacDeleted', data: {} })]],
    ['one entry goes', () => [placed('r-admins', { type: 'RbacEntryRevoked', data: entry('run:*') })]],
    ['the group goes', () => [placed('g-admins', { type: 'GroupDeleted', data: {} })]],
    [
      'the last member goes',
      () => [placed('g-admins', { type: 'GroupMemberRemoved', data: { uid: 'root', name: 'root' } })],
    ],
    ['the user goes', () => [placed('root', { type: 'UserDeleted', data: {} })]],
    ['the user is disabled', () => [placed('root', { type: 'UserDisabled', data: {} })]],
    ['the subject goes', () => [placed('r-admins', { type: 'RbacSubjectRemoved', data: subject('g:admins') })]],
    [
      'only one is left who cannot log in',
      () => [added('admins', 'bob'), placed('root', { type: 'UserDeleted', data: {} })],
    ],
  ])('leaves an administrator: not when %s', (_, events) => {
    expect(change('root', ...events())).toThrow(refused('LastAdmin'))
  })

  it.each<[string, () => PlacedEvent[]]>([
    ['has a password', () => [password('bob')]],
    [
      'has a code that is still good',
      () => [placed('bob', { type: 'SetupCodeIssued', data: { id: 'c', expiresAt: later } })],
    ],
    [
      'has a session that renews itself',
      () => [placed('bob', { type: 'TokenIssued', data: { id: 't', prefix: 'p', local: true } })],
    ],
  ])('may take the last but one, when the other %s', (_, events) => {
    expect(
      change('root', ...events(), added('admins', 'bob'), placed('root', { type: 'UserDeleted', data: {} })),
    ).not.toThrow()
  })

  it('does not count on a code that has expired, nor on a service', () => {
    const expired = placed('bob', { type: 'SetupCodeIssued', data: { id: 'c', expiresAt: '2026-05-31T00:00:00.000Z' } })
    const gone = placed('root', { type: 'UserDeleted', data: {} })
    expect(change('root', expired, added('admins', 'bob'), gone)).toThrow(refused('LastAdmin'))
    expect(change('root', user('ci', 'service'), added('admins', 'ci'), gone)).toThrow(refused('LastAdmin'))
  })
})

describe('an explanation', () => {
  const facts = world()
  const alice = facts.user('alice')
  const bob = facts.user('bob')

  it('shows the binding, the entry and the group', () => {
    const { allowed, paths } = explain(facts, alice!, { role: 'edit', kind: 'servers', name: 'github' })
    expect(allowed).toBe(true)
    expect(paths).toMatchObject([
      { rbac: { name: 'dev-team' }, index: 1, via: { group: 'dev', since: now, by: 'root' }, granted: { by: 'root' } },
    ])
  })

  it('of a no shows what is near and what would help', () => {
    const { allowed, nearest, remedy } = explain(facts, alice!, { role: 'edit', kind: 'servers', name: 'slack' })
    expect(allowed).toBe(false)
    expect(nearest.map(({ rbac: { name }, index }) => `${name} ${String(index)}`)).toEqual([
      'dev-team 1',
      'alice-x 0',
      'dev-team 0',
    ])
    expect(remedy).toBe('mcpctl create rbac alice-edit-servers-slack --subject User:alice --binding edit:servers:slack')
    expect(explain(facts, bob!, { action: 'logs' }).remedy).toBe(
      'mcpctl create rbac bob-op-logs --subject User:bob --operation logs',
    )
  })

  it('tells who may, through what', () => {
    const found = whoCan(facts, { role: 'view', kind: 'servers' })
    expect(found.map(({ user: { name }, grants }) => [name, grants.map(({ rbac: { name: by } }) => by)])).toEqual([
      ['alice', ['dev-team']],
      ['erin', ['dev-team']],
      ['rita', ['rbac-mgr']],
      ['root', ['admins', 'admins']],
    ])
  })

  it('tells who gains and who loses', () => {
    const changed = facts.after([added('dev', 'bob'), placed('r-alice-x', { type: 'RbacDeleted', data: {} })])
    expect(accessChanges(facts, changed, ['alice', 'bob', 'erin'])).toEqual([
      { user: 'alice', gained: [], lost: ['create:servers'] },
      { user: 'bob', gained: ['edit:servers:github', 'view:servers'], lost: [] },
    ])
  })
})
