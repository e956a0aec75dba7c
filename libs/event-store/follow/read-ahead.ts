import type { Pool } from 'pg'
import { batchAfter, type Batch as StoredBatch, type BatchLimits } from '../rows'

export interface Batch extends StoredBatch {
  /** The position that it follows. */
  after: bigint
}

/** Reads the next batch while the present one is being applied. The log never changes, so that what was read early is right. */
export class ReadAhead {
  private ahead: { after: bigint; batch: Promise<StoredBatch | undefined> } | undefined

  constructor(
    private readonly pool: Pool,
    private readonly limits: BatchLimits,
  ) {}

  /** The batch after a position: the one that was read ahead, else read now. */
  async take(after: bigint): Promise<Batch> {
    const { ahead } = this
    this.ahead = undefined
    const early = ahead?.after === after ? await ahead.batch : undefined
    // Since it was read, more may have been stored, and its notification have come and gone.
    const batch = early ? { ...early, more: true } : await batchAfter(this.pool, after, this.limits)
    const last = batch.events.at(-1)
    if (last && batch.more) this.readAfter(last.position)
    return { ...batch, after }
  }

  /** Resolves when nothing is being read any more. */
  async stop(): Promise<void> {
    await this.ahead?.batch
    this.ahead = undefined
  }

  private readAfter(after: bigint) {
    // One connection for the present batch, one for this: what others of the pool wait for is not taken from them.
    const { idleCount, totalCount, waitingCount, options } = this.pool
    if (waitingCount > 0 || idleCount + options.max - totalCount < 2) return
    this.ahead = { after, batch: batchAfter(this.pool, after, this.limits).catch(() => undefined) }
  }
}
