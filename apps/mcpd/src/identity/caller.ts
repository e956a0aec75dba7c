import type { Identity, Rights } from '@mcpctl/access'
import { DomainError } from '@mcpctl/contracts'
import type { Asked } from '@mcpctl/resource'
import type { AuthenticatedRequest } from '../http/guards'

/** Who asks, with what he may do. */
export interface Caller {
  identity: Identity
  asked: Asked
  rights: Rights
}

/** Who asks, and what he may do. */
export const callerOf = ({ identity, asked, rights }: AuthenticatedRequest): Caller => {
  if (!identity || !asked || !rights) throw new Error('the route was reached without authentication')
  return { identity, asked, rights }
}

/** Credentials are changed by their owner in person, with a token that may do all that he may. Throws Forbidden. */
export const requirePerson = ({ identity, asked }: Caller, what: string): void => {
  if (asked.meta.impersonator) throw new DomainError('Forbidden', `${what} is not possible for somebody else (--as)`)
  if (identity.scopes) throw new DomainError('Forbidden', `a token with a scope cannot be used for this: ${what}`)
}
