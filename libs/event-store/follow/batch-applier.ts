import type { PoolClient } from 'pg'
import { isTransient } from '../database-errors'
import type { ProjectedEvent } from '../types'
import { Breaker } from './breaker'
import type { Checkpoint } from './checkpoint'
import { applyAndPark, applyUntilPoison, knownOf, parkBehind, park, sortOut, textOf, tookTooLong } from './parking'
import type { Model, Poison } from './parking'
import { apply, type Projection } from './projection'

export interface ApplierOptions {
  projection: Projection
  batchSize: number
  maxAttempts: number
  systemicAfter: number
  onPoison: 'park' | 'stop'
}

export interface Applied {
  /** Set aside in this transaction. */
  poisons: Poison[]
  /** The last one of them must not be passed. */
  stops: boolean
}

/** Applies a projector's batches, and says how large they may be, from what has happened to those before. */
export class BatchApplier {
  private size: number
  /** Took too long alone, and has been tried often enough. */
  private tooSlow: Poison | undefined
  private readonly breaker: Breaker

  constructor(private readonly options: ApplierOptions) {
    this.size = options.batchSize
    this.breaker = new Breaker(options.systemicAfter)
  }

  /** Events that the next batch may have. */
  get batchSize(): number {
    return this.size
  }

  /** Throws what `project` threw while that may pass, and what speaks against parking. */
  async apply(tx: PoolClient, at: Checkpoint & Model, events: ProjectedEvent[]): Promise<Applied> {
    const { ready, waiting } = at.parks ? await sortOut(tx, at, events) : { ready: events, waiting: [] }
    this.breaker.begin()
    const applied = await this.applyReady(tx, at, ready)
    const end = applied.stops ? applied.poisons.at(-1)?.event.position : undefined
    await parkBehind(tx, at, end === undefined ? waiting : waiting.filter(({ position }) => position < end))
    return applied
  }

  /** What was applied last is part of the model now. */
  committed(): void {
    this.breaker.committed()
    this.tooSlow = undefined
    this.size = Math.min(this.size * 2, this.options.batchSize)
  }

  /** Learns from what a batch threw. True if it counts as an attempt at it: not while the database is away, or a smaller one may do. */
  failed(error: unknown, events: ProjectedEvent[], attempts: number): boolean {
    const [first] = events
    if (!tookTooLong(error)) return !isTransient(error)
    if (!first) return false
    if (events.length > 1) {
      this.size = Math.floor(events.length / 2)
      return false
    }
    if (attempts + 1 < this.options.maxAttempts) return true
    this.tooSlow = { event: first, error: textOf(error) }
    this.size = this.options.batchSize
    return true
  }

  private async applyReady(tx: PoolClient, at: Checkpoint & Model, events: ProjectedEvent[]): Promise<Applied> {
    const { projection, maxAttempts, onPoison } = this.options
    if (at.attempts < maxAttempts) {
      await apply(projection, tx, events)
      this.breaker.applied(events.length)
      return { poisons: [], stops: false }
    }
    if (onPoison === 'stop') return this.applyAndStop(tx, at, events)
    const { breaker, tooSlow } = this
    const poisons = await applyAndPark(projection, tx, { model: at, events, breaker, tooSlow })
    return { poisons, stops: false }
  }

  private async applyAndStop(tx: PoolClient, model: Model, events: ProjectedEvent[]): Promise<Applied> {
    const known = knownOf(events, this.tooSlow)
    const { applied, error } = known ?? (await applyUntilPoison(this.options.projection, tx, events))
    const event = events[applied]
    if (!event || error === undefined) return { poisons: [], stops: false }
    const poison = { event, error }
    await park(tx, model, [poison])
    return { poisons: [poison], stops: true }
  }
}
