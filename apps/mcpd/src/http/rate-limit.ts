import { DomainError } from '@mcpctl/contracts'
import type { Rate } from '../limits'

const MOST_REMEMBERED = 100_000

/** A leaky bucket for everybody who asks: the generic cell rate algorithm, which remembers one instant of each. In this process only. */
export class RateLimit {
  /** When the bucket of each will be full again, in seconds of the clock. */
  private readonly fullAt = new Map<string, number>()

  /** `clock`: milliseconds that never run backwards. */
  constructor(
    private readonly rate: Rate,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Counts one more. Throws TooManyRequests with the seconds to wait; what is refused does not count. */
  take(key: string): void {
    const { perSecond, burst } = this.rate
    if (perSecond === 0) return
    const now = this.clock() / 1000
    const fullAt = Math.max(this.fullAt.get(key) ?? 0, now) + 1 / perSecond
    // A thousandth of a request is forgiven to the arithmetic.
    const wait = fullAt - now - (burst + 0.001) / perSecond
    if (wait > 0) throw refusal(perSecond, Math.ceil(wait))
    if (this.fullAt.size >= MOST_REMEMBERED && !this.fullAt.has(key)) this.forget(now)
    this.fullAt.set(key, fullAt)
  }

  /** A bucket that is full tells nothing. Where they are too many all the same, everybody begins anew. */
  private forget(now: number): void {
    for (const [key, fullAt] of this.fullAt) if (fullAt <= now) this.fullAt.delete(key)
    if (this.fullAt.size >= MOST_REMEMBERED) this.fullAt.clear()
  }
}

const refusal = (perSecond: number, retryAfter: number): DomainError =>
  new DomainError(
    'TooManyRequests',
    `more than ${String(perSecond)} requests a second; try again in ${String(retryAfter)} s`,
    { retryAfter },
  )
