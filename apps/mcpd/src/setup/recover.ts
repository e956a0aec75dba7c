import { DomainError } from '@mcpctl/contracts'
import { UserModule } from '@mcpctl/kinds/user/user.module'
import { CredentialChanges } from '../identity/credential-changes'
import type { Store } from '../store/store'
import { issueCode, type SetupCode } from './admin'
import { grantEverything, recoverMeta } from './administrators'

/**
 * The way back in for whoever has the database: enables the user, makes him a full administrator where he is none, and issues a code that sets his
 * password. All of it stands in the log as done by `system:recover`. Throws NotFound, Conflict for a service user.
 */
export const recover = async (store: Store, name: string): Promise<SetupCode> => {
  const changes = new CredentialChanges(store, false)
  const user = await changes.run({ meta: recoverMeta }, async ({ unit, facts }) => {
    const found = facts.user(facts.uidOf('User', name) ?? '')
    if (!found) throw new DomainError('NotFound', `there is no user "${name}"; ${known(facts.allUsers())}`)
    const { uid, type } = found
    if (type === 'service') throw new DomainError('Conflict', `user "${name}" is a service user, who cannot log in`)
    await unit.decide(UserModule.decider, `user-${uid}`, { type: 'Enable' })
    const enabled = facts.after([{ type: 'UserEnabled', data: {}, uid, position: 0n, at: '', by: '' }])
    if (!enabled.rightsOfUser(uid).isFullAdmin())
      await grantEverything(unit, `recovery-${uid.slice(-12)}-${Date.now().toString(36)}`, { kind: 'User', name, uid })
    return { result: found }
  })
  return issueCode(changes, user, recoverMeta)
}

const known = (users: readonly { name: string; type: string }[]): string => {
  const names = users.filter(({ type }) => type === 'human').map(({ name }) => name)
  return names.length === 0 ? 'there are none: start mcpd first' : `users are ${names.slice(0, 20).join(', ')}`
}
