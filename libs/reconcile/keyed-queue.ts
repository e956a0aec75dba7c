import { systemClock, type Clock } from './clock'

/** Thrown by work that trying again cannot help: the key rests until it is added again. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError'
}

export interface Failure {
  key: string
  error: unknown
  /** How often the key failed in a row, this time included. */
  failures: number
  /** Milliseconds until it is tried again; undefined when only a change helps. */
  retryIn: number | undefined
}

export interface KeyedQueueOptions {
  /** Makes one key right. A number asks to be called again after so many milliseconds; a throw is tried again with backoff. */
  work: (key: string) => Promise<number | undefined>
  /** Keys in work at the same time, at most. */
  workers: number
  /** Longest wait between two tries, in milliseconds; 30 s unless told. */
  maxDelay?: number
  onFailure?: (failure: Failure) => void
  clock?: Clock
}

const FIRST_DELAY_MS = 5
const JITTER = 0.1

/**
 * What to look at again, by key. Adding is cheap and says nothing about why: the work reads the whole state anyway.
 *
 * waiting: added, in order, each key once → working: one worker per key, `workers` in all.
 * Added while working: waits once more when the work ends, so that no change is missed.
 * Failed: retried after 5 ms, 10 ms, 20 ms … with jitter, counted until the work succeeds.
 * Retries and reminders share one timer per key: the earliest counts, since whatever runs then reads everything.
 */
export class KeyedQueue {
  private readonly waiting = new Set<string>()
  private readonly working = new Map<string, Promise<void>>()
  private readonly again = new Set<string>()
  private readonly timers = new Map<string, { due: number; cancel: () => void }>()
  private readonly failures = new Map<string, number>()
  /** Failures of what the work had only begun; the work's own success says nothing about those. */
  private readonly lateFailures = new Map<string, { count: number; at: number }>()
  private readonly clock: Clock
  private readonly maxDelay: number
  private stopped = false

  constructor(private readonly options: KeyedQueueOptions) {
    this.clock = options.clock ?? systemClock
    this.maxDelay = options.maxDelay ?? 30_000
  }

  /** Has the key worked on soon. Any number of times before that counts once; after stop() it is ignored. */
  add(key: string): void {
    if (this.stopped) return
    if (this.working.has(key)) this.again.add(key)
    else this.waiting.add(key)
    this.dispatch()
  }

  /** Has the key worked on after so many milliseconds, or earlier if it is due earlier for another reason. */
  addAfter(key: string, milliseconds: number): void {
    if (this.stopped) return
    const due = this.clock.now() + milliseconds
    const pending = this.timers.get(key)
    if (pending && pending.due <= due) return
    pending?.cancel()
    const cancel = this.clock.schedule(milliseconds, () => {
      this.timers.delete(key)
      this.add(key)
    })
    this.timers.set(key, { due, cancel })
  }

  /**
   * Something that the work had begun failed later: tried again with backoff, which starts over when the key stayed
   * free of such failures for twice the longest wait.
   */
  addFailed(key: string, error: unknown): void {
    const now = this.clock.now()
    const last = this.lateFailures.get(key)
    const count = last && now - last.at <= 2 * this.maxDelay ? last.count + 1 : 1
    this.lateFailures.set(key, { count, at: now })
    this.fail(key, error, count)
  }

  /** Drops what is known of a key that will not come back. Work under way ends as it may. */
  forget(key: string): void {
    this.waiting.delete(key)
    this.again.delete(key)
    this.failures.delete(key)
    this.lateFailures.delete(key)
    this.timers.get(key)?.cancel()
    this.timers.delete(key)
  }

  /** Takes no more work and resolves when none is under way. */
  async stop(): Promise<void> {
    this.stopped = true
    this.waiting.clear()
    this.again.clear()
    for (const { cancel } of this.timers.values()) cancel()
    this.timers.clear()
    await Promise.all(this.working.values())
  }

  private dispatch(): void {
    for (const key of this.waiting) {
      if (this.working.size >= this.options.workers) return
      this.waiting.delete(key)
      this.working.set(key, this.run(key))
    }
  }

  private async run(key: string): Promise<void> {
    // The caller of add() is not to run the work on its own stack, and the key must stand in `working` before it ends.
    await Promise.resolve()
    // What was added up to here is seen by this very run.
    this.again.delete(key)
    try {
      const after = await this.options.work(key)
      this.failures.delete(key)
      if (after !== undefined) this.addAfter(key, after)
    } catch (error) {
      const count = (this.failures.get(key) ?? 0) + 1
      this.failures.set(key, count)
      this.fail(key, error, count)
    }
    this.working.delete(key)
    if (this.again.delete(key)) this.waiting.add(key)
    if (!this.stopped) this.dispatch()
  }

  private fail(key: string, error: unknown, failures: number): void {
    const terminal = error instanceof TerminalError
    if (terminal) this.failures.delete(key)
    const retryIn = terminal ? undefined : this.delay(failures)
    if (retryIn !== undefined) this.addAfter(key, retryIn)
    this.options.onFailure?.({ key, error, failures, retryIn })
  }

  private delay(failures: number): number {
    const delay = Math.min(this.maxDelay, FIRST_DELAY_MS * 2 ** (failures - 1))
    return delay * (1 - JITTER + 2 * JITTER * this.clock.random())
  }
}
