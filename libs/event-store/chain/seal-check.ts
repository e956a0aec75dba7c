import { hash, type KeyObject } from 'node:crypto'
import type { Fault } from './broken'
import { isGenuine, sealLine, type Seal } from './seal'

/** What a check of seals goes by. Without it, whoever can write to the database could have rewritten the whole chain. */
export interface TrustedSeals {
  /** The public Ed25519 keys whose seals count, all that have been in use. Any other key's seal is a fault. */
  keys: KeyObject[]
  /** Seals that were kept outside of the database: only they can show that the end of the log is missing. */
  kept?: Seal[]
}

/** The log as it is now, to hold seals against. */
export interface SealedLog {
  store: string
  epoch: number
  head: bigint
  /** The chain's hash by position, hex; of positions that cannot be known, nothing. */
  hashes: ReadonlyMap<number, string | undefined>
}

const fault = ({ position }: Seal, field: string, message: string): Fault => ({
  problem: 'seal',
  position: BigInt(position),
  field,
  message: `the seal of position ${position} ${message}`,
})

/** The fault of the lowest position, if any. */
export const firstOf = (faults: (Fault | undefined)[]): Fault | undefined =>
  faults.reduce((first, next) => (next && (!first || next.position < first.position) ? next : first), undefined)

/** Does what the seal says hold for this log? */
export const sealFault = (seal: Seal, keys: KeyObject[], log: SealedLog): Fault | undefined => {
  if (!isGenuine(seal, keys)) return fault(seal, 'signature', 'is not signed by a trusted key, or was changed')
  if (seal.store !== log.store) return fault(seal, 'store', 'is one of another log')
  if (seal.epoch > log.epoch) return fault(seal, 'epoch', `is of epoch ${seal.epoch}, the log says ${log.epoch}`)
  if (BigInt(seal.position) > log.head)
    return {
      problem: 'truncated',
      position: log.head + 1n,
      field: 'position',
      message: `the log ends at position ${log.head}, and position ${seal.position} was sealed`,
    }
  const found = log.hashes.get(seal.position)
  if (found !== undefined && found !== seal.hash)
    return fault(seal, 'hash', 'names another hash: the log up to there was rewritten')
  return undefined
}

/** The seals that a store holds: all of its own epoch, each naming the one before it. */
export const storedFault = (stored: Seal[], keys: KeyObject[], log: SealedLog): Fault | undefined => {
  let before: Seal | undefined
  for (const seal of stored) {
    const own = sealFault(seal, keys, log)
    if (own) return own
    if (seal.epoch !== log.epoch) return fault(seal, 'epoch', `is of epoch ${seal.epoch}, the log says ${log.epoch}`)
    if (seal.previous !== (before ? hash('sha256', sealLine(before)) : null))
      return fault(seal, 'previous', 'does not name the seal before it: one was taken out or replaced')
    before = seal
  }
  return undefined
}

/** A seal that was kept must be the stored one still, unless the log has been moved to another store since. */
export const keptFault = (kept: Seal, stored: Seal[], log: SealedLog): Fault | undefined => {
  if (kept.epoch !== log.epoch) return undefined
  const same = stored.find(({ position }) => position === kept.position)
  if (!same) return fault(kept, 'position', 'is missing in the store')
  return sealLine(same) === sealLine(kept) ? undefined : fault(kept, 'signature', 'was replaced in the store')
}
