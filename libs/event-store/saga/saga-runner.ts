import { inTransaction } from '@mcpctl/postgres/transaction'
import type { Pool } from 'pg'
import { answered } from '../database-errors'
import type { EventCatalogue } from '../decide/catalogue'
import type { Follower } from '../follow/follower'
import { textOf, type Poison } from '../follow/parking'
import type { Projection } from '../follow/projection'
import { Projector, type ProjectorStatus } from '../follow/projector'
import type { PostgresEventLog } from '../postgres-event-log'
import type { EventMeta, ProjectedEvent } from '../types'
import { Dispatcher, type Dispatch } from './dispatcher'
import { handleEvents } from './handle-events'
import { instanceStream, sagaCategory, type Saga, type SagaMessage } from './saga'
import { enter, reset } from './standing'

const retryMs = 500

export interface SagaRunnerOptions<State, Output extends object> {
  saga: Saga<State, Output>
  /** Its connections act as `mcpd_app`. Two are used, and what `dispatch` needs must be to spare. */
  pool: Pool
  log: PostgresEventLog
  follower: Follower
  /** Sends a message, at least once, in order per instance, to a receiver that does nothing for an id that it has seen. A throw means: again, later. */
  dispatch: Dispatch<Output>
  /** Stands in the events that keep the saga's state. */
  actor: EventMeta['actor']
  /** Brings events into their current shape before the saga sees them. Without it they come as stored. */
  catalogue?: EventCatalogue
  /** What a saga that is new to the log does about what is in it already: `learn` from it without acting (the default), or `act`. */
  history?: 'learn' | 'act'
  /** How often a message is tried before it is parked, default 10, later and later over half a minute; Infinity for never. `Unavailable` does not count. */
  maxAttempts?: number
  /** How long a message may take before it counts as failed, default 30 s. It may still be done then: the same id is sent again. */
  dispatchTimeoutMs?: number
  /** Told of an event that `correlate`, `evolve` or `react` kept throwing at; see `Parked`. */
  onParkedEvent?: (poison: Poison) => void
  /** Told of a message that `dispatch` kept throwing at; see `Outbox`. */
  onParkedMessage?: (message: SagaMessage<Output>, error: string) => void
  /** Told of what keeps the saga from beginning or its messages from being sent, once until it is something else: for a log. */
  onError?: (error: string) => void
}

/**
 * Runs a saga, in any number of processes, of which one at a time acts; when it dies or freezes another one takes over within two seconds.
 *
 * State, outbox and checkpoint commit together, so each event is folded once. Outputs go out at least once with ids that depend on saga and
 * event alone. Nothing goes out for events up to live_from: those before a restore, a reset, or the saga's first start.
 * An event or a message that cannot be handled is retried and then parked with all later ones of its instance; other instances go on.
 */
export class SagaRunner<State, Output extends object> {
  /** For `Parked`: how events that the saga could not handle are handled after all. */
  readonly projection: Projection
  private readonly projector: Projector
  private readonly dispatcher: Dispatcher<Output>
  private readonly onError: (error: string) => void
  private entering: Promise<void> | undefined
  /** Why the saga could not even begin. */
  private refusal: string | undefined
  private stopping = false

  /** Throws when the saga's name or version will not do. */
  constructor(private readonly options: SagaRunnerOptions<State, Output>) {
    const { saga, pool, follower, maxAttempts = 10, dispatchTimeoutMs: timeoutMs = 30_000, onParkedEvent } = options
    if (!/^[A-Za-z0-9-]+$/.test(saga.name)) throw new Error(`"${saga.name}" is no name for a saga`)
    if (!Number.isSafeInteger(saga.version) || saga.version < 1) throw new Error('the version of a saga is 1 or more')
    const onParked = quiet(options.onParkedMessage)
    this.onError = quiet(options.onError)
    const { onError } = this
    this.dispatcher = new Dispatcher({
      pool,
      follower,
      saga,
      dispatch: options.dispatch,
      maxAttempts,
      timeoutMs,
      onParked,
      onError,
    })
    this.projection = {
      name: saga.name,
      fold: String(saga.version),
      ...(options.catalogue && { catalogue: options.catalogue }),
      queueOf: (event) => queueOf(saga, event),
      project: (tx, events) => handleEvents(options, tx, events),
    }
    this.projector = new Projector({
      ...this.projection,
      pool,
      follower,
      ...(onParkedEvent && { onParked: onParkedEvent }),
    })
  }

  /** Returns at once; the saga runs as soon as the database answers. */
  start(): void {
    if (this.entering) return
    this.stopping = false
    this.entering = this.enter()
  }

  /** Resolves when what is under way has been committed or taken back. */
  async stop(): Promise<void> {
    this.stopping = true
    await this.entering
    await Promise.all([this.projector.stop(), this.dispatcher.stop()])
    this.entering = undefined
  }

  /** True as soon as every event up to `position` is handled or parked, by whichever process; false after `timeoutMs`. What is to be sent is not waited for. */
  waitFor(position: bigint, timeoutMs: number): Promise<boolean> {
    return this.projector.waitFor(position, timeoutMs)
  }

  /**
   * `waiting` while a higher version of the saga runs elsewhere; `failing` also while nothing can be sent. `lastError` tells too why a message
   * was not taken, until one is.
   */
  status(): ProjectorStatus {
    const status = this.projector.status()
    if (this.refusal !== undefined) return { ...status, status: 'failing', lastError: this.refusal }
    const { trouble } = this.dispatcher
    if (!trouble || status.lastError !== undefined) return status
    return { ...status, ...(trouble.isFailing && { status: 'failing' }), lastError: trouble.error }
  }

  /**
   * Has the saga learn its state anew from the beginning of the log, without doing again what it has done. What is in the outbox is still
   * sent. Throws `Conflict` while events are parked, and when a higher version of the saga has taken over; `Unavailable`.
   */
  async reset(): Promise<void> {
    const { name, version } = this.options.saga
    await answered(
      `resetting saga "${name}"`,
      inTransaction(this.options.pool, (tx) => reset(tx, { saga: name, version })),
    )
  }

  private refuse(error: string) {
    if (error !== this.refusal) this.onError(error)
    this.refusal = error
  }

  private async enter() {
    const { pool, saga, history } = this.options
    while (!this.stopping) {
      try {
        await inTransaction(pool, (tx) => enter(tx, { saga: saga.name, version: saga.version }, history === 'act'))
        this.refusal = undefined
        this.projector.start()
        this.dispatcher.start()
        return
      } catch (error) {
        this.refuse(textOf(error))
        // The database is away, or events of the lower version are parked: those have to be dealt with first.
        await new Promise((resolve) => setTimeout(resolve, retryMs))
      }
    }
  }
}

/** Who listens is not part of this: what they throw stops nothing here. */
const quiet =
  <Told extends unknown[]>(tell: ((...told: Told) => void) | undefined) =>
  (...told: Told): void => {
    try {
      tell?.(...told)
    } catch {
      // Theirs to handle.
    }
  }

const queueOf = <State, Output extends object>(
  saga: Saga<State, Output>,
  event: ProjectedEvent,
): string | undefined => {
  // The stream of an instance has the name of its queue, and does not wait in it.
  if (event.category === sagaCategory) return ''
  try {
    const instance = saga.correlate(event)
    return instance === undefined ? undefined : instanceStream(saga.name, instance)
  } catch {
    // Handling the event throws as well and is what gets it parked.
    return undefined
  }
}
