import { entryText, forbidden, type Ask, type Rights } from '@mcpctl/access'
import type { AuthenticatedRequest } from '../http/guards'

/** Who asks about rights: as whom he acts, and what he may do by that. */
export interface Asker {
  uid: string
  name: string
  rights: Rights
  /** What the token is narrowed to. */
  scopes?: readonly string[]
}

/** As whom somebody acts, and the rights that decide at the door: within the token's scope, those of whom he impersonates. */
export const askerOf = ({ identity, subject, rights }: AuthenticatedRequest): Asker => {
  if (!identity || !subject || !rights) throw new Error('the route was reached without authentication')
  const { scopes } = identity
  return { ...subject, rights, ...(scopes && { scopes: scopes.map(entryText) }) }
}

/** Throws Forbidden, in the words of every refusal. */
export const refuseUnless = ({ name, rights }: Asker, ask: Ask): void => {
  if (!rights.allows(ask)) throw forbidden(name, ask)
}
