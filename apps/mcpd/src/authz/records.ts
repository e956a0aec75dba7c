import {
  entryText,
  everybody,
  grantsIn,
  isRole,
  type AccessFacts,
  type Entry,
  type Grant,
  type GroupFact,
  type RbacFact,
  type UserFact,
} from '@mcpctl/access'
import type { EffectiveAccess, EntryRecord, GrantRecord } from '@mcpctl/contracts'

/** An entry for the wire. */
export const entryRecord = (entry: Entry): EntryRecord => ({ ...entry, text: entryText(entry).replace(/^op /, '') })

/** A grant for the wire. */
export const grantRecord = ({ entry, rbac, index, granted, via }: Grant): GrantRecord => ({
  entry: entryRecord(entry),
  rbac: rbac.name,
  list: isRole(entry) ? 'bindings' : 'operations',
  index,
  grantedAt: granted.at,
  grantedBy: granted.by,
  position: String(granted.position),
  ...(via && { via: viaRecord(via) }),
})

/** Nobody was ever made a member of the group that everybody is in. */
const viaRecord = ({ group, since, by }: NonNullable<Grant['via']>): NonNullable<GrantRecord['via']> =>
  group === everybody ? { group } : { group, since, by }

/** What a user holds; also of one who is disabled, whom it does not help. */
export const accessOfUser = (facts: AccessFacts, { uid, name, enabled }: UserFact): EffectiveAccess => {
  const groups = facts.groupsOfUser(uid)
  const memberships = groups.map((group) => membership(group.name, group, uid))
  const inherited = groups.flatMap((group, index) => {
    const { since, by } = memberships[index] ?? { since: '', by: '' }
    return facts.grantsOf(group.uid).map((grant) => ({ ...grant, via: { group: group.name, since, by } }))
  })
  const shared = facts.grantsOf(everybody).map((grant) => ({ ...grant, via: { group: everybody, since: '', by: '' } }))
  return {
    subject: { kind: 'User', name, uid },
    enabled,
    memberships,
    direct: facts.grantsOf(uid).map(grantRecord),
    inherited: [...inherited, ...shared].map(grantRecord),
  }
}

const membership = (name: string, group: GroupFact, uid: string) => {
  const { at = '', by = '' } = group.members.get(uid) ?? {}
  return { name, since: at, by }
}

/** What a group gives to its members. */
export const accessOfGroup = (facts: AccessFacts, group: GroupFact): EffectiveAccess => ({
  subject: { kind: 'Group', name: group.name, uid: group.uid },
  memberships: [...group.members.keys()].map((uid) => membership(facts.userName(uid), group, uid)),
  direct: facts.grantsOf(group.uid).map(grantRecord),
  inherited: [],
  reaches: facts.usersOf({ kind: 'Group', uid: group.uid, name: group.name }).filter(({ enabled }) => enabled).length,
})

/** What a binding grants, and to whom. */
export const accessOfRbac = (facts: AccessFacts, rbac: RbacFact): EffectiveAccess => {
  const reached = new Set<string>()
  for (const subject of rbac.subjects)
    for (const user of facts.usersOf(subject)) if (user.enabled) reached.add(user.uid)
  return {
    subject: { kind: 'RbacBinding', name: rbac.name, uid: rbac.uid },
    direct: grantsIn(rbac).map(grantRecord),
    inherited: [],
    subjects: rbac.subjects.map((subject) => ({
      kind: subject.kind,
      name: subject.name,
      uid: subject.uid,
      state: facts.isDangling(subject) ? 'Dangling' : 'Bound',
    })),
    reaches: reached.size,
  }
}
