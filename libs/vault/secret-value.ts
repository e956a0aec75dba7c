import { inspect } from 'node:util'

const redacted = '[redacted]'

/** A secret's value in memory. Shows nothing of itself however it is printed or serialized; `bytes` is the one way in. */
export class SecretValue {
  readonly #bytes: Buffer

  constructor(
    bytes: Uint8Array,
    readonly binary = false,
  ) {
    this.#bytes = Buffer.from(bytes)
  }

  static ofText(text: string): SecretValue {
    return new SecretValue(Buffer.from(text))
  }

  /** The value itself: not a copy, so that `erase` reaches it. */
  bytes(): Buffer {
    return this.#bytes
  }

  /** As UTF-8; what is no text comes out as base64. */
  text(): string {
    return this.#bytes.toString(this.binary ? 'base64' : 'utf8')
  }

  /** Overwrites the bytes. Strings that were made of them live on until they are collected. */
  erase(): void {
    this.#bytes.fill(0)
  }

  toJSON(): string {
    return redacted
  }

  toString(): string {
    return redacted
  }

  [inspect.custom](): string {
    return redacted
  }
}
