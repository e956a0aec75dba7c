import { DomainError, type ErrorCode } from '@mcpctl/contracts'
import { entryText } from './entry'
import { entryFor } from './explain'
import type { Ask } from './rights'

/** The refusal of what somebody asked for, in the same words whether the object exists or not. */
export const forbidden = (user: string, ask: Ask, code: ErrorCode = 'Forbidden'): DomainError => {
  const { kind, name } = ask
  return new DomainError(code, `${objectOf(ask)} is forbidden: User "${user}" cannot ${cannot(ask)}`, {
    ...(kind !== undefined && { kind }),
    ...(name !== undefined && { name }),
    // Without the owner: whether an instance exists must not show here either.
    asked: entryText(entryFor(ownerless(ask))),
  })
}

const objectOf = (ask: Ask): string => {
  if (ask.kind === undefined) return 'action' in ask ? `operation "${ask.action}"` : ''
  return ask.name === undefined ? ask.kind : `${ask.kind} "${ask.name}"`
}

const cannot = (ask: Ask): string => {
  const named = ask.name === undefined ? '' : ` named "${ask.name}"`
  if ('role' in ask) return `${ask.role} resource "${ask.kind}"${named}`
  return `do operation "${ask.action}"${ask.kind === undefined ? '' : ` on resource "${ask.kind}"${named}`}`
}

const ownerless = ({ owner: _, ...ask }: Ask): Ask => ask
