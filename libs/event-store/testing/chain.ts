import { createHash } from 'node:crypto'
import type { RecordedEvent } from '../types'

/** Where the chain of a store begins that was never restored. For tests. */
export const genesis = (storeId: string): string => createHash('sha256').update(storeId).digest('hex')

/** The hash that an event must have after the one before it, computed from what a reader gets. For tests. */
export const chained = (previous: string, event: RecordedEvent): string => {
  const numbers = Buffer.alloc(24)
  numbers.writeBigInt64BE(event.position, 0)
  numbers.writeBigInt64BE(BigInt(event.version), 8)
  const { recordedAt } = event
  const seconds = BigInt(Date.parse(`${recordedAt.slice(0, 19)}Z`)) * 1000n
  numbers.writeBigInt64BE(seconds + BigInt(recordedAt.slice(20, 26)), 16)
  const parts = [Buffer.from(previous, 'hex'), Buffer.from(event.contentHash, 'hex'), numbers]
  return createHash('sha256').update(Buffer.concat(parts)).digest('hex')
}
