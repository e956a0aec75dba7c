import { createSecretKey, randomBytes, type KeyObject } from 'node:crypto'
import { keyEncryptionKeyId } from '@mcpctl/event-store'

/** A key-encryption key: wraps data keys, and is never in the database. */
export interface Kek {
  /** Follows from the key and tells nothing about it. */
  id: string
  key: KeyObject
  /** RFC 3339. */
  createdAt: string
}

/** Where key-encryption keys are kept. */
export interface KekSource {
  /** For people: where the keys are. */
  readonly place: string
  /** Undefined when nothing was ever kept there. Throws KekUnusable, which says what to do. */
  load(): Promise<Kek[] | undefined>
  /** Keeps the first keys; false, and nothing done, when there are some. Durable when it returns. Throws KekUnusable. */
  create(keys: readonly Kek[]): Promise<boolean>
  /** Keeps these and no others; durable when it returns. Throws KekUnusable. */
  save(keys: readonly Kek[]): Promise<void>
}

/** Keys are there and cannot be used, or cannot be kept. Never says what they are. */
export class KekUnusable extends Error {
  override readonly name = 'KekUnusable'
}

/** Of 32 bytes. */
export const kekOf = (bytes: Uint8Array, createdAt: string): Kek => {
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return { id: keyEncryptionKeyId(key), key, createdAt }
}

export const newKek = (): Kek => kekOf(randomBytes(32), new Date().toISOString())
