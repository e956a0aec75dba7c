import { createPublicKey, hash, sign, verify, type KeyObject } from 'node:crypto'
import { DomainError } from '@mcpctl/contracts'
import canonicalize from 'canonicalize'

const sealFormat = 'event-log-seal/1'

/** Says that, when it was made, the log had this hash at this position. Kept elsewhere, it shows later whether that still holds. */
export interface Seal {
  format: typeof sealFormat
  /** Id of the store in which the log began. */
  store: string
  epoch: number
  position: number
  /** The chain's hash at the position, hex. */
  hash: string
  /** The database's clock: RFC 3339, UTC, microseconds. */
  sealedAt: string
  /** sha256 of the line of the seal before it in this store, hex; null for the first one. */
  previous: string | null
  /** `keyIdOf` the key that verifies it. */
  keyId: string
  /** Ed25519 over the UTF-8 bytes of the RFC 8785 form of all other fields, base64. */
  signature: string
}

/** Names a key: sha256 of its public half as SubjectPublicKeyInfo (DER), hex. */
export const keyIdOf = (key: KeyObject): string => {
  const publicKey = key.type === 'public' ? key : createPublicKey(key)
  return hash('sha256', publicKey.export({ type: 'spki', format: 'der' }))
}

const signedBytes = ({ format, store, epoch, position, hash, sealedAt, previous, keyId }: Omit<Seal, 'signature'>) =>
  Buffer.from(canonicalize({ format, store, epoch, position, hash, sealedAt, previous, keyId }) as string)

/** The seal as one line of JSON, without its end, to be written where whoever can change the database cannot. */
export const sealLine = (seal: Seal): string => canonicalize(seal) as string

/** Throws `Invalid` unless the key is a private Ed25519 key. */
export const requireSealingKey = (key: KeyObject): void => {
  if (key.type !== 'private' || key.asymmetricKeyType !== 'ed25519')
    throw new DomainError('Invalid', 'a log is sealed with a private Ed25519 key')
}

/** The seal of these facts, with a key that will do. */
export const signSeal = (facts: Omit<Seal, 'format' | 'keyId' | 'signature'>, privateKey: KeyObject): Seal => {
  const unsigned = { ...facts, format: sealFormat, keyId: keyIdOf(privateKey) } as const
  return { ...unsigned, signature: sign(null, signedBytes(unsigned), privateKey).toString('base64') }
}

const hex = /^[0-9a-f]{64}$/
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const isFrom1 = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 1
const isLike = (pattern: RegExp) => (value: unknown) => typeof value === 'string' && pattern.test(value)

const rules: Record<keyof Seal, (value: unknown) => boolean> = {
  format: (value) => value === sealFormat,
  store: isLike(uuid),
  epoch: isFrom1,
  position: isFrom1,
  hash: isLike(hex),
  sealedAt: isLike(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
  previous: (value) => value === null || isLike(hex)(value),
  keyId: isLike(hex),
  signature: isLike(/^[A-Za-z0-9+/]{86}==$/),
}

/** Reads what `sealLine` wrote. Throws `Invalid` for anything else; whether the seal is genuine is not asked here. */
export const parseSeal = (line: string): Seal => {
  const seal = parse(line)
  if (
    seal &&
    (Object.keys(rules) as (keyof Seal)[]).every((field) => rules[field](seal[field])) &&
    sealLine(seal) === line
  )
    return seal
  throw new DomainError('Invalid', 'this is not the line of a seal')
}

const parse = (line: string): Seal | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Seal) : undefined
  } catch {
    return undefined
  }
}

/** Was it signed by one of these keys, and not changed since? */
export const isGenuine = (seal: Seal, keys: KeyObject[]): boolean => {
  const key = keys.find((candidate) => keyIdOf(candidate) === seal.keyId)
  if (key?.asymmetricKeyType !== 'ed25519') return false
  return verify(null, signedBytes(seal), key, Buffer.from(seal.signature, 'base64'))
}
