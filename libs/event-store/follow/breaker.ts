import type { Poison } from './parking'

/**
 * Tells a fault of the projection from faults of events: when so many streams fail one after another and nothing is applied in between,
 * it is hardly the events, and no more of them are parked until something can be applied again.
 */
export class Breaker {
  private isOpen = false
  /** Streams that have failed since the last success, in transactions that were committed. */
  private failed = 0
  private failedNow = 0
  private hasSucceeded = false
  private last: Poison | undefined

  constructor(private readonly most: number) {}

  /** Begins to count for a transaction. An open breaker looks at its events as if nothing had failed yet. */
  begin(): void {
    this.failedNow = this.isOpen ? 0 : this.failed
    this.hasSucceeded = false
    this.last = undefined
  }

  applied(events: number): void {
    if (events === 0) return
    this.failedNow = 0
    this.hasSucceeded = true
  }

  /** Throws when it is one too many. */
  parking(poison: Poison): void {
    this.failedNow++
    this.last = poison
    if (this.failedNow >= this.most) this.open(poison)
  }

  /** Nothing is left to apply in this transaction. Throws while the breaker is open and nothing could be applied. */
  end(): void {
    if (this.isOpen && !this.hasSucceeded && this.last) this.open(this.last)
  }

  /** The transaction was committed. */
  committed(): void {
    this.failed = this.failedNow
    if (this.hasSucceeded) this.isOpen = false
  }

  private open({ event, error }: Poison): never {
    this.isOpen = true
    const place = `position ${String(event.position)} (${event.type} in stream "${event.streamId}")`
    throw new Error(
      `${this.most} streams in a row failed, which is hardly their fault; nothing is parked until one succeeds; the last failed at ${place}: ${error}`,
    )
  }
}
