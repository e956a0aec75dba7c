import type { OperationEntry, RoleEntry } from '@mcpctl/access'
import type { EventTypes } from '@mcpctl/event-store'

/** What is recorded of people: at the door, whether they came in or not, and what followed from their doing unasked. */
export type AuditEvent =
  | { type: 'LoginSucceeded'; data: { session: string } }
  | { type: 'LoginFailed'; data: { credential: 'password' | 'code' } }
  | { type: 'SessionEnded'; data: { session: string } }
  | { type: 'AccessDenied'; data: { asked: string; reason: string } }
  | GrantRevivedEvent

/** A grant that names an object holds again, since its author made another object of that name. Positions are of the grant and of the deletion. */
export interface GrantRevivedEvent {
  type: 'GrantRevived'
  data: {
    rbac: { uid: string; name: string }
    entry: RoleEntry | OperationEntry
    object: { kind: string; name: string; uid: string }
    granted: { position: string; at: string; by: string }
    deleted: { position: string }
  }
}

/** A category of its own: a flood of it neither breaks an append condition nor makes anybody fold rights anew. */
export const auditEvents = {
  category: 'audit',
  events: {
    LoginSucceeded: [],
    LoginFailed: [],
    SessionEnded: [],
    AccessDenied: [],
    GrantRevived: [],
  },
} satisfies EventTypes<AuditEvent['type']>
