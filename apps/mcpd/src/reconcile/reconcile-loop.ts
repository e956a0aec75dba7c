import type { Follower, PostgresEventLog, Projector } from '@mcpctl/event-store'
import { KeyedQueue, type Reconciler, type Term } from '@mcpctl/reconcile'
import type { Logger } from 'pino'

const RESYNC_MS = 60_000
/** What nobody wants is removed when it is still there at the next sweep. */
const SWEEP_MS = 10_000
const WORKERS = 8
const BATCH = 500
const VISIBLE_WITHIN_MS = 10_000

export interface LoopDependencies {
  log: PostgresEventLog
  follower: Follower
  projector: Projector
  logger: Logger
}

/** What the leader does while it leads: follow the log, keep a queue of keys, sweep, and look at everything once a minute. */
export class ReconcileLoop {
  private readonly queue: KeyedQueue
  private readonly timers: NodeJS.Timeout[] = []
  private readonly unsubscribe: () => void
  private cursor: bigint | undefined
  private following = false
  private dirty = false
  private found: ReadonlySet<string> = new Set()
  private stopped = false

  constructor(
    private readonly reconciler: Reconciler,
    private readonly term: Term,
    private readonly dependencies: LoopDependencies,
  ) {
    this.queue = new KeyedQueue({
      workers: WORKERS,
      work: (key) => reconciler.reconcile(key, term),
      onFailure: ({ key, error, retryIn }) => {
        dependencies.logger.warn({ key, error, retryIn }, 'a reconcile failed')
      },
    })
    reconciler.onWake((key, error) => {
      this.wake(key, error)
    })
    this.unsubscribe = dependencies.follower.onAdvance(() => void this.follow())
    this.every(RESYNC_MS, () => this.resync())
    this.every(SWEEP_MS, () => this.sweep())
    // Should a notification be lost, or the views have been too far behind for one.
    this.every(SWEEP_MS, () => this.follow())
    // The place in the log is taken before everything is looked at, so that no event falls between the two.
    void this.follow().then(() => this.resync())
  }

  /** Takes up no more work and waits for what is under way. */
  async stop(): Promise<void> {
    this.stopped = true
    this.unsubscribe()
    this.timers.forEach((timer) => clearInterval(timer))
    await this.queue.stop()
    await this.reconciler.idle()
  }

  private every(ms: number, act: () => Promise<void>): void {
    this.timers.push(setInterval(() => void act(), ms))
  }

  private wake(key: string, error: unknown): void {
    if (this.stopped) return
    if (error === undefined) this.queue.add(key)
    else this.queue.addFailed(key, error)
  }

  private async resync(): Promise<void> {
    const { log, projector } = this.dependencies
    await this.quietly('list the servers', async () => {
      // What happened before our place in the log is seen here or nowhere, so the views must have come that far.
      await projector.waitFor(await log.head(), VISIBLE_WITHIN_MS)
      for (const key of await this.reconciler.keys()) this.queue.add(key)
    })
  }

  private async sweep(): Promise<void> {
    await this.quietly('sweep', async () => {
      this.found = await this.reconciler.sweep(this.term, this.found)
    })
  }

  /** Reads what is new in the log and queues the keys concerned; one reader at a time. */
  private async follow(): Promise<void> {
    this.dirty = true
    if (this.following) return
    this.following = true
    await this.quietly('follow the log', async () => {
      while (this.dirty && !this.stopped) {
        this.dirty = false
        await this.readOn()
      }
    })
    this.following = false
  }

  private async readOn(): Promise<void> {
    const { log, projector } = this.dependencies
    this.cursor ??= await log.head()
    for (;;) {
      const events = await log.read(this.cursor, BATCH)
      const last = events.at(-1)?.position
      // A reconcile reads the views: looked at before they show the event, the object would seem not to exist.
      if (last === undefined || !(await projector.waitFor(last, VISIBLE_WITHIN_MS))) return
      for (const event of events) {
        for (const key of await this.reconciler.keysOf(event)) this.queue.add(key)
      }
      this.cursor = last
      if (events.length < BATCH) return
    }
  }

  /** The database may be away for a moment; the next round reads everything again. */
  private async quietly(what: string, act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      this.dependencies.logger.warn({ error }, `could not ${what}; it will be tried again`)
    }
  }
}
