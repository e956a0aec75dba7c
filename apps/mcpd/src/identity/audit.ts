import { schemaVersionOf, type EventMeta, type NewEvent, type StreamAppend } from '@mcpctl/event-store'
import { v7 as uuidv7 } from 'uuid'
import { auditEvents, type AuditEvent } from './audit-events'

/** Somebody of whom nothing is known. */
export const anonymous = { uid: '00000000-0000-0000-0000-000000000000', name: 'system:anonymous' }

export type AuditEntry = Exclude<AuditEvent, { type: 'GrantRevived' }> & {
  meta: EventMeta
  /** Whom it is about; nobody known where that is left out. */
  uid?: string | undefined
}

/** One event at the door, as something to append. */
export const auditAppend = ({ type, data, meta, uid }: AuditEntry): StreamAppend => {
  const { category } = auditEvents
  const event: NewEvent = { id: uuidv7(), type, schemaVersion: schemaVersionOf(auditEvents, type), data, meta }
  return { streamId: `${category}-${uid ?? 'anonymous'}`, category, expected: 'any', events: [event] }
}
