import { forbidden, type AccessFacts, type Ask, type Identity, type Rights } from '@mcpctl/access'
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

/** What the caller may do as it follows from these facts: a right that was lost while he asked is lost. */
export const rightsNow = ({ asked, rights }: Caller, facts: AccessFacts): Rights => asked.rightsIn?.(facts) ?? rights

/** Throws Forbidden. */
export const demand = ({ identity }: Caller, rights: Rights, ask: Ask): void => {
  if (!rights.allows(ask)) throw forbidden(identity.name, ask)
}

/** Credentials are nobody's business but their owner's and his administrators': not to be looked at as somebody else. Throws Forbidden. */
export const refuseImpersonation = ({ asked }: Caller, what: string): void => {
  if (asked.meta.impersonator) throw new DomainError('Forbidden', `${what} is not possible as somebody else (--as)`)
}

/** Credentials are changed by their owner in person, with a token that may do all that he may. Throws Forbidden. */
export const requirePerson = (caller: Caller, what: string): void => {
  refuseImpersonation(caller, what)
  if (caller.identity.scopes)
    throw new DomainError('Forbidden', `a token with a scope cannot be used for this: ${what}`)
}
