import { inTransaction, withClient } from '@mcpctl/postgres/transaction'
import type { Pool, PoolClient } from 'pg'
import { isTransient } from '../database-errors'
import type { Follower } from '../follow/follower'
import { textOf } from '../follow/parking'
import { isSending, postpone, remove, takeDue, type Due, type Sender } from './outbox'
import type { SagaMessage } from './saga'

const firstRetryMs = 50
const slowestRetryMs = 30_000
const awayRetryMs = 1_000
// Three times within what an idle transaction may last.
const heartbeatMs = 300
// The line is dead when it has not answered so many beats.
const silentMs = 5_000
// Nobody is told when one that froze loses its transaction.
const lookAgainMs = 250

/** Has done what the message says when it resolves. `signal` aborts when the time is up. */
export type Dispatch<Output extends object> = (message: SagaMessage<Output>, signal: AbortSignal) => Promise<void>

export interface DispatcherOptions<Output extends object> {
  pool: Pool
  follower: Follower
  saga: Sender
  dispatch: Dispatch<Output>
  maxAttempts: number
  timeoutMs: number
  /** Told after the message was parked. Throws nothing. */
  onParked: (message: SagaMessage<Output>, error: string) => void
  /** Told when something goes wrong, once until something else does. Throws nothing. */
  onError: (error: string) => void
}

/**
 * Sends what is in a saga's outbox: what one instance says in order, each message until it was taken, at least once. A message is locked while it
 * is being sent, by a transaction that lives only as long as this process beats: when it dies or freezes, another one sends it again.
 */
export class Dispatcher<Output extends object> {
  private running: Promise<void> | undefined
  private stopping = false
  private rouses = 0
  private wake: () => void = () => {}
  private contended = false
  /** In a row, of steps that could not even say what is wrong with a message. */
  private failures = 0
  private stepError: string | undefined
  /** Why the last message that was tried was not taken. */
  private messageError: string | undefined
  private unsubscribe: () => void = () => {}

  constructor(private readonly options: DispatcherOptions<Output>) {}

  start(): void {
    if (this.running) return
    this.stopping = false
    this.unsubscribe = this.options.follower.onAdvance(() => this.rouse())
    this.running = this.run()
  }

  /** Resolves when the message under way was sent or given up for now. */
  async stop(): Promise<void> {
    this.stopping = true
    this.unsubscribe()
    this.rouse()
    await this.running
    this.running = undefined
    this.failures = 0
    this.stepError = undefined
    this.messageError = undefined
  }

  rouse(): void {
    this.rouses++
    this.wake()
  }

  /** What last went wrong, until something goes right. `isFailing`: nothing at all gets sent, and it is tried later and later. */
  get trouble(): { error: string; isFailing: boolean } | undefined {
    const error = this.stepError ?? this.messageError
    return error === undefined ? undefined : { error, isFailing: this.failures > 0 }
  }

  private async run() {
    while (!this.stopping) {
      const rouses = this.rouses
      const more = await this.tryStep()
      if (this.failures > 0) await this.sleep(Math.min(firstRetryMs * 2 ** this.failures, awayRetryMs))
      else if (!more && rouses === this.rouses) await this.sleep(this.contended ? lookAgainMs : undefined)
    }
  }

  /** Until roused, and not for longer than `ms`; a failing one is roused by `stop` alone. */
  private async sleep(ms: number | undefined): Promise<void> {
    if (this.stopping) return
    await new Promise<void>((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms)
      this.wake = () => {
        if (this.failures > 0 && !this.stopping) return
        clearTimeout(timer)
        resolve()
      }
    })
  }

  private async tryStep(): Promise<boolean> {
    try {
      const more = await this.step()
      this.failures = 0
      this.stepError = undefined
      return more
    } catch (error) {
      this.failures++
      this.tell(error, this.stepError)
      this.stepError = textOf(error)
      return false
    }
  }

  /** One message. True if there may be more. */
  private async step(): Promise<boolean> {
    const place: { due?: Due<Output> } = {}
    try {
      return await withClient(this.options.pool, (tx) => this.sendNext(tx, place), { silentMs })
    } catch (error) {
      if (!place.due || isTransient(error)) throw error
      // It can be sent and not be marked as sent, or the like: a fault like any other, or it would be sent for ever.
      await this.fail(place.due, error)
      return true
    }
  }

  /** In one transaction, which holds the message while it is sent. */
  private async sendNext(tx: PoolClient, place: { due?: Due<Output> }): Promise<boolean> {
    await tx.query(`begin isolation level read committed; set local idle_in_transaction_session_timeout = '1s'`)
    const due = await takeDue<Output>(tx, this.options.saga)
    if (!due) {
      this.contended = await isSending(tx, this.options.saga)
      await tx.query('rollback')
      return false
    }
    place.due = due
    const failure = await this.send(tx, due.message)
    const told = failure ? await this.postponed(tx, due, failure.error) : await this.sent(tx, due)
    await tx.query('commit')
    told()
    return true
  }

  private async sent(tx: PoolClient, { message }: Due<Output>): Promise<() => void> {
    await remove(tx, message.id)
    return () => (this.messageError = undefined)
  }

  private async fail(due: Due<Output>, error: unknown): Promise<void> {
    const told = await inTransaction(this.options.pool, async (tx) => {
      // Somebody else may have it by now.
      await tx.query(`set local lock_timeout = '1s'`)
      return this.postponed(tx, due, error)
    })
    told()
  }

  private async send(tx: PoolClient, message: SagaMessage<Output>): Promise<{ error: unknown } | undefined> {
    const { dispatch, timeoutMs } = this.options
    const signal = AbortSignal.timeout(timeoutMs)
    let beat: Promise<unknown> = Promise.resolve()
    const heart = setInterval(() => {
      beat = beat.then(() => tx.query('select')).catch(() => {})
    }, heartbeatMs)
    try {
      await Promise.race([dispatch(message, signal), aborted(signal, timeoutMs)])
      return undefined
    } catch (error) {
      return { error }
    } finally {
      clearInterval(heart)
      await beat
    }
  }

  /** What is to be told once this has committed. */
  private async postponed(tx: PoolClient, { message, attempts }: Due<Output>, error: unknown): Promise<() => void> {
    const { maxAttempts, onParked } = this.options
    const away = isTransient(error)
    const retryMs = away ? awayRetryMs : Math.min(firstRetryMs * 2 ** attempts, slowestRetryMs)
    const parks = !away && attempts + 1 >= maxAttempts
    await postpone(tx, { id: message.id, error: textOf(error), counts: !away, retryMs, parks })
    return () => {
      this.tell(error, this.messageError)
      this.messageError = textOf(error)
      if (parks) onParked(message, textOf(error))
      else setTimeout(() => this.rouse(), retryMs).unref()
    }
  }

  private tell(error: unknown, before: string | undefined): void {
    const text = textOf(error)
    if (text !== before) this.options.onError(text)
  }
}

const aborted = (signal: AbortSignal, timeoutMs: number): Promise<never> =>
  new Promise((_, reject) => {
    const late = () => reject(new Error(`not done within ${timeoutMs} ms`))
    signal.addEventListener('abort', late, { once: true })
  })
