import { createCipheriv, createDecipheriv, createHmac, createSecretKey, KeyObject, randomBytes } from 'node:crypto'

const algorithm = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16

/** A key of 256 bits. */
export type Key = KeyObject | Uint8Array

/** Throws for anything but 256 bits. The answer shows nothing of the key when it is logged. */
export const toKey = (key: Key): KeyObject => {
  const object = key instanceof KeyObject ? key : createSecretKey(key)
  if (object.type !== 'secret' || object.symmetricKeySize !== 32) throw new Error('a key must have 32 bytes')
  return object
}

export const randomKey = (): KeyObject => keyOf(randomBytes(32))

/** Takes the bytes over: they are overwritten. */
export const keyOf = (bytes: Buffer): KeyObject => {
  const key = toKey(bytes)
  bytes.fill(0)
  return key
}

/** A name for a key that tells nothing about it. */
export const fingerprint = (key: KeyObject): string =>
  createHmac('sha256', key).update('mcpctl/v1|key-id').digest('hex').slice(0, 16)

/**
 * AES-256-GCM: random nonce (96 bits) ‖ ciphertext ‖ tag (128 bits). The same `place` is needed to decrypt, so that nothing can be moved
 * elsewhere. Nonces repeat with a probability of 2^-33 after 2^32 values under one key, the most that a key is good for.
 */
export const encrypt = (key: KeyObject, plaintext: Uint8Array, place: readonly string[]): Buffer => {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes }).setAAD(associated(place))
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

/** Undefined when it was not encrypted with this key for this place, or was altered. */
export const decrypt = (key: KeyObject, sealed: Buffer, place: readonly string[]): Buffer | undefined => {
  if (sealed.length < nonceBytes + tagBytes) return undefined
  const decipher = createDecipheriv(algorithm, key, sealed.subarray(0, nonceBytes), { authTagLength: tagBytes })
  decipher.setAAD(associated(place)).setAuthTag(sealed.subarray(-tagBytes))
  const plaintext = decipher.update(sealed.subarray(nonceBytes, -tagBytes))
  try {
    decipher.final()
    return plaintext
  } catch {
    plaintext.fill(0)
    return undefined
  }
}

// As JSON, so that no two lists of names give the same bytes.
const associated = (place: readonly string[]) => Buffer.from(JSON.stringify(['mcpctl/v1', ...place]))
