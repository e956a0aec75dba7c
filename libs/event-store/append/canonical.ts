import canonicalize from 'canonicalize'
import { checkPayload } from './payload'

// Deeper values, and objects with another prototype, are left to `checkPayload` and `canonicalize`.
const maxPlainDepth = 50
const notPlain = new Error('not plain JSON')
// What JSON writes otherwise than it is.
const escaped = /["\\\u0000-\u001f\ud800-\udfff]/

/**
 * A value in RFC 8785 form, in one pass: a quarter of the time that `canonicalize` and `checkPayload` take, and appending spends its
 * time here. Throws `Invalid` with a pointer for whatever would not come back from the log as it was given.
 */
export const canonical = (value: unknown, pointer: string): string => {
  const text = writePlain(value)
  // Control characters and halves of surrogate pairs are written as \u…; hardly any event has one.
  if (text !== undefined && !text.includes('\\u')) return text
  checkPayload(value, pointer)
  return text ?? (canonicalize(value) as string)
}

const writePlain = (value: unknown): string | undefined => {
  try {
    return write(value, 0)
  } catch (error) {
    if (error === notPlain) return undefined
    throw error
  }
}

const write = (value: unknown, depth: number): string => {
  if (typeof value === 'string') return quote(value)
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value)
  if (typeof value === 'boolean' || value === null) return String(value)
  if (typeof value !== 'object' || depth > maxPlainDepth) throw notPlain
  return Array.isArray(value) ? writeItems(value, depth) : writeMembers(value, depth)
}

const quote = (text: string): string => (escaped.test(text) ? JSON.stringify(text) : `"${text}"`)

const writeItems = (items: unknown[], depth: number): string => {
  let text = ''
  for (let i = 0; i < items.length; i++) text += (i === 0 ? '' : ',') + write(items[i], depth + 1)
  return `[${text}]`
}

const writeMembers = (object: object & { toJSON?: unknown }, depth: number): string => {
  if (Object.getPrototypeOf(object) !== Object.prototype || object.toJSON !== undefined) throw notPlain
  let text = ''
  for (const key of sortedKeys(object)) {
    const member = write((object as Record<string, unknown>)[key], depth + 1)
    text += `${text === '' ? '' : ','}${quote(key)}:${member}`
  }
  return `{${text}}`
}

/** In order of UTF-16 units, which is how JavaScript compares. Small objects are often written in order: asking is cheaper than sorting. */
const sortedKeys = (object: object): string[] => {
  const keys = Object.keys(object)
  for (let i = 1; i < keys.length; i++) if ((keys[i - 1] as string) > (keys[i] as string)) return keys.sort()
  return keys
}
