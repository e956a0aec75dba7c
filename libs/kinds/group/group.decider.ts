import { alreadyExists, DomainError, invalid, jsonEqual, notFound, type FieldError } from '@mcpctl/contracts'
import type { GroupEvent as Recorded, GroupMember, Head } from '@mcpctl/access'
import type { ClaimChange, Decider } from '@mcpctl/event-store'

type Naming = 'GroupCreated' | 'GroupDeleted'

/** What the log tells of a group; the two events that take and release the name carry the claim. */
export type GroupEvent =
  (Extract<Recorded, { type: Naming }> & { claims: ClaimChange[] }) | Exclude<Recorded, { type: Naming }>

/** A member as named in a request. Without `uid` nobody bears the name; `exists`: the user of that uid bears it now. */
export interface NamedMember {
  name: string
  uid?: string
  exists: boolean
}

export interface ApplyGroupCommand {
  type: 'Apply'
  mode: 'create' | 'replace' | 'apply'
  identity: Head
  desired: { description?: string; members: NamedMember[] }
}

export type GroupCommand = ApplyGroupCommand | { type: 'Delete' }

type Group = { status: 'absent' } | ({ status: 'present'; description?: string; members: GroupMember[] } & Head)

const nameClaim = (op: ClaimChange['op'], name: string): ClaimChange => ({ op, scope: 'name', key: `group/${name}` })

const unknown = ({ name, uid }: NamedMember, index: number): FieldError => ({
  pointer: `/spec/members/${String(index)}`,
  code: 'not-found',
  message:
    uid === undefined
      ? `users "${name}" not found; create it first or in the same apply`
      : `users "${name}" with uid ${uid} not found; leave the uid out to mean who bears the name now`,
})

/** Members by uid. One who is gone may stay, but nobody who is not there can join: a name that is borne anew is somebody else. */
const resolved = ({ identity, desired }: ApplyGroupCommand, members: GroupMember[]): GroupMember[] => {
  const errors: FieldError[] = []
  const found = new Map<string, GroupMember>()
  desired.members.forEach((member, index) => {
    const { name, uid, exists } = member
    const known = members.find((each) => each.uid === uid)
    if (uid === undefined || (!exists && !known)) errors.push(unknown(member, index))
    else found.set(uid, known ?? { uid, name })
  })
  if (errors.length > 0) throw invalid('Group', identity.name, errors)
  return [...found.values()]
}

const isIn = (members: GroupMember[]): ((member: GroupMember) => boolean) => {
  const uids = new Set(members.map(({ uid }) => uid))
  return ({ uid }) => uids.has(uid)
}

const apply = (command: ApplyGroupCommand, group: Group): GroupEvent[] => {
  const { mode, identity, desired } = command
  const { description = '' } = desired
  if (group.status === 'absent') {
    if (mode === 'replace') throw notFound('groups', identity.name)
    const data = { ...identity, ...(description !== '' && { description }), members: resolved(command, []) }
    return [{ type: 'GroupCreated', data, claims: [nameClaim('take', identity.name)] }]
  }
  if (mode === 'create') throw alreadyExists('groups', identity.name)
  const { labels, annotations } = identity
  const labelled = !jsonEqual(group.labels, labels) || !jsonEqual(group.annotations, annotations)
  const members = resolved(command, group.members)
  const was = isIn(group.members)
  const will = isIn(members)
  return [
    ...(labelled ? [{ type: 'GroupLabelled', data: { labels, annotations } } as const] : []),
    ...(description === (group.description ?? '') ? [] : [{ type: 'GroupDescribed', data: { description } } as const]),
    ...group.members.filter((each) => !will(each)).map((data) => ({ type: 'GroupMemberRemoved', data }) as const),
    ...members.filter((each) => !was(each)).map((data) => ({ type: 'GroupMemberAdded', data }) as const),
  ]
}

const decide = (command: GroupCommand, group: Group): GroupEvent[] => {
  if (command.type === 'Apply') return apply(command, group)
  if (group.status === 'absent') throw new DomainError('NotFound', 'no such group')
  return [{ type: 'GroupDeleted', data: {}, claims: [nameClaim('release', group.name)] }]
}

const evolve = (group: Group, event: GroupEvent): Group => {
  if (event.type === 'GroupCreated') return { ...event.data, status: 'present' }
  if (group.status === 'absent') return group
  switch (event.type) {
    case 'GroupLabelled':
    case 'GroupDescribed':
      return { ...group, ...event.data }
    case 'GroupMemberAdded':
      return { ...group, members: [...group.members, event.data] }
    case 'GroupMemberRemoved':
      return { ...group, members: group.members.filter(({ uid }) => uid !== event.data.uid) }
    case 'GroupDeleted':
      return { status: 'absent' }
  }
}

/** A group: users, by uid. What is granted to it is granted to each of them. */
export const groupDecider: Decider<Group, GroupCommand, GroupEvent> = {
  category: 'group',
  events: {
    GroupCreated: [],
    GroupLabelled: [],
    GroupDescribed: [],
    GroupMemberAdded: [],
    GroupMemberRemoved: [],
    GroupDeleted: [],
  },
  initial: { status: 'absent' },
  decide,
  evolve,
}
