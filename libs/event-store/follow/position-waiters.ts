interface Waiter {
  position: bigint
  settle(reached: boolean): void
}

/** Those who wait for a position that only grows. */
export class PositionWaiters {
  private readonly waiters = new Set<Waiter>()
  private known = 0n

  /** The highest position that was reached. */
  get position(): bigint {
    return this.known
  }

  reached(position: bigint): void {
    if (position <= this.known) return
    this.known = position
    for (const waiter of this.waiters) if (waiter.position <= position) waiter.settle(true)
  }

  /** True once `position` is reached; false after `timeoutMs`. */
  wait(position: bigint, timeoutMs: number): Promise<boolean> {
    if (position <= this.known) return Promise.resolve(true)
    return new Promise((resolve) => {
      const settle = (reached: boolean) => {
        clearTimeout(timer)
        this.waiters.delete(waiter)
        resolve(reached)
      }
      const timer = setTimeout(() => settle(false), timeoutMs)
      const waiter: Waiter = { position, settle }
      this.waiters.add(waiter)
    })
  }

  /** Answers everybody who still waits with false. */
  giveUp(): void {
    for (const waiter of this.waiters) waiter.settle(false)
  }
}
