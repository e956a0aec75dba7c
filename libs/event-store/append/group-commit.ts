import { setImmediate as nextTurn } from 'node:timers/promises'
import { DomainError } from '@mcpctl/contracts'
import { asDomainError, isTransient } from '../database-errors'
import type { EncodedRequest } from './encode'

const maxFlushRequests = 256
const maxFlushBytes = 1024 * 1024

interface Waiting<Verdict> {
  request: EncodedRequest
  resolve: (verdict: Verdict) => void
  reject: (reason: unknown) => void
}

/**
 * What arrives while a flush is under way travels together in the next one; an idle queue flushes at once.
 * A flush that the database refuses as a whole is sent again one by one, so that a bad request fails alone.
 */
export class GroupCommit<Verdict> {
  private readonly queue: Waiting<Verdict>[] = []
  private queuedBytes = 0
  private flushing = false
  private answered = 0

  constructor(
    private readonly send: (requests: EncodedRequest[]) => Promise<Verdict[]>,
    private readonly limits: { requests: number; bytes: number },
  ) {}

  /** Resolves after the commit. Throws `Unavailable` when the queue is full or the database is away. */
  add(request: EncodedRequest): Promise<Verdict> {
    if (this.queue.length >= this.limits.requests || this.queuedBytes >= this.limits.bytes)
      throw new DomainError('Unavailable', 'too many appends are waiting', { retryAfter: 1 })
    return new Promise((resolve, reject) => {
      this.queue.push({ request, resolve, reject })
      this.queuedBytes += request.bytes
      if (!this.flushing) void this.flushAll()
    })
  }

  private async flushAll() {
    this.flushing = true
    // One who asks again when nobody else did has nobody to wait for.
    let waits = this.answered !== 1
    while (this.queue.length > 0) {
      // Those whom the last flush has answered ask again within this turn of the loop; they travel together.
      if (waits) await nextTurn()
      const batch = this.takeBatch()
      await this.flush(batch)
      this.answered = batch.length
      waits = true
    }
    this.flushing = false
  }

  private takeBatch(): Waiting<Verdict>[] {
    let bytes = 0
    let count = 0
    for (const { request } of this.queue) {
      if (count === maxFlushRequests || (count > 0 && bytes + request.bytes > maxFlushBytes)) break
      bytes += request.bytes
      count++
    }
    this.queuedBytes -= bytes
    return this.queue.splice(0, count)
  }

  private async flush(batch: Waiting<Verdict>[]): Promise<void> {
    try {
      const verdicts = await this.send(batch.map(({ request }) => request))
      batch.forEach(({ resolve }, i) => resolve(verdicts[i] as Verdict))
    } catch (error) {
      if (batch.length === 1 || isTransient(error)) return batch.forEach(({ reject }) => reject(asDomainError(error)))
      for (const waiting of batch) await this.flush([waiting])
    }
  }
}
