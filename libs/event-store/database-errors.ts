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

/** Is there such a key already? */
export const isUniqueViolation = (error: unknown): boolean => codeOf(error) === '23505'

// By SQLSTATE; whatever else is transient comes from the line.
const reasons: [RegExp, string][] = [
  [/^55P03$/, 'another transaction holds the log, or a row that is needed, for too long; pg_locks tells which one'],
  [/^25006$/, 'the database takes no writes; connect to the primary'],
  [/^25P03$/, 'the transaction was ended because it did nothing for too long'],
  [/^57014$/, 'it was cancelled because it took too long'],
  [/^57/, 'the database is starting, stopping, or has ended the connection'],
  [/^53300$/, 'the database has no connection to spare'],
  [/^53/, 'the database is out of memory, disk or another resource'],
  [/^40/, 'another transaction came in between'],
]

// Classes: 22 data. 23502 not null, 23514 a check.
const unstorable = /^(22...|23502|23514)$/

const reasonOf = (code: string): string =>
  reasons.find(([pattern]) => pattern.test(code))?.[1] ?? 'the database cannot be reached'

/**
 * What PostgreSQL refused, in the words of the contract; anything unknown stays as it is, a bug. `attempted` is what failed, as a noun:
 * "the append".
 */
export const asDomainError = (error: unknown, attempted = 'the query'): unknown => {
  if (error instanceof DomainError) return error
  const code = codeOf(error)
  if (isTransient(error))
    return new DomainError('Unavailable', `${attempted} failed: ${reasonOf(code)}; try again`, {
      retryAfter,
      cause: error,
    })
  if (code === '54000')
    return new DomainError('TooLarge', `${attempted} failed: it is larger than PostgreSQL can hold; split it`, {
      cause: error,
    })
  if (unstorable.test(code))
    return new DomainError('Invalid', `${attempted} failed: PostgreSQL cannot take one of the values`, { cause: error })
  return error
}

/** `es.store` says which store this is. Without it no hash can be checked and nothing be exported. */
export const storeLost = (): DomainError =>
  new DomainError('Conflict', 'es.store has no row: the migrations have not run, or it was deleted; restore a backup')

/** What the database answers. Throws as `asDomainError` says. */
export const answered = async <T>(attempted: string, query: Promise<T>): Promise<T> => {
  try {
    return await query
  } catch (error) {
    throw asDomainError(error, attempted)
  }
}
