import { entryText, Rights, type RoleAsk } from '@mcpctl/access'
import { DomainError } from '@mcpctl/contracts'
import type { AuthenticatedRequest } from '../http/guards'
import type { Store } from '../store/store'

/** Who asks about rights: as whom he acts, and what he may do by that. */
export interface Asker {
  uid: string
  name: string
  rights: Rights
  /** What the token is narrowed to. */
  scopes?: readonly string[]
}

/** As whom somebody acts, and the rights that decide at the door: within the token's scope, those of whom he impersonates. */
export const askerOf = async (request: AuthenticatedRequest, { directory }: Store): Promise<Asker> => {
  const { identity } = request
  if (!identity) throw new Error('the route was reached without authentication')
  const { uid, name, scopes } = identity
  const own = await directory.rightsOf(uid)
  const rights = scopes ? own.within(new Rights(scopes)) : own
  return { uid, name, rights, ...(scopes && { scopes: scopes.map(entryText) }) }
}

/** Throws Forbidden, in the words of every refusal. */
export const refuseUnless = ({ name: user, rights }: Asker, ask: RoleAsk): void => {
  if (rights.allows(ask)) return
  const { role, kind, name } = ask
  const what = name === undefined ? kind : `${kind} "${name}"`
  const named = name === undefined ? '' : ` named "${name}"`
  throw new DomainError('Forbidden', `${what} is forbidden: User "${user}" cannot ${role} resource "${kind}"${named}`, {
    kind,
    ...(name !== undefined && { name }),
  })
}
