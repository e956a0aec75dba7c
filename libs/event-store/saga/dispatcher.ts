import { withClient } from '@mcpctl/postgres/transaction'
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
  onParked: (message: SagaMessage<Output>, error: string) => void
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
  }

  rouse(): void {
    this.rouses++
    this.wake()
  }

  private async run() {
    while (!this.stopping) {
      const rouses = this.rouses
      // With the database away the follower's next beat is soon enough.
      const more = await withClient(this.options.pool, (tx) => this.step(tx)).catch(() => false)
      if (!more && rouses === this.rouses) await this.sleep()
    }
  }

  /** Until roused, and not for long while somebody else has a message that is due. */
  private async sleep(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.contended ? setTimeout(resolve, lookAgainMs) : undefined
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** One message in one transaction. True if there may be more. */
  private async step(tx: PoolClient): Promise<boolean> {
    await tx.query(`begin isolation level read committed; set local idle_in_transaction_session_timeout = '1s'`)
    const due = await takeDue<Output>(tx, this.options.saga)
    if (!due) {
      this.contended = await isSending(tx, this.options.saga)
      await tx.query('rollback')
      return false
    }
    const failure = await this.send(tx, due.message)
    if (failure) await this.failed(tx, due, failure.error)
    else await remove(tx, due.message.id)
    await tx.query('commit')
    return true
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

  private async failed(tx: PoolClient, { message, attempts }: Due<Output>, error: unknown) {
    const { maxAttempts, onParked } = this.options
    const away = isTransient(error)
    const retryMs = away ? awayRetryMs : Math.min(firstRetryMs * 2 ** attempts, slowestRetryMs)
    const parks = !away && attempts + 1 >= maxAttempts
    const text = textOf(error)
    await postpone(tx, { id: message.id, error: text, counts: !away, retryMs, parks })
    if (parks) onParked(message, text)
    else setTimeout(() => this.rouse(), retryMs).unref()
  }
}

const aborted = (signal: AbortSignal, timeoutMs: number): Promise<never> =>
  new Promise((_, reject) => {
    const late = () => reject(new Error(`not done within ${timeoutMs} ms`))
    signal.addEventListener('abort', late, { once: true })
  })
