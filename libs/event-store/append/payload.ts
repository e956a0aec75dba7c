import { DomainError } from '@mcpctl/contracts'

const maxDepth = 100

// A lone surrogate is the only thing that \p{Surrogate} matches under the u flag: pairs are read as one character.
const unstorable = /[\u0000\p{Surrogate}]/u

/**
 * Makes sure that a value comes back from the log as it was given. Throws `Invalid` with a pointer for U+0000, lone surrogates,
 * NaN, undefined, and objects that JSON would change in silence (Date, Map …).
 */
export const checkPayload = (value: unknown, pointer: string, depth = 0): void => {
  if (value === null || typeof value === 'boolean') return
  if (typeof value === 'string') return checkText(value, pointer)
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return
    refuse(pointer, 'finite', 'a number must be finite')
  }
  if (typeof value !== 'object') return refuse(pointer, 'json', `a value of type ${typeof value} is not JSON`)
  if (depth >= maxDepth) refuse(pointer, 'depth', `nested deeper than ${maxDepth} levels`)
  if (Array.isArray(value)) return checkItems(value, pointer, depth)
  checkMembers(value, pointer, depth)
}

const checkItems = (items: unknown[], pointer: string, depth: number) => {
  for (let i = 0; i < items.length; i++) checkPayload(items[i], `${pointer}/${i}`, depth + 1)
}

const checkMembers = (object: object, pointer: string, depth: number) => {
  const tag = Object.prototype.toString.call(object)
  if (tag !== '[object Object]' || 'toJSON' in object) refuse(pointer, 'json', 'only plain objects are JSON')
  for (const [key, member] of Object.entries(object)) {
    checkText(key, pointer)
    checkPayload(member, `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, depth + 1)
  }
}

const checkText = (text: string, pointer: string) => {
  if (unstorable.test(text)) refuse(pointer, 'text', 'text must not hold U+0000 or half of a surrogate pair')
}

const refuse = (pointer: string, code: string, message: string): never => {
  throw new DomainError('Invalid', `${pointer}: ${message}`, { errors: [{ pointer, code, message }] })
}
