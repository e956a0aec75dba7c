import { DomainError } from '@mcpctl/contracts'
import type { Verdict } from '../types'

/** Thrown inside a unit of work whose facts were overtaken; the request is decided again on fresh ones. */
export class Overtaken extends Error {
  override readonly name = 'Overtaken'
}

/** What the log answered, if it took the request. Throws Overtaken when it must be decided again, and what nobody can go on from. */
export const accepted = (verdict: Verdict): Verdict & { status: 'ok' | 'duplicate' } => {
  switch (verdict.status) {
    case 'ok':
    case 'duplicate':
      return verdict
    case 'conflict':
      throw new Overtaken(`stream ${verdict.streamId} is at version ${String(verdict.actual)}`)
    case 'claim-taken':
      throw new Overtaken(`${verdict.scope} "${verdict.key}" is held by ${verdict.owner}`)
    case 'condition-failed':
      throw new Overtaken(`position ${String(verdict.position)} broke the append condition`)
    case 'fenced':
      throw new DomainError('Unavailable', `another daemon leads now (term ${String(verdict.term)})`, { retryAfter: 1 })
    case 'command-mismatch':
      throw new DomainError('IdempotencyKeyReused', 'this idempotency key was used for another request; send a new key')
  }
}
