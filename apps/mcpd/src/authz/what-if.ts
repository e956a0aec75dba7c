import {
  accessChanges,
  accessEventTypes,
  type AccessEvent,
  type AccessFacts,
  type PlacedEvent,
  type Rights,
} from '@mcpctl/access'
import type { AccessChangeRecord } from '@mcpctl/contracts'
import type { CommandContext } from '@mcpctl/resource'

/**
 * What a request that is only tried would give to users and take from them; undefined when it touches no rights, or when the asker may not see
 * those of others.
 */
export const whatIf = (
  facts: AccessFacts,
  context: CommandContext,
  rights: Rights,
): AccessChangeRecord[] | undefined => {
  const events = stagedIn(context)
  if (events.length === 0) return undefined
  if (!rights.allows({ role: 'view', kind: 'users' }) || !rights.allows({ role: 'view', kind: 'rbac' }))
    return undefined
  const after = facts.after(events)
  return accessChanges(facts, after, touched(facts, after, events))
}

/** The events of users, groups and bindings, as if they were appended now. */
const stagedIn = ({ unit, now, meta }: CommandContext): PlacedEvent[] =>
  unit.staged().flatMap(({ streamId, events }) =>
    events
      .filter(({ type }) => (accessEventTypes as string[]).includes(type))
      .map((event) => ({
        ...(event as AccessEvent),
        uid: streamId.slice(streamId.indexOf('-') + 1),
        position: 0n,
        at: now,
        by: meta.actor.name,
      })),
  )

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
