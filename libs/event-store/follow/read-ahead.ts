import type { Pool, PoolClient } from 'pg'
import { batchAfter, type Batch, type BatchLimits } from '../rows'

interface Ahead {
  after: bigint
  /** Undefined when it could not be read. */
  batch: Promise<Batch | undefined>
}

/** Reads the next batch while the present one is being applied. The log never changes, so that what was read early is right. */
export class ReadAhead {
  private ahead: Ahead | undefined

  constructor(
    private readonly pool: Pool,
    private readonly limits: BatchLimits,
  ) {}

  /** The batch after a position: the one that was read ahead, else read now. */
  async take(tx: PoolClient, after: bigint): Promise<Batch> {
    const ahead = this.ahead
    this.ahead = undefined
    const early = ahead?.after === after ? await ahead.batch : undefined
    // Since it was read, more may have been stored, without anybody being told any more.
    const batch = early ? { ...early, more: true } : await batchAfter(tx, after, this.limits)
    const last = batch.events.at(-1)
    if (last && batch.more) this.start(last.position)
    return batch
  }

  /** Resolves when nothing is being read any more. */
  async stop(): Promise<void> {
    await this.ahead?.batch
    this.ahead = undefined
  }

  private start(after: bigint) {
    // Who holds one connection must never wait for another: all the pool might be waiting like that.
    const { idleCount, totalCount, waitingCount, options } = this.pool
    if (waitingCount > 0 || (idleCount === 0 && totalCount >= options.max)) return
    this.ahead = { after, batch: batchAfter(this.pool, after, this.limits).catch(() => undefined) }
  }
}
