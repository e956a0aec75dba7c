/** What is known of a secret without opening it. */
export interface SecretHead {
  uid: string
  /** The current version. */
  version: number
  /** RFC 3339: when that version was set. */
  changedAt: string
  keys: readonly string[]
}

/** Why a value cannot be had: altered or sealed under a key that is not here, or shredded. */
export type SecretLost = 'Undecryptable' | 'Forgotten'

/** A value as it was written; the bytes belong to who reads them, and are to be overwritten after use. */
export interface SecretContent {
  readonly value: Buffer
  readonly binary: boolean
}

/** One version of a secret, opened. */
export interface SecretSnapshot {
  uid: string
  version: number
  /** By key, in the order of the secret. */
  values: ReadonlyMap<string, SecretContent | SecretLost>
}

/** Reads secrets for who uses them, not for who looks at them: nothing is recorded, and no right is asked. */
export abstract class SecretReader {
  /** The current heads, by name; a secret that does not exist is absent. */
  abstract head(names: readonly string[]): Promise<ReadonlyMap<string, SecretHead>>

  /**
   * Opens one version, the current one unless told; `NoSuchVersion` when the secret has never had it. One lost value does not hurt the others.
   * Throws DomainError Unavailable while the keys cannot be had.
   */
  abstract read(
    secret: { name: string } | { uid: string },
    version?: number,
  ): Promise<SecretSnapshot | 'NotFound' | 'NoSuchVersion'>
}
