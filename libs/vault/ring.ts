import { SubjectKeys, type WrappingKey } from '@mcpctl/event-store'
import type { Pool } from 'pg'
import type { Kek } from './kek-source'
import type { VaultState } from './types'

/** Keys at hand, with which secrets are sealed and opened. */
export interface Ring {
  current: Kek
  /** All key-encryption keys at hand, by name. */
  ids: ReadonlySet<string>
  subjects: SubjectKeys
}

export type Look = { ring: Ring } | { closed: Extract<VaultState, { status: 'closed' }> }

/** The keys that are kept at `place`, if they are those that the store has announced. */
export const ringOf = (pool: Pool, place: string, keys: Kek[] | undefined, announced: WrappingKey[]): Look => {
  const last = announced.at(-1)
  if (!keys) return closed('KekMissing', `there is no key in ${place}; put the file back that was made with this store`)
  const current = keys.find(({ key }) => last?.isHeldBy(key))
  if (!current) return closed('KekWrong', lacking(place, last?.id))
  return { ring: ringWith(pool, current, keys) }
}

/** Wraps with `current`, and opens what any of `keys` has wrapped. */
export const ringWith = (pool: Pool, current: Kek, keys: readonly Kek[]): Ring => {
  const olderKeys = keys.filter((kek) => kek !== current).map(({ key }) => key)
  const subjects = new SubjectKeys({ pool, keyEncryptionKey: current.key, olderKeys })
  return { current, ids: new Set(keys.map(({ id }) => id)), subjects }
}

export const stateOf = (look: Look): VaultState =>
  'ring' in look ? { status: 'ready', kek: look.ring.current.id } : look.closed

export const lacking = (place: string, id = ''): string =>
  `${place} does not hold the key ${id} of this store; put the file back that was made with it`

const closed = (reason: 'KekMissing' | 'KekWrong', message: string): Look => ({
  closed: { status: 'closed', reason, message },
})
