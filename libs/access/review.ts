import { DomainError } from '@mcpctl/contracts'
import { entryText, type Entry } from './entry'
import type { PlacedEvent } from './events'
import type { AccessFacts } from './facts'
import type { Rights } from './rights'

export interface ReviewInput {
  /** As they were before the request. */
  before: AccessFacts
  /** What the request would append. */
  events: readonly PlacedEvent[]
  author: { uid: string; rights: Rights }
  /** RFC 3339: the instant of the decision. */
  now: string
}

/**
 * Refuses a change of users, groups and bindings by which its author would hand out more than he holds (`Escalation`), or after which
 * nobody could administer (`LastAdmin`). Rights are those before the request: one part of it must not pave the way for another.
 * Rules: the escalation rules of the access design; Kubernetes' escalate and bind (`pkg/registry/rbac/escalation_check.go`).
 */
export const review = ({ before, events, author, now }: ReviewInput): void => {
  if (events.length === 0) return
  const after = before.after(events)
  if (!author.rights.allows({ action: 'grant' })) refuseEscalation({ before, after, events, author })
  if (before.fullAdmins(now).length > 0 && after.fullAdmins(now).length === 0)
    throw new DomainError(
      'LastAdmin',
      'nobody who can log in would keep every right; grant them to somebody else first (all five roles on * and operation *), or recover with: mcpd admin recover',
    )
}

const refuseEscalation = ({
  before,
  after,
  events,
  author,
}: Omit<ReviewInput, 'now'> & { after: AccessFacts }): void => {
  for (const event of events)
    for (const entry of handedOut(event, { before, after, author: author.uid }))
      if (!author.rights.covers(entry)) throw escalation(entry, author.rights)
}

/** The entries that an event gives to somebody. */
const handedOut = (
  event: PlacedEvent,
  { before, after, author }: { before: AccessFacts; after: AccessFacts; author: string },
): Entry[] => {
  switch (event.type) {
    case 'RbacCreated':
    case 'RbacSubjectAdded':
      return after.rbac(event.uid)?.entries.map(({ entry }) => entry) ?? []
    case 'RbacEntryGranted':
      return [event.data]
    case 'GroupCreated':
      return event.data.members.length > 0 ? after.grantsOf(event.uid).map(({ entry }) => entry) : []
    case 'GroupMemberAdded':
      return after.grantsOf(event.uid).map(({ entry }) => entry)
    case 'UserEnabled':
    case 'UserProfileChanged':
    case 'SetupCodeIssued':
    case 'PasswordSet':
    case 'TokenIssued':
      return event.uid === author ? [] : everythingOf(event.uid, before, after)
    default:
      return []
  }
}

/** What a user holds, or would hold again when enabled. */
const everythingOf = (uid: string, before: AccessFacts, after: AccessFacts): Entry[] => {
  const facts = after.user(uid)?.enabled ? after : before
  const groups = facts.groupsOfUser(uid).flatMap((group) => facts.grantsOf(group.uid))
  return [...facts.grantsOf(uid), ...groups].map(({ entry }) => entry)
}

/** The missing right is told to those alone who may know of bindings. */
const escalation = (entry: Entry, rights: Rights): DomainError => {
  const tells = rights.allows({ role: 'view', kind: 'rbac' })
  const what = tells ? `: you do not hold "${entryText(entry)}"` : ''
  return new DomainError(
    'Escalation',
    `you cannot give to others what you do not hold yourself${what}; ask somebody with operation grant`,
  )
}
