import type { Entry, OperationEntry, RoleEntry } from './entry'

/** A user or a group, by the uid that a name stood for when it was written down. */
export interface SubjectRef {
  kind: 'User' | 'Group'
  name: string
  uid: string
}

export interface Head {
  name: string
  labels: Record<string, string>
  annotations: Record<string, string>
}

export type UserType = 'human' | 'service'

/** What is recorded of a user. Credentials themselves are side rows; the log says who got which. */
export type UserEvent =
  | { type: 'UserCreated'; data: Head & { type: UserType; displayName?: string; email?: string } }
  | { type: 'UserLabelled'; data: { labels: Record<string, string>; annotations: Record<string, string> } }
  | { type: 'UserProfileChanged'; data: { displayName?: string; email?: string } }
  | { type: 'UserDisabled'; data: object }
  | { type: 'UserEnabled'; data: object }
  | { type: 'PasswordSet'; data: object }
  /** A code that sets a password, once, until it expires (RFC 3339). */
  | { type: 'SetupCodeIssued'; data: { id: string; expiresAt: string } }
  | { type: 'SetupCodeUsed'; data: { id: string } }
  /** `local`: renewed by the daemon for the OS user who owns it. */
  | {
      type: 'TokenIssued'
      data: {
        id: string
        prefix: string
        type?: string
        scopes?: Entry[]
        expiresAt?: string
        note?: string
        local?: boolean
      }
    }
  | { type: 'TokenRevoked'; data: { id: string } }
  | { type: 'UserDeleted'; data: object }

export interface GroupMember {
  uid: string
  name: string
}

export type GroupEvent =
  | { type: 'GroupCreated'; data: Head & { description?: string; members: GroupMember[] } }
  | { type: 'GroupLabelled'; data: { labels: Record<string, string>; annotations: Record<string, string> } }
  | { type: 'GroupDescribed'; data: { description: string } }
  | { type: 'GroupMemberAdded'; data: GroupMember }
  | { type: 'GroupMemberRemoved'; data: GroupMember }
  | { type: 'GroupDeleted'; data: object }

export type RbacEvent =
  | {
      type: 'RbacCreated'
      data: Head & { subjects: SubjectRef[]; bindings: RoleEntry[]; operations: OperationEntry[] }
    }
  | { type: 'RbacLabelled'; data: { labels: Record<string, string>; annotations: Record<string, string> } }
  | { type: 'RbacSubjectAdded'; data: SubjectRef }
  | { type: 'RbacSubjectRemoved'; data: SubjectRef }
  | { type: 'RbacEntryGranted'; data: Entry }
  | { type: 'RbacEntryRevoked'; data: Entry }
  | { type: 'RbacDeleted'; data: object }

export type AccessEvent = UserEvent | GroupEvent | RbacEvent

const isAnEvent: Record<AccessEvent['type'], true> = {
  UserCreated: true,
  UserLabelled: true,
  UserProfileChanged: true,
  UserDisabled: true,
  UserEnabled: true,
  PasswordSet: true,
  SetupCodeIssued: true,
  SetupCodeUsed: true,
  TokenIssued: true,
  TokenRevoked: true,
  UserDeleted: true,
  GroupCreated: true,
  GroupLabelled: true,
  GroupDescribed: true,
  GroupMemberAdded: true,
  GroupMemberRemoved: true,
  GroupDeleted: true,
  RbacCreated: true,
  RbacLabelled: true,
  RbacSubjectAdded: true,
  RbacSubjectRemoved: true,
  RbacEntryGranted: true,
  RbacEntryRevoked: true,
  RbacDeleted: true,
}

/** Every type of event that rights follow from. */
export const accessEventTypes = Object.keys(isAnEvent) as AccessEvent['type'][]

/** Where an event stands in the log, and who did it. */
export interface Placed {
  uid: string
  position: bigint
  /** RFC 3339. */
  at: string
  by: string
}

/** An event of one user, group or binding (`uid`), as rights are folded from it. */
export type PlacedEvent = AccessEvent & Placed
