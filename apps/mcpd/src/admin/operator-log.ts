import { DomainError } from '@mcpctl/contracts'
import {
  schemaVersionOf,
  type EventTypes,
  type JsonObject,
  type NewEvent,
  type PostgresEventLog,
} from '@mcpctl/event-store'
import type { Asked } from '@mcpctl/resource'
import type { PoolClient } from 'pg'
import { v7 as uuidv7 } from 'uuid'

/** What was done to something, and what is answered when the same request comes again. */
export type Act<Event extends OperatorEvent, R extends JsonObject> = Event & {
  /** What it was done to: names the stream. */
  to: string
  answer: R
}

interface OperatorEvent {
  type: string
  data: JsonObject
}

/** Records what operators do in the transaction in which it is done, so that neither is there without the other. */
export class OperatorLog<Event extends OperatorEvent> {
  constructor(
    private readonly log: Pick<PostgresEventLog, 'appendWithin' | 'command'>,
    private readonly events: EventTypes<Event['type']>,
  ) {}

  /**
   * Runs `act`, unless the same request was answered before: then its answer comes again. Throws BadRequest for a dry run,
   * IdempotencyKeyReused for another request under the same key, and what `act` throws.
   */
  async once<R extends JsonObject>(asked: Asked, act: () => Promise<R>): Promise<R> {
    if (asked.dryRun) throw new DomainError('BadRequest', 'dryRun is not supported here; send the request without it')
    const before = await this.answered<R>(asked)
    if (before) return before
    try {
      return await act()
    } catch (error) {
      // Its twin may have been faster; what that one has done is no reason to refuse this one.
      const meanwhile = error instanceof DomainError ? await this.answered<R>(asked) : undefined
      if (meanwhile) return meanwhile
      throw error
    }
  }

  /** Appends the event and keeps the answer, as the last statement of the transaction. Throws when that is refused; the caller takes all of it back. */
  async record<R extends JsonObject>(tx: PoolClient, asked: Asked, act: Act<Event, R>): Promise<R> {
    const { to, type, data, answer } = act
    const meta = { ...asked.meta, ...(asked.command && { commandId: asked.command.id }) }
    const event: NewEvent = { id: uuidv7(), type, schemaVersion: schemaVersionOf(this.events, type), data, meta }
    const { category } = this.events
    const verdict = await this.log.appendWithin(tx, {
      streams: [{ streamId: `${category}-${to}`, category, expected: 'any', events: [event] }],
      ...(asked.command && { command: { ...asked.command, result: answer } }),
    })
    if (verdict.status === 'ok') return answer
    throw new DomainError('Conflict', `the same request is being answered (${verdict.status}); try again`)
  }

  private async answered<R extends JsonObject>({ command }: Asked): Promise<R | undefined> {
    const stored = command && (await this.log.command(command.id))
    if (!stored) return undefined
    if (stored.requestHash !== command.requestHash)
      throw new DomainError('IdempotencyKeyReused', 'this idempotency key was used for another request; send a new key')
    return stored.result as R
  }
}

/** Nothing is told in a body here; what somebody says there must not be lost unseen. Throws BadRequest. */
export const refuseBody = (body: unknown): void => {
  if (body === undefined || JSON.stringify(body) === '{}') return
  throw new DomainError('BadRequest', 'this request takes no body; send a reason in the header X-Mcpctl-Reason')
}
