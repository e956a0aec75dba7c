import { alreadyExists, DomainError, invalid, jsonEqual, notFound } from '@mcpctl/contracts'
import type { Head, UserEvent as Recorded, UserType } from '@mcpctl/access'
import type { ClaimChange, Decider } from '@mcpctl/event-store'

type Naming = 'UserCreated' | 'UserDeleted'

/** What the log tells of a user; the two events that take and release the name carry the claim. */
export type UserEvent =
  (Extract<Recorded, { type: Naming }> & { claims: ClaimChange[] }) | Exclude<Recorded, { type: Naming }>

export interface UserProfile {
  displayName?: string
  email?: string
}

/** `type` and `enabled`: left out to mean what a user has already, and for a new one a human who may log in. */
export interface DesiredUser extends UserProfile {
  type?: UserType
  enabled?: boolean
}

/** A token as the log knows it: never the token itself. */
export type IssuedToken = Extract<Recorded, { type: 'TokenIssued' }>['data']

export interface ApplyUserCommand {
  type: 'Apply'
  mode: 'create' | 'replace' | 'apply'
  identity: Head
  desired: DesiredUser
}

/** Commands on a user's credentials; the credentials themselves are side rows of whoever sends these. */
type CredentialCommand =
  | { type: 'SetPassword' }
  | { type: 'IssueSetupCode'; id: string; expiresAt: string }
  /** Trades a code for a password. `now`: RFC 3339, the instant of the request. */
  | { type: 'UseSetupCode'; id: string; now: string }
  | { type: 'IssueToken'; token: IssuedToken }
  | { type: 'RevokeToken'; id: string }

/** `Enable`: whatever else is wanted of the user, for the way back in. */
export type UserCommand = ApplyUserCommand | CredentialCommand | { type: 'Enable' } | { type: 'Delete' }

interface PresentUser extends Head, UserProfile {
  status: 'present'
  type: UserType
  enabled: boolean
  hasPassword: boolean
  /** The latest setup code, until it is used or the user disabled. */
  code?: { id: string; expiresAt: string }
  /** Ids of the tokens that were not revoked. */
  tokens: string[]
}

type User = { status: 'absent' } | PresentUser

const nameClaim = (op: ClaimChange['op'], name: string): ClaimChange => ({ op, scope: 'name', key: `user/${name}` })

const profileOf = ({ displayName, email }: UserProfile): UserProfile => ({
  ...(displayName !== undefined && { displayName }),
  ...(email !== undefined && { email }),
})

const created = ({ identity, desired }: ApplyUserCommand): UserEvent[] => [
  {
    type: 'UserCreated',
    data: { ...identity, type: desired.type ?? 'human', ...profileOf(desired) },
    claims: [nameClaim('take', identity.name)],
  },
  ...(desired.enabled === false ? [{ type: 'UserDisabled', data: {} } as const] : []),
]

/** A disabled user is refused at once, and what he could log in with is gone: enabled again, he logs in anew. */
const standing = (user: PresentUser, enabled: boolean): UserEvent[] =>
  user.enabled === enabled ? [] : [{ type: enabled ? 'UserEnabled' : 'UserDisabled', data: {} }]

const refuseOtherType = ({ identity, desired }: ApplyUserCommand, user: PresentUser): void => {
  if (desired.type === undefined || desired.type === user.type) return
  const message = `cannot be changed: ${identity.name} is a ${user.type} user; create another one`
  throw invalid('User', identity.name, [{ pointer: '/spec/type', code: 'immutable', message }])
}

const apply = (command: ApplyUserCommand, user: User): UserEvent[] => {
  const { mode, identity, desired } = command
  if (user.status === 'absent') {
    if (mode === 'replace') throw notFound('users', identity.name)
    return created(command)
  }
  if (mode === 'create') throw alreadyExists('users', identity.name)
  refuseOtherType(command, user)
  const { labels, annotations } = identity
  const labelled = !jsonEqual(user.labels, labels) || !jsonEqual(user.annotations, annotations)
  const profile = profileOf(desired)
  return [
    ...(labelled ? [{ type: 'UserLabelled', data: { labels, annotations } } as const] : []),
    ...(jsonEqual(profileOf(user), profile) ? [] : [{ type: 'UserProfileChanged', data: profile } as const]),
    ...standing(user, desired.enabled ?? user.enabled),
  ]
}

const refuseService = ({ type, name }: PresentUser): void => {
  if (type === 'service')
    throw new DomainError('Conflict', `user "${name}" is a service user, which has no password; create a token for it`)
}

const refuseDisabled = ({ enabled, name }: PresentUser): void => {
  if (!enabled) throw new DomainError('Conflict', `user "${name}" is disabled; enable it first`)
}

const usedCode = (user: PresentUser, { id, now }: { id: string; now: string }): UserEvent[] => {
  refuseDisabled(user)
  if (user.code?.id !== id || Date.parse(user.code.expiresAt) <= Date.parse(now))
    throw new DomainError('Unauthorized', 'the code is not valid, used or expired; ask for another one')
  return [
    { type: 'SetupCodeUsed', data: { id } },
    { type: 'PasswordSet', data: {} },
  ]
}

const onCredentials = (command: CredentialCommand, user: PresentUser): UserEvent[] => {
  switch (command.type) {
    case 'SetPassword':
      refuseService(user)
      return [{ type: 'PasswordSet', data: {} }]
    case 'IssueSetupCode':
      refuseService(user)
      return [{ type: 'SetupCodeIssued', data: { id: command.id, expiresAt: command.expiresAt } }]
    case 'UseSetupCode':
      return usedCode(user, command)
    case 'IssueToken':
      refuseDisabled(user)
      return [{ type: 'TokenIssued', data: command.token }]
    case 'RevokeToken':
      return user.tokens.includes(command.id) ? [{ type: 'TokenRevoked', data: { id: command.id } }] : []
  }
}

const decide = (command: UserCommand, user: User): UserEvent[] => {
  if (command.type === 'Apply') return apply(command, user)
  if (user.status === 'absent') throw new DomainError('NotFound', 'no such user')
  switch (command.type) {
    case 'Enable':
      return standing(user, true)
    case 'Delete':
      return [{ type: 'UserDeleted', data: {}, claims: [nameClaim('release', user.name)] }]
    default:
      return onCredentials(command, user)
  }
}

const withoutCode = ({ code: _, ...user }: PresentUser): PresentUser => user

const evolve = (user: User, event: UserEvent): User => {
  if (event.type === 'UserCreated')
    return { ...event.data, status: 'present', enabled: true, hasPassword: false, tokens: [] }
  if (user.status === 'absent') return user
  switch (event.type) {
    case 'UserLabelled':
      return { ...user, ...event.data }
    case 'UserProfileChanged': {
      const { displayName: _name, email: _email, ...rest } = user
      return { ...rest, ...event.data }
    }
    case 'UserDisabled':
      return { ...withoutCode(user), enabled: false, tokens: [] }
    case 'UserEnabled':
      return { ...user, enabled: true }
    case 'PasswordSet':
      return { ...user, hasPassword: true }
    case 'SetupCodeIssued':
      return { ...user, code: event.data }
    case 'SetupCodeUsed':
      return withoutCode(user)
    case 'TokenIssued':
      return { ...user, tokens: [...user.tokens, event.data.id] }
    case 'TokenRevoked':
      return { ...user, tokens: user.tokens.filter((id) => id !== event.data.id) }
    case 'UserDeleted':
      return { status: 'absent' }
  }
}

/** A user: who somebody is, whether they may come in, and which credentials were issued when. */
export const userDecider: Decider<User, UserCommand, UserEvent> = {
  category: 'user',
  events: {
    // The first release wrote neither labels nor annotations.
    UserCreated: [(data) => ({ labels: {}, annotations: {}, ...data })],
    UserLabelled: [],
    UserProfileChanged: [],
    UserDisabled: [],
    UserEnabled: [],
    PasswordSet: [],
    SetupCodeIssued: [],
    SetupCodeUsed: [],
    TokenIssued: [],
    TokenRevoked: [],
    UserDeleted: [],
  },
  initial: { status: 'absent' },
  decide,
  evolve,
}
