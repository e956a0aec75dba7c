import { dropIdle } from '@mcpctl/postgres/transaction'
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
    private readonly limits: Omit<BatchLimits, 'events'>,
  ) {}

  /** At most `count` events after a position: those that were read ahead, else read now. */
  async take(after: bigint, count: number): Promise<Batch> {
    const { ahead } = this
    this.ahead = undefined
    const early = ahead?.after === after ? await ahead.batch : undefined
    // Since it was read, more may have been stored, and its notification have come and gone.
    const batch = early && early.events.length <= count ? { ...early, more: true } : await this.read(after, count)
    const last = batch.events.at(-1)
    if (last && batch.more && this.canSpareOne()) {
      const { position } = last
      this.ahead = { after: position, batch: this.read(position, count).catch(() => undefined) }
    }
    return { ...batch, after }
  }

  /** Resolves when nothing is being read any more. */
  async stop(): Promise<void> {
    await this.ahead?.batch
    this.ahead = undefined
  }

  private read(after: bigint, events: number): Promise<StoredBatch> {
    const { pool, limits } = this
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        // The other connections of a line that is dead would be found so one by one.
        void dropIdle(pool).catch(() => {})
        reject(new Error(`connection terminated: no answer within ${limits.answerWithinMs} ms`))
      }, limits.answerWithinMs)
      batchAfter(pool, after, { ...limits, events })
        .then(resolve, reject)
        .finally(() => clearTimeout(timer))
    })
  }

  /** One connection for the present batch, one to read ahead: what others of the pool wait for is not taken from them. */
  private canSpareOne(): boolean {
    const { idleCount, totalCount, waitingCount, options } = this.pool
    return waitingCount === 0 && idleCount + options.max - totalCount >= 2
  }
}
