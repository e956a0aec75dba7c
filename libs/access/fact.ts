import { sameEntry, type Entry } from './entry'
import type { Placed, RbacEvent, SubjectRef, UserEvent, UserType } from './events'

/** When something was granted, where in the log, and by whom. */
export interface Granted {
  position: bigint
  at: string
  by: string
}

export interface UserFact {
  uid: string
  name: string
  type: UserType
  enabled: boolean
  hasPassword: boolean
  /** RFC 3339, of the latest setup code that was not used. */
  codeUntil?: string
  codeId?: string
  /** Ids of tokens that the daemon renews for its OS user. */
  localTokens: readonly string[]
  /** Position of the event that ended every session and token issued before. */
  endedAt?: bigint
}

export interface GroupFact {
  uid: string
  name: string
  /** By uid of the member, who may be gone. Those of one event share what is told of it: there may be millions of memberships. */
  members: ReadonlyMap<string, Granted>
}

export interface RbacFact {
  uid: string
  name: string
  subjects: readonly SubjectRef[]
  entries: readonly (Granted & { entry: Entry })[]
}

/** Whether somebody can become this user: with a password, a session that renews itself, or a setup code that is still good. */
export const canLogIn = ({ type, enabled, hasPassword, localTokens, codeUntil }: UserFact, now: string): boolean =>
  type === 'human' && enabled && (hasPassword || localTokens.length > 0 || (codeUntil !== undefined && codeUntil > now))

export const grantedBy = ({ position, at, by }: Placed): Granted => ({ position, at, by })

/** A user after one more event of its own. */
export const userAfter = (
  user: UserFact,
  event: Exclude<UserEvent, { type: 'UserCreated' | 'UserDeleted' }> & Placed,
): UserFact => {
  switch (event.type) {
    case 'UserDisabled': {
      const { codeUntil: _until, codeId: _id, ...rest } = user
      return { ...rest, enabled: false, localTokens: [], endedAt: event.position }
    }
    case 'UserEnabled':
      return { ...user, enabled: true }
    case 'PasswordSet':
      return { ...user, hasPassword: true }
    case 'SetupCodeIssued':
      return { ...user, codeUntil: event.data.expiresAt, codeId: event.data.id }
    case 'SetupCodeUsed': {
      const { codeUntil: _until, codeId: _id, ...rest } = user
      return rest
    }
    case 'TokenIssued':
      return event.data.local ? { ...user, localTokens: [...user.localTokens, event.data.id] } : user
    case 'TokenRevoked':
      return { ...user, localTokens: user.localTokens.filter((id) => id !== event.data.id) }
    case 'UserLabelled':
    case 'UserProfileChanged':
      return user
  }
}

/** A binding after one more event of its own. */
export const rbacAfter = (
  rbac: RbacFact,
  event: Exclude<RbacEvent, { type: 'RbacCreated' | 'RbacDeleted' }> & Placed,
): RbacFact => {
  switch (event.type) {
    case 'RbacSubjectAdded':
      return { ...rbac, subjects: [...rbac.subjects, event.data] }
    case 'RbacSubjectRemoved':
      return { ...rbac, subjects: rbac.subjects.filter(({ uid }) => uid !== event.data.uid) }
    case 'RbacEntryGranted':
      return { ...rbac, entries: [...rbac.entries, { entry: event.data, ...grantedBy(event) }] }
    case 'RbacEntryRevoked':
      return { ...rbac, entries: rbac.entries.filter(({ entry }) => !sameEntry(entry, event.data)) }
    case 'RbacLabelled':
      return rbac
  }
}
