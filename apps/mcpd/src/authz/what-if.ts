import { accessChanges, type AccessFacts, type PlacedEvent, type Rights } from '@mcpctl/access'
import type { AccessChangeRecord } from '@mcpctl/contracts'

/**
 * What the events would give to users and take from them; undefined when they touch no rights, or when the asker may not see those of others.
 */
export const whatIf = (
  facts: AccessFacts,
  events: readonly PlacedEvent[],
  rights: Rights,
): AccessChangeRecord[] | undefined => {
  if (events.length === 0) return undefined
  if (!rights.allows({ role: 'view', kind: 'users' }) || !rights.allows({ role: 'view', kind: 'rbac' }))
    return undefined
  const after = facts.after(events)
  return accessChanges(facts, after, touched(facts, after, events))
}

/** Everybody whom one of the events is about, or stands for by a group or binding, before or after. */
const touched = (before: AccessFacts, after: AccessFacts, events: readonly PlacedEvent[]): Set<string> => {
  const users = new Set<string>()
  for (const facts of [before, after])
    for (const { uid } of events) {
      if (facts.user(uid)) users.add(uid)
      const subjects = facts.rbac(uid)?.subjects ?? [{ kind: 'Group' as const, uid, name: '' }]
      for (const subject of subjects) for (const user of facts.usersOf(subject)) users.add(user.uid)
    }
  return users
}
