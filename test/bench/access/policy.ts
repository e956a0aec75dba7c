import type { Entry } from '../../../libs/access/entry'
import type { PlacedEvent } from '../../../libs/access/events'

/** Sizes that the goals are set for. */
export const size = { bindings: 100_000, users: 10_000, groups: 1_000, groupsPerUser: 200, servers: 10_000 }

/** Numbers that look random and are the same in every run (mulberry32). */
export const dice = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below)
  }
}

export interface Policy {
  events: PlacedEvent[]
  /** Of each user by number, its groups by number. */
  groupsOf: number[][]
  /** Each binding: a subject and an entry. */
  bindings: { subject: { kind: 'User' | 'Group'; number: number }; entry: Entry }[]
}

const head = (name: string) => ({ name, labels: {}, annotations: {} })
const roles = ['view', 'edit', 'delete', 'run'] as const

/** 10,000 users in 200 of 1,000 groups each, and 100,000 bindings, nine of ten of them on one server by name. */
export const makePolicy = (): Policy => {
  const roll = dice(20261122)
  let position = 0n
  const place = (uid: string) => ({ uid, position: ++position, at: '2026-01-01T00:00:00.000Z', by: 'root' })
  const groupsOf = Array.from({ length: size.users }, () => {
    const first = roll(size.groups)
    return Array.from({ length: size.groupsPerUser }, (_, nth) => (first + nth * 5) % size.groups)
  })
  const membersOf = Array.from({ length: size.groups }, () => [] as number[])
  groupsOf.forEach((groups, user) => {
    for (const group of groups) membersOf[group]?.push(user)
  })
  const bindings = Array.from({ length: size.bindings }, () => {
    const kind = roll(10) < 5 ? ('User' as const) : ('Group' as const)
    const number = roll(kind === 'User' ? size.users : size.groups)
    const role = roles[roll(roles.length)] ?? 'view'
    // Hardly anybody may do something everywhere: who may is answered from the whole list else.
    const name = roll(1_000) === 0 ? {} : { name: `server-${String(roll(size.servers))}` }
    return { subject: { kind, number }, entry: { role, resource: 'servers', ...name } }
  })
  const events: PlacedEvent[] = [
    ...groupsOf.map((_, user): PlacedEvent => ({
      type: 'UserCreated',
      data: { ...head(`user-${String(user)}`), type: 'human' },
      ...place(`User-${String(user)}`),
    })),
    ...membersOf.map((members, group): PlacedEvent => ({
      type: 'GroupCreated',
      data: {
        ...head(`group-${String(group)}`),
        members: members.map((user) => ({ uid: `User-${String(user)}`, name: `user-${String(user)}` })),
      },
      ...place(`Group-${String(group)}`),
    })),
    ...bindings.map(({ subject, entry }, nth): PlacedEvent => {
      const name = `${subject.kind.toLowerCase()}-${String(subject.number)}`
      return {
        type: 'RbacCreated',
        data: {
          ...head(`rbac-${String(nth)}`),
          subjects: [{ kind: subject.kind, name, uid: `${subject.kind}-${String(subject.number)}` }],
          bindings: [entry],
          operations: [],
        },
        ...place(`Rbac-${String(nth)}`),
      }
    }),
  ]
  return { events, groupsOf, bindings }
}
