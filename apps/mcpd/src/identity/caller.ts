import { Rights, type Identity } from '@mcpctl/access'
import { DomainError } from '@mcpctl/contracts'
import type { Asked } from '@mcpctl/resource'
import type { AuthenticatedRequest } from '../http/guards'
import type { Store } from '../store/store'

/** Who asks, with what he may do. */
export interface Caller {
  identity: Identity
  asked: Asked
  rights: Rights
}

/** Who asks, and what he may do. */
export const callerOf = async (request: AuthenticatedRequest, { directory }: Store): Promise<Caller> => {
  const { identity, asked } = request
  if (!identity || !asked) throw new Error('the route was reached without authentication')
  const own = await directory.rightsOf(identity.uid)
  return { identity, asked, rights: identity.scopes ? own.within(new Rights(identity.scopes)) : own }
}

/** Credentials are changed by their owner in person, with a token that may do all that he may. Throws Forbidden. */
export const requirePerson = ({ identity, asked }: Caller, what: string): void => {
  if (asked.meta.impersonator) throw new DomainError('Forbidden', `${what} is not possible for somebody else (--as)`)
  if (identity.scopes) throw new DomainError('Forbidden', `a token with a scope cannot be used for this: ${what}`)
}
