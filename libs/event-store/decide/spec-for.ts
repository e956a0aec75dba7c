import assert from 'node:assert/strict'
import { DomainError } from '@mcpctl/contracts'
import type { ErrorCode } from '@mcpctl/contracts'
import type { Decider, DomainEvent } from '../types'

/** A decider's rules as sentences: given(...past).when(command).then(...events) | .thenNothing() | .thenRefuses(code). */
export const specFor =
  <State, Command, Event extends DomainEvent>(decider: Decider<State, Command, Event>) =>
  (...past: Event[]) => ({
    when: (command: Command) => {
      const decide = () =>
        decider.decide(
          command,
          past.reduce((state, event) => decider.evolve(state, event), decider.initial),
        )
      return {
        then: (...events: Event[]) => assert.deepEqual(decide(), events),
        thenNothing: () => assert.deepEqual(decide(), []),
        thenRefuses: (code: ErrorCode, message?: RegExp) =>
          assert.throws(decide, (error: unknown) => {
            assert.ok(error instanceof DomainError, `expected a refusal, got ${String(error)}`)
            assert.equal(error.code, code)
            if (message) assert.match(error.message, message)
            return true
          }),
      }
    },
  })
