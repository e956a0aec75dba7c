import { withClient } from '@mcpctl/postgres/transaction'
import type { Pool, PoolClient } from 'pg'
import { isTransient } from '../database-errors'
import type { ProjectedEvent } from '../types'
import * as checkpoints from './checkpoint'
import type { Checkpoint, Move } from './checkpoint'
import type { Follower } from './follower'
import { applyAndPark, applyUntilPoison, park, parkBehind, sortOut, textOf, type Model, type Poison } from './parking'
import { PositionWaiters } from './position-waiters'
import { apply, foldsOf, type Projection } from './projection'
import { ReadAhead, type Batch } from './read-ahead'

const firstRetryMs = 50
// Well below what a write waits for its view.
const slowestRetryMs = 1_000
// A holder that froze loses the checkpoint after a second; nobody is told when it does.
const lookAgainMs = 250
const mebibyte = 1024 * 1024

export interface ProjectorOptions extends Projection {
  /** Its connections act as `mcpd_app`. One is used, and while there is much to catch up with another one, if the pool has it to spare. */
  pool: Pool
  follower: Follower
  /** Version of the model that is made when there is none yet, default 1. Which one is followed, the active row of es.checkpoint says. */
  modelVersion?: number
  /** Events per transaction at most, default 500. */
  batchSize?: number
  /** JSON per transaction at most, in bytes, default 2 MiB; a larger event comes alone. Two batches are in memory at a time. */
  batchBytes?: number
  /** How often a batch is tried before the event that it fails at is looked for, default 5. Trying while the database is away does not count. */
  maxAttempts?: number
  /**
   * What to do with that event. `park` (the default): set it and all later events of its stream aside, and go on with all other streams.
   * `stop`: apply nothing after it; the processor is `stopped` until it is started anew, or the event is retried or skipped.
   */
  onPoison?: 'park' | 'stop'
  /** Told after the event was set aside, for a log. */
  onParked?: (poison: Poison) => void
}

export interface ProjectorStatus {
  name: string
  /** The last position known to be applied, parked or skipped, by this process or another. */
  position: bigint
  /**
   * `failing`: what threw is tried again, later and later. `stopped`: by `stop`, or at an event that must not be passed.
   * `waiting`: other code folds the active model; its positions are still told.
   */
  status: 'running' | 'failing' | 'waiting' | 'stopped'
  lastError?: string
}

/**
 * Feeds every event to `project`, in order and exactly once: the events' effects and the checkpoint commit together, and the
 * checkpoint's row lock lets one process at a time do so. A throw takes the batch back; it is tried again, later and later, and an
 * event that keeps throwing is dealt with by `onPoison`. Goes on in whatever version of the model is active, also when that changes.
 */
export class Projector {
  private readonly waiters = new PositionWaiters()
  private readonly reader: ReadAhead
  private running: Promise<void> | undefined
  private stopping = false
  private rouses = 0
  private wake: () => void = () => {}
  private failures = 0
  private lastError: string | undefined
  private idle: 'waiting' | 'stopped' | undefined
  /** Another process held the checkpoint when this one looked. */
  private contended = false
  /** Where the next batch begins, as far as this process knows; undefined until it has held the checkpoint. */
  private cursor: bigint | undefined
  /** The one that was active when the checkpoint was last locked. */
  private modelVersion: number | undefined
  /** Where a stopped processor is let go on once, by this start. */
  private resumes = false
  private unsubscribe: (() => void)[] = []
  private readonly maxAttempts: number

  constructor(private readonly options: ProjectorOptions) {
    const { pool, batchSize = 500, batchBytes = 2 * mebibyte, maxAttempts = 5 } = options
    this.maxAttempts = maxAttempts
    this.reader = new ReadAhead(pool, { events: batchSize, bytes: batchBytes })
  }

  /** Also lets a processor that had stopped at an event try that again. */
  start(): void {
    if (this.running) return
    const { follower, name } = this.options
    this.stopping = false
    this.resumes = true
    this.unsubscribe = [
      follower.onAdvance(() => this.rouse()),
      follower.onCheckpoint(({ processor, modelVersion, position }) => {
        if (processor === name) this.moved(modelVersion, position)
      }),
    ]
    this.running = this.run()
  }

  /** Resolves when the batch under way has been committed or taken back. */
  async stop(): Promise<void> {
    this.stopping = true
    this.unsubscribe.forEach((unsubscribe) => unsubscribe())
    this.rouse()
    await this.running
    await this.reader.stop()
    this.running = undefined
    this.waiters.giveUp()
  }

  /** True as soon as everything up to `position` is applied, parked or skipped, by whichever process; false after `timeoutMs`. */
  waitFor(position: bigint, timeoutMs: number): Promise<boolean> {
    return this.waiters.wait(position, timeoutMs)
  }

  status(): ProjectorStatus {
    const active = this.idle ?? (this.failures > 0 ? 'failing' : 'running')
    return {
      name: this.options.name,
      position: this.waiters.position,
      status: this.running && !this.stopping ? active : 'stopped',
      ...(this.lastError !== undefined && { lastError: this.lastError }),
    }
  }

  private moved(modelVersion: number, position: bigint) {
    this.waiters.reached(position)
    if (this.modelVersion === undefined || modelVersion === this.modelVersion) return
    // Another model is active now, perhaps one that has only begun: its checkpoint will tell.
    this.modelVersion = undefined
    this.cursor = undefined
    this.rouse()
  }

  private rouse() {
    this.rouses++
    this.wake()
  }

  private async run() {
    while (!this.stopping) {
      const rouses = this.rouses
      const more = await this.tryStep()
      if (this.failures > 0) await this.pause(Math.min(firstRetryMs * 2 ** (this.failures - 1), slowestRetryMs))
      // Roused while the step ran: the step may have read too early.
      else if (!more && rouses === this.rouses) await this.sleep()
    }
  }

  /** Until roused, and not for long while another process holds the checkpoint. */
  private async sleep(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.contended ? setTimeout(resolve, lookAgainMs) : undefined
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** For so long, unless stopped before; news do not make a failing projector hurry. */
  private async pause(ms: number): Promise<void> {
    if (this.stopping) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.wake = () => {
        if (!this.stopping) return
        clearTimeout(timer)
        resolve()
      }
    })
  }

  private async tryStep(): Promise<boolean> {
    const place: { move?: Move } = {}
    try {
      // Read before the checkpoint is locked: a process that froze while it was being sent events would hold the lock for ever.
      const batch = this.cursor === undefined ? undefined : await this.reader.take(this.cursor)
      if (batch?.events.length === 0) return this.succeeded(batch.after, batch.more)
      return await withClient(this.options.pool, (tx) => this.step(tx, { batch, place }))
    } catch (error) {
      this.failures++
      this.idle = undefined
      this.lastError = textOf(error)
      await this.recordFailure(place.move, error)
      return false
    }
  }

  /** One batch in one transaction. True if there may be more. `place` tells where it was when it throws. */
  private async step(
    tx: PoolClient,
    { batch, place }: { batch: Batch | undefined; place: { move?: Move } },
  ): Promise<boolean> {
    const { name, queueOf } = this.options
    const checkpoint = await checkpoints.lockCheckpoint(tx, { processor: name, folds: foldsOf(this.options) })
    this.contended = false
    if (!checkpoint) return this.lookElsewhere(tx)
    const { modelVersion, position } = checkpoint
    this.modelVersion = modelVersion
    place.move = { processor: name, modelVersion, position }
    if (checkpoint.stopped) return this.stayOrResume(tx, checkpoint)
    this.resumes = false
    if (batch?.after === position)
      return (await this.applyBatch(tx, { ...checkpoint, processor: name, queueOf }, batch.events)) && batch.more
    await tx.query('rollback')
    return this.succeeded(position, true)
  }

  /** Applies and commits. False when it stopped at an event. */
  private async applyBatch(tx: PoolClient, at: Checkpoint & Model, events: ProjectedEvent[]): Promise<boolean> {
    const { ready, waiting } = at.parks ? await sortOut(tx, at, events) : { ready: events, waiting: [] }
    let poisons: Poison[] = []
    if (at.attempts < this.maxAttempts) await apply(this.options, tx, ready)
    else if (this.options.onPoison !== 'stop')
      poisons = await applyAndPark(this.options, tx, { model: at, events: ready })
    else {
      const { applied, error } = await applyUntilPoison(this.options, tx, ready)
      const event = ready[applied]
      if (event && error !== undefined) return this.stopAt(tx, at, { waiting, poison: { event, error } })
    }
    await parkBehind(tx, at, waiting)
    const position = events.at(-1)?.position ?? at.position
    await checkpoints.commitAt(tx, { ...at, position })
    for (const poison of poisons) this.options.onParked?.(poison)
    return this.succeeded(position, true)
  }

  private succeeded<T>(position: bigint, answer: T): T {
    this.failures = 0
    this.lastError = undefined
    this.idle = undefined
    this.cursor = position
    this.waiters.reached(position)
    return answer
  }

  /** There is nothing to do for this process until something changes in the database. */
  private rest(why: 'waiting' | 'stopped', position: bigint, error: string): false {
    this.failures = 0
    this.idle = why
    this.lastError = error
    this.cursor = undefined
    this.waiters.reached(position)
    return false
  }

  private async stopAt(
    tx: PoolClient,
    at: Move,
    { waiting, poison }: { waiting: ProjectedEvent[]; poison: Poison },
  ): Promise<false> {
    const { position, streamId, type } = poison.event
    const before = { ...at, position: position - 1n }
    const error = `stopped at position ${String(position)} (${type} in stream "${streamId}"): ${poison.error}`
    await parkBehind(
      tx,
      at,
      waiting.filter((event) => event.position < position),
    )
    await park(tx, at, [poison])
    await checkpoints.commitStopped(tx, before, error)
    this.options.onParked?.(poison)
    return this.rest('stopped', before.position, error)
  }

  /** A processor that has stopped at an event goes on when somebody lets it; a start does so once. */
  private async stayOrResume(tx: PoolClient, { modelVersion, position, lastError }: Checkpoint): Promise<boolean> {
    const resumed = this.resumes
    this.resumes = false
    if (resumed) await checkpoints.resume(tx, { processor: this.options.name, modelVersion, position })
    await tx.query('commit')
    return resumed || this.rest('stopped', position, lastError)
  }

  /** Another process holds the checkpoint, other code folds the model, or there is none yet. */
  private async lookElsewhere(tx: PoolClient): Promise<boolean> {
    const { name, modelVersion = 1, fold = '' } = this.options
    const found = await checkpoints.findCheckpoint(tx, { processor: name, modelVersion, fold })
    if (!found) return false
    this.contended = foldsOf(this.options).includes(found.fold)
    if (!this.contended)
      return this.rest('waiting', found.position, `the active model was folded by other code ("${found.fold}")`)
    this.succeeded(found.position, undefined)
    // Who applies the events needs them; who looks on does not read them.
    this.cursor = undefined
    return found.created
  }

  private async recordFailure(move: Move | undefined, error: unknown) {
    if (!move) return
    try {
      await checkpoints.recordFailure(this.options.pool, move, { error: textOf(error), counts: !isTransient(error) })
    } catch {
      // The database may be what failed; `status` tells it in this process.
    }
  }
}
