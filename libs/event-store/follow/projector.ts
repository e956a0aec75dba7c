import { once } from 'node:events'
import { withClient } from '@mcpctl/postgres/transaction'
import type { Pool, PoolClient } from 'pg'
import type { ProjectedEvent } from '../types'
import { BatchApplier } from './batch-applier'
import * as checkpoints from './checkpoint'
import type { Checkpoint, Move } from './checkpoint'
import { coalesced } from './coalesced'
import type { Follower } from './follower'
import { textOf, type Model, type Poison } from './parking'
import { PositionWaiters } from './position-waiters'
import { foldsOf, type Projection } from './projection'
import { ReadAhead, type Batch } from './read-ahead'
import { StepLoop, type Next } from './step-loop'

const firstRetryMs = 50
// Well below what a write waits for its view.
const slowestRetryMs = 1_000
// A holder that froze loses the checkpoint after a second; nobody is told when it does.
const lookAgainMs = 250
const stopWithinMs = 5_000
/** How much later than PostgreSQL cancels a statement its silence means that it, or the line to it, is gone. */
const silenceMs = 2_000
const mebibyte = 1024 * 1024

export interface ProjectorOptions extends Projection {
  /** Its connections act as `mcpd_app`. One is used, and while there is much to catch up with another one, if the pool has it to spare. */
  pool: Pool
  follower: Follower
  /** Version of the model that is made when there is none yet, default 1. Which one is followed, the active row of es.checkpoint says. */
  modelVersion?: number
  /** Events per transaction at most, default 500. */
  batchSize?: number
  /** JSON per transaction at most, in bytes, default 1 MiB; a larger event comes alone. Two batches are in memory at a time. */
  batchBytes?: number
  /**
   * What a statement of `project` may take, default 10 s; half the events are tried after that, and an event that takes too long alone counts as one
   * that throws. A connection that does not answer two seconds later is thrown away, and so is what it has not committed.
   */
  statementTimeoutMs?: number
  /** How often a batch is tried before the event that it fails at is looked for, default 5. Trying while the database is away does not count. */
  maxAttempts?: number
  /**
   * What to do with that event. `park` (the default): set it and all later events of its stream aside, and go on with all other streams.
   * `stop`: apply nothing after it; the processor is `stopped` until it is started anew, or the event is retried or skipped.
   */
  onPoison?: 'park' | 'stop'
  /**
   * How many streams in a row, default 10, must fail with no event applied in between to be taken for a fault of `project` itself: the
   * processor is `failing` then, parks no more, and tries again until an event can be applied.
   */
  systemicAfter?: number
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
  private readonly applier: BatchApplier
  private readonly loop = new StepLoop(() => this.tryStep())
  /** Aborts what a stop has waited for long enough. */
  private ending = new AbortController()
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
  private readonly statementTimeoutMs: number
  private readonly answerWithinMs: number
  private readonly look = coalesced(() => this.readCheckpoint())

  constructor(private readonly options: ProjectorOptions) {
    const { pool, batchSize = 500, batchBytes = mebibyte, statementTimeoutMs = 10_000 } = options
    const { maxAttempts = 5, systemicAfter = 10, onPoison = 'park' } = options
    this.statementTimeoutMs = statementTimeoutMs
    this.answerWithinMs = statementTimeoutMs + silenceMs
    this.reader = new ReadAhead(pool, { bytes: batchBytes, answerWithinMs: this.answerWithinMs })
    this.applier = new BatchApplier({ projection: options, batchSize, maxAttempts, systemicAfter, onPoison })
  }

  /** Also lets a processor that had stopped at an event try that again. */
  start(): void {
    if (this.unsubscribe.length > 0) return
    const { follower, name } = this.options
    this.ending = new AbortController()
    this.resumes = true
    this.unsubscribe = [
      follower.onAdvance(() => this.loop.rouse()),
      follower.onCheckpoint(({ processor, modelVersion, position }) => {
        if (processor === name && this.isNews(modelVersion, position)) this.look()
      }),
    ]
    this.loop.start()
  }

  /** Resolves when the batch under way has been committed or taken back; one that takes longer than five seconds is taken back. */
  async stop(): Promise<void> {
    this.unsubscribe.forEach((unsubscribe) => unsubscribe())
    const { ending } = this
    const patience = setTimeout(() => ending.abort(), stopWithinMs)
    // A read without an answer holds nothing that anybody waits for.
    await Promise.race([this.ended(), once(ending.signal, 'abort')])
    clearTimeout(patience)
    this.unsubscribe = []
    this.waiters.giveUp()
  }

  private async ended() {
    await this.loop.stop()
    await this.reader.stop()
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
      status: this.loop.isRunning ? active : 'stopped',
      ...(this.lastError !== undefined && { lastError: this.lastError }),
    }
  }

  private isNews(modelVersion: number, position: bigint): boolean {
    return position > this.waiters.position || (this.modelVersion !== undefined && modelVersion !== this.modelVersion)
  }

  /** What a notification says, anybody who may connect can say: it is a reason to look, no more. */
  private async readCheckpoint() {
    const found = await this.lend((client) => checkpoints.readCheckpoint(client, this.options.name))
    if (!found) return
    this.waiters.reached(found.position)
    if (this.modelVersion === undefined || found.modelVersion === this.modelVersion) return
    // Another model is active now, perhaps one that has only begun: its checkpoint will tell.
    this.modelVersion = undefined
    this.cursor = undefined
    this.loop.rouse()
  }

  private lend<T>(use: (client: PoolClient) => Promise<T>): Promise<T> {
    return withClient(this.options.pool, use, { silentMs: this.answerWithinMs, signal: this.ending.signal })
  }

  private async tryStep(): Promise<Next> {
    const place: { move?: Move; attempts: number; batch?: Batch } = { attempts: 0 }
    try {
      // Read before the checkpoint is locked: a process that froze while it was being sent events would hold the lock for ever.
      if (this.cursor !== undefined) place.batch = await this.reader.take(this.cursor, this.applier.batchSize)
      const more =
        place.batch?.events.length === 0
          ? this.succeeded(place.batch.after, place.batch.more)
          : await this.lend((tx) => this.step(tx, place))
      if (more) return 'at once'
      return this.contended ? { withinMs: lookAgainMs } : 'when roused'
    } catch (error) {
      this.failures++
      this.idle = undefined
      this.lastError = textOf(error)
      const counts = this.applier.failed(error, place.batch?.events ?? [], place.attempts)
      if (place.move) await this.recordFailure(place.move, counts)
      return { afterMs: Math.min(firstRetryMs * 2 ** (this.failures - 1), slowestRetryMs) }
    }
  }

  /** One batch in one transaction. True if there may be more. `place` tells where it was when it throws. */
  private async step(tx: PoolClient, place: { move?: Move; attempts: number; batch?: Batch }): Promise<boolean> {
    const { name, queueOf } = this.options
    const owner = { processor: name, statementTimeoutMs: this.statementTimeoutMs, folds: foldsOf(this.options) }
    const checkpoint = await checkpoints.lockCheckpoint(tx, owner)
    this.contended = false
    if (!checkpoint) return this.lookElsewhere(tx)
    const { modelVersion, position, attempts } = checkpoint
    this.modelVersion = modelVersion
    place.move = { processor: name, modelVersion, position }
    place.attempts = attempts
    if (checkpoint.stopped) return this.stayOrResume(tx, checkpoint)
    this.resumes = false
    const { batch } = place
    if (batch?.after === position)
      return (await this.applyBatch(tx, { ...checkpoint, processor: name, queueOf }, batch.events)) && batch.more
    await tx.query('rollback')
    return this.succeeded(position, true)
  }

  /** Applies and commits. False when it stopped at an event. */
  private async applyBatch(tx: PoolClient, at: Checkpoint & Model, events: ProjectedEvent[]): Promise<boolean> {
    const { poisons, stops } = await this.applier.apply(tx, at, events)
    const [poison] = poisons
    if (stops && poison) return this.stopAt(tx, at, poison)
    const position = events.at(-1)?.position ?? at.position
    await checkpoints.commitAt(tx, { ...at, position })
    this.applier.committed()
    for (const each of poisons) this.options.onParked?.(each)
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

  private async stopAt(tx: PoolClient, at: Move, poison: Poison): Promise<false> {
    const { position, streamId, type } = poison.event
    const before = { ...at, position: position - 1n }
    const error = `stopped at position ${String(position)} (${type} in stream "${streamId}"): ${poison.error}`
    await checkpoints.commitStopped(tx, before, error)
    this.applier.committed()
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

  private async recordFailure(move: Move, counts: boolean) {
    try {
      const error = this.lastError ?? ''
      await this.lend((client) => checkpoints.recordFailure(client, move, { error, counts }))
    } catch {
      // The database may be what failed; `status` tells it in this process.
    }
  }
}
