import { DomainError } from '@mcpctl/contracts'
import { forbidden, Rights, type AccessFacts, type Ask, type Directory, type Identity } from '@mcpctl/access'
import { impersonationOf, type Impersonation } from './impersonation'
import type { AuthenticatedRequest } from './guards'

/** As whom a request acts: whoever asks, or whom he impersonates. */
export interface Subject {
  uid: string
  name: string
}

interface Effective {
  subject: Subject
  rights: Rights
}

/** Finds out as whom a request acts and what it may do. Throws BadRequest, Forbidden, Unavailable. */
export const admit = async (request: AuthenticatedRequest, directory: Directory): Promise<void> => {
  const { identity } = request
  if (!identity) return
  const wish = impersonationOf(request)
  request.subject = { uid: identity.uid, name: identity.name }
  const own = await directory.rightsOf(identity.uid)
  const rightsIn = (facts: AccessFacts): Rights => effective(facts, identity, wish).rights
  if (!wish) return void Object.assign(request, { rights: narrowed(own, identity), rightsIn })
  const { facts } = await directory.current()
  Object.assign(request, effective(facts, identity, wish), { impersonator: request.subject, rightsIn })
}

const effective = (facts: AccessFacts, identity: Identity, wish: Impersonation | undefined): Effective => {
  const own = narrowed(facts.rightsOfUser(identity.uid), identity)
  if (!wish) return { subject: identity, rights: own }
  const subject = facts.user(facts.uidOf('User', wish.user) ?? '')
  const groups = wish.groups.map((name) => facts.group(facts.uidOf('Group', name) ?? ''))
  const refused = asksOf(wish).find((ask) => !own.allows(ask))
  if (refused) throw forbidden(identity.name, refused)
  // Who may impersonate him learns that he is not there or is disabled, but not which.
  if (!subject?.enabled) throw absent(identity.name, asksOf(wish)[0])
  const entries = groups.map((group, index) => {
    if (!group) throw absent(identity.name, asksOf(wish)[index + 1])
    return facts.grantsOf(group.uid).map(({ entry }) => entry)
  })
  const granted = facts.grantsOfUser(subject.uid).map(({ entry }) => entry)
  const { uid, name } = subject
  return { subject: { uid, name }, rights: narrowed(new Rights([...granted, ...entries.flat()]), identity) }
}

/** Refused like one who may not, in words that tell whoever may what to look for. */
const absent = (who: string, ask: Ask = { action: 'impersonate' }): DomainError => {
  const { message, details } = forbidden(who, ask)
  return new DomainError('Forbidden', `${message}: it does not exist, or is disabled`, details)
}

const asksOf = ({ user, groups }: Impersonation): Ask[] => [
  { action: 'impersonate', kind: 'users', name: user },
  ...groups.map((name): Ask => ({ action: 'impersonate', kind: 'groups', name })),
]

/** A token's scope holds whoever it acts as. */
const narrowed = (rights: Rights, { scopes }: Identity): Rights => (scopes ? rights.within(new Rights(scopes)) : rights)
