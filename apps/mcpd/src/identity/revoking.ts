import { Tokens } from '@mcpctl/access'
import type { EventMeta } from '@mcpctl/event-store'
import { UserModule } from '@mcpctl/kinds/user/user.module'
import { auditAppend } from './audit'
import type { Change, Situation } from './credential-changes'

/** Ends tokens and sessions of one user. What the user's own stream does not know, a session, is told at the door. */
export const destroy = async (
  { unit, facts }: Situation,
  { ids, owner, meta }: { ids: readonly string[]; owner: { uid: string; name: string }; meta: EventMeta },
): Promise<Change<void>> => {
  const told = new Set<string>()
  // Of one who is gone there is nothing left to say.
  if (facts.user(owner.uid))
    for (const id of ids) {
      const events = await unit.decide(UserModule.decider, `user-${owner.uid}`, { type: 'RevokeToken', id })
      if (events.length > 0) told.add(id)
    }
  const sessions = ids.filter((id) => !told.has(id))
  return {
    rows: async (transaction) => {
      await Tokens.destroy(transaction, ids)
    },
    audit: sessions.map((session) => auditAppend({ type: 'SessionEnded', data: { session }, meta, uid: owner.uid })),
    result: undefined,
  }
}
