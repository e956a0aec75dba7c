/** A role or an action, as people write it and in its parts. */
export interface EntryRecord {
  /** `edit:servers:github` for a role, `logs:servers/github` for an operation. */
  text: string
  role?: string
  action?: string
  resource?: string
  name?: string
}

/** An entry as somebody holds it: by which binding, through which group, since when. */
export interface GrantRecord {
  entry: EntryRecord
  /** Name of the RbacBinding. */
  rbac: string
  /** Which of the binding's lists it stands in, and where, from 0. */
  list: 'bindings' | 'operations'
  index: number
  /** RFC 3339. */
  grantedAt: string
  grantedBy: string
  position: string
  /** The group that it comes through; `since` (RFC 3339) and `by` tell of the membership. */
  via?: { group: string; since?: string; by?: string }
}

/** What is asked: a verb of the command line, a role or an operation, on a kind or one of its objects. */
export interface AccessQuestion {
  verb?: string
  role?: string
  action?: string
  /** Any word for a kind, or `*`. */
  kind?: string
  name?: string
  /** Whose rights; one's own unless told. */
  user?: string
  /** The rights of then: a position of the log, or RFC 3339. */
  at?: string
}

export interface CanIAnswer {
  allowed: boolean
  user: string
  /** The narrowest entry that would allow it. */
  asked: EntryRecord
  /** Every grant that allows it. */
  paths: GrantRecord[]
  /** For a no: what comes close, at most five. */
  nearest: GrantRecord[]
  /** For a no: the command that would allow it. */
  remedy?: string
  /** What else decided, for example that the token is narrowed. */
  note?: string
}

export interface WhoCanAnswer {
  asked: EntryRecord
  /** By name. */
  users: { user: string; paths: GrantRecord[] }[]
}

/** A subject of a binding. What was deleted since is `Dangling` and grants nothing, whoever bears the name now. */
export interface SubjectRecord {
  kind: 'User' | 'Group'
  name: string
  uid: string
  state: 'Bound' | 'Dangling'
}

/** What a user holds, a group gives to its members, or a binding grants. */
export interface EffectiveAccess {
  subject: { kind: 'User' | 'Group' | 'RbacBinding'; name: string; uid: string }
  direct: GrantRecord[]
  /** Of a user: what comes through groups. */
  inherited: GrantRecord[]
  /** Of a user: whether he may do anything at all. */
  enabled?: boolean
  /** Of a user: the groups; of a group: the members. */
  memberships?: { name: string; since: string; by: string }[]
  /** Of one's own: what the token is narrowed to. */
  scopes?: string[]
  /** Of a binding. */
  subjects?: SubjectRecord[]
  /** Of a group or binding: how many enabled users it reaches. */
  reaches?: number
}

/** A refusal at the door, as it was recorded. */
export interface DenialRecord {
  /** RFC 3339. */
  at: string
  position: string
  asked: string
  /** From where. */
  sourceAddress?: string
}

/** What a change gives to a user and takes from him. */
export interface AccessChangeRecord {
  user: string
  gained: string[]
  lost: string[]
}
