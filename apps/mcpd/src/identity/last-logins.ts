import type { ResourceObject } from '@mcpctl/contracts'
import { lastRecorded } from '@mcpctl/event-store'
import type { Pool } from 'pg'
import { auditEvents } from './audit-events'

const streamOf = ({ metadata }: ResourceObject): string => `${auditEvents.category}-${metadata.uid}`

/**
 * Users with the time of their last login; other objects as they are. Joined at read, outside resourceVersion and watch: logins are no events of
 * the user, or each of them would be a change of the object.
 */
export const withLastLogins = async (pool: Pool, objects: readonly ResourceObject[]): Promise<ResourceObject[]> => {
  const users = objects.filter(({ kind }) => kind === 'User')
  const last = await lastRecorded(pool, users.map(streamOf), 'LoginSucceeded')
  return objects.map((object) => {
    const at = object.kind === 'User' ? last.get(streamOf(object)) : undefined
    return at ? { ...object, status: { ...object.status, lastLogin: at.toISOString() } } : object
  })
}
