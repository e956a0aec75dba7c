import { DomainError, type ErrorCode } from '@mcpctl/contracts'
import { entryText } from './entry'
import { entryFor } from './explain'
import type { Ask } from './rights'

/** The refusal of what somebody asked for, in the same words whether the object exists or not. */
export const forbidden = (user: string, ask: Ask, code: ErrorCode = 'Forbidden'): DomainError => {
  const { kind, name } = ask
  const object = kind === undefined ? '' : name === undefined ? kind : `${kind} "${name}"`
  const named = name === undefined ? '' : ` named "${name}"`
  const where = kind === undefined ? '' : ` on resource "${kind}"${named}`
  const cannot = 'role' in ask ? `${ask.role} resource "${ask.kind}"${named}` : `do operation "${ask.action}"${where}`
  const what = object === '' && 'action' in ask ? `operation "${ask.action}"` : object
  return new DomainError(code, `${what} is forbidden: User "${user}" cannot ${cannot}`, {
    ...(kind !== undefined && { kind }),
    ...(name !== undefined && { name }),
    // Without the owner: whether an instance exists must not show here either.
    asked: entryText(entryFor(ownerless(ask))),
  })
}

const ownerless = ({ owner: _, ...ask }: Ask): Ask => ask
