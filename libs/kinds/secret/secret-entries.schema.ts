import { inspect } from 'node:util'
import { SecretValue } from '@mcpctl/vault'
import { looksLikeCredential } from '@mcpctl/contracts'
import { isObject } from '@mcpctl/resource'

/** What is wanted of one key. */
export type SecretEntry = SecretValue | 'keep'

export const maxKeys = 256
const keyPattern = /^[-._a-zA-Z0-9]{1,253}$/
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const mostTold = 5
/** As values are shown where they are masked. */
const mask = /^\*{3,}( \((before|after)\))?$/

/** What a manifest or a body says of a secret's keys. Shows none of the values however it is printed or serialized. */
export class SecretEntries {
  readonly #given: unknown

  constructor(given: unknown = {}) {
    this.#given = given
  }

  /** What is wrong, in words that repeat no value; undefined when nothing is. */
  problem(): string | undefined {
    const given = this.#given
    if (!isObject(given)) return 'must be a map of keys to values'
    const keys = Object.keys(given)
    if (keys.length > maxKeys)
      return `must have at most ${String(maxKeys)} keys, not ${String(keys.length)}; spread them over several secrets`
    const wrong = keys.findIndex((key) => !keyPattern.test(key) || key === '.' || key === '..')
    // A key that is none may be a value that was put in its place.
    if (wrong !== -1)
      return `the name of key ${String(wrong + 1)} must be 1 to 253 letters, digits, ".", "_" or "-", and neither "." nor ".."`
    const pasted = keys.findIndex(looksLikeCredential)
    if (pasted !== -1)
      return `the name of key ${String(pasted + 1)} looks like a credential; names are shown, values are not`
    const problems = keys.flatMap((key) => {
      const problem = problemOf(given[key])
      return problem === undefined ? [] : [`${key}: ${problem}`]
    })
    const others = problems.length - mostTold
    return problems.length === 0
      ? undefined
      : [...problems.slice(0, mostTold), ...(others > 0 ? [`${String(others)} more`] : [])].join('; ')
  }

  /** By key, in the order given. Only where there is no problem. */
  entries(): ReadonlyMap<string, SecretEntry> {
    return new Map(Object.entries(this.#given as object).map(([key, entry]) => [key, entryOf(entry)]))
  }

  /** As the object shows itself. */
  toJSON(): Record<string, { keep: true }> {
    const keys = isObject(this.#given) ? Object.keys(this.#given) : []
    return Object.fromEntries(keys.map((key) => [key, { keep: true }]))
  }

  [inspect.custom](): string {
    return '[redacted]'
  }
}

const problemOf = (entry: unknown): string | undefined => {
  if (typeof entry === 'string') return problemOfText(entry)
  if (entry === null) return 'has no value; write "" for an empty one, or leave the key out'
  if (Array.isArray(entry)) return 'must be text, not a list'
  if (!isObject(entry)) return `must be text, not a ${typeof entry}; put it in quotes`
  return 'keep' in entry ? problemOfKept(entry) : problemOfValue(entry)
}

const problemOfKept = (entry: Record<string, unknown>): string | undefined =>
  entry['keep'] === true && Object.keys(entry).length === 1
    ? undefined
    : 'must be { keep: true }, with nothing beside it, to keep its value; for a new value write that in place of the whole'

const problemOfValue = (entry: Record<string, unknown>): string | undefined => {
  const { value, binary = false, ...others } = entry
  if (Object.keys(others).length > 0) return 'takes "value" and "binary", or "keep", and no other field'
  if (typeof value !== 'string') return '"value" must be text; quote what looks like a number'
  if (typeof binary !== 'boolean') return '"binary" must be true or false'
  if (!binary) return problemOfText(value)
  return base64.test(value)
    ? undefined
    : '"value" must be base64 (RFC 4648, padded, without line breaks), as "binary" says'
}

const problemOfText = (text: string): string | undefined => {
  if (mask.test(text))
    return 'is a mask, not a value; give the value, or { keep: true } where there is one to keep (a value of asterisks: as base64, with binary: true)'
  // PostgreSQL, C strings and environments end at it.
  return text.includes('\0') ? 'must not contain NUL; send it as { value: <base64>, binary: true }' : undefined
}

const entryOf = (entry: unknown): SecretEntry => {
  if (typeof entry === 'string') return SecretValue.ofText(entry)
  const { value = '', binary, keep } = entry as { value?: string; binary?: boolean; keep?: true }
  if (keep) return 'keep'
  return binary ? new SecretValue(Buffer.from(value, 'base64'), true) : SecretValue.ofText(value)
}
