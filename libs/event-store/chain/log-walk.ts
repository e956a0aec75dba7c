import type { Pool } from 'pg'
import { blocksOf } from '../transfer/lines'
import { logLines } from '../transfer/log-lines'
import { Broken, type Fault } from './broken'
import { ChainCheck, type ChainEnd } from './chain-check'

export interface VerifyProgress {
  /** Checked up to here. */
  position: bigint
  /** The last position that will be checked. */
  to: bigint
}

/** Computes the chain of the stored events after `start` up to `to`. The first fault in it, if any. */
export const chainFault = async (
  pool: Pool,
  start: ChainEnd,
  to: bigint,
  onProgress: (progress: VerifyProgress) => void = () => {},
): Promise<Fault | undefined> => {
  const check = new ChainCheck(start)
  try {
    for await (const block of blocksOf(stored(pool, BigInt(start.position) + 1n, to, onProgress)))
      for (const line of block.lines) check.next(line)
  } catch (error) {
    if (error instanceof Broken) return error.fault
    throw error
  }
  const reached = BigInt(check.last.position)
  if (reached >= to) return undefined
  const position = reached + 1n
  return { problem: 'missing', position, field: 'position', message: `position ${position} is missing` }
}

async function* stored(pool: Pool, from: bigint, to: bigint, onProgress: (progress: VerifyProgress) => void) {
  for await (const { bytes, lines, reached } of logLines(pool, from, to)) {
    if (bytes.length > 0) yield bytes
    if (reached === undefined) continue
    // A hole: whatever is behind it, perhaps very far, is of no use.
    if (BigInt(lines) < reached - from + 1n) return
    onProgress({ position: reached, to })
  }
}
