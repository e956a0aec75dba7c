import type { Forgotten, Sealed, Undecryptable } from '@mcpctl/event-store'
import type { PoolClient } from 'pg'
import type { SecretValue } from './secret-value'

/** What stands in an event in the place of a secret's value. */
export type SealedValue = {
  ciphertext: Sealed
  /** HMAC-SHA-256 over secret, key and value under the store's own key, 64 hex digits: tells whether a value changed, and nothing else. */
  fingerprint: string
  /** The value is no text. */
  binary: boolean
}

/** Whether secrets can be opened and sealed, or why not. */
export type VaultState =
  { status: 'ready'; kek: string } | { status: 'closed'; reason: 'KekMissing' | 'KekWrong'; message: string }

/** The key that a version of a secret is sealed with. */
export interface VersionKey {
  version: number
  /** Name of the key-encryption key that wraps it. */
  kek: string
  /** Whether that key is at hand. */
  usable: boolean
}

/** Values by key, sealed for one version of a secret. */
export interface SealedVersion {
  values: Record<string, SealedValue>
  /** Puts the version's data key beside the log, in the transaction in which the event commits. Throws Overtaken when the version has one already, and when keys were rotated and retired meanwhile. */
  store: (transaction: PoolClient) => Promise<void>
}

/** A value that was opened, or why it could not be. */
export type Opened = SecretValue | Undecryptable | Forgotten

/** Values by key. */
export type Values = ReadonlyMap<string, SecretValue>

/** How many data keys a key-encryption key wraps. */
export interface KekUse {
  id: string
  /** RFC 3339. */
  createdAt: string
  /** In the key file of this daemon. */
  present: boolean
  current: boolean
  dataKeys: number
}

export interface KeyStatus {
  state: VaultState
  /** For people: where the key-encryption keys are kept. */
  place: string
  keks: KekUse[]
  /** Data keys that are not under the current key-encryption key. */
  stale: number
}

/** Names of key-encryption keys: the one that was current, and the one that is. */
export interface Rotation {
  from: string
  to: string
}

/** Says in the log what was done, in the transaction in which it is done; a throw takes it back. */
export type Recorded<T> = (transaction: PoolClient, done: T) => Promise<void>
