import { DomainError } from '@mcpctl/contracts'

const retryAfter = 1

// Classes: 08 connection, 53 resources, 57 operator, 40 rolled back. 55P03 lock not available, 25006 read-only, 25P03 idle in transaction.
const transientState = /^(08|53|57|40)...$|^(55P03|25006|25P03)$/
const transientCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
])
const transientText =
  /connection terminated|timeout exceeded|read timeout|not queryable|connection error|closed the connection/i

const codeOf = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''

/** Is the database away, restarting, full or blocked, so that trying again may succeed? */
export const isTransient = (error: unknown): boolean => {
  if (error instanceof DomainError) return error.code === 'Unavailable'
  const code = codeOf(error)
  if (transientState.test(code) || transientCodes.has(code)) return true
  // `pg` gives no code to what it raises itself.
  return code === '' && error instanceof Error && transientText.test(error.message)
}

/** What PostgreSQL refused, in the words of the contract; anything unknown stays as it is, a bug. */
export const asDomainError = (error: unknown): unknown => {
  if (error instanceof DomainError) return error
  if (isTransient(error))
    return new DomainError('Unavailable', 'the database is not available', { retryAfter, cause: error })
  const code = codeOf(error)
  if (code === '54000')
    return new DomainError('TooLarge', 'the append is larger than PostgreSQL can hold', { cause: error })
  if (code.startsWith('22'))
    return new DomainError('Invalid', 'the append holds a value that PostgreSQL refuses', { cause: error })
  return error
}
