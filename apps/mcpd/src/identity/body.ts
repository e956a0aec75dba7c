import { DomainError, maskSecrets } from '@mcpctl/contracts'

/** Larger than any password that is taken: nobody needs to hash it to know. Bytes. */
const LARGEST_SECRET = 1024
/** Characters. */
const LONGEST_NAME = 253

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The fields of a body, of which none may be unknown. Values are never repeated: they may be secret. Throws BadRequest. */
export const fieldsOf = (body: unknown, known: readonly string[]): Record<string, unknown> => {
  const value = body ?? {}
  if (!isPlain(value)) throw new DomainError('BadRequest', 'the body must be an object')
  const unknown = Object.keys(value).find((field) => !known.includes(field))
  if (unknown === undefined) return value
  throw new DomainError('Invalid', 'the body has an unknown field', {
    errors: [
      {
        pointer: `/${maskSecrets(unknown).slice(0, 64)}`,
        code: 'unknown-field',
        message: `unknown field; known are ${known.join(', ')}`,
      },
    ],
  })
}

/** One field that is wrong. */
export const wrong = (field: string, problem: string): DomainError => {
  const message = maskSecrets(problem)
  return new DomainError('Invalid', `${field} ${message}`, {
    errors: [{ pointer: `/${field}`, code: 'invalid', message }],
  })
}

/** A text that must be there. Throws Invalid. */
export const textOf = (fields: Record<string, unknown>, field: string): string => {
  const value = fields[field]
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value
  throw wrong(field, value === undefined ? 'is missing' : 'must be a text')
}

export const maybeText = (fields: Record<string, unknown>, field: string): string | undefined =>
  fields[field] === undefined ? undefined : textOf(fields, field)

/** What may be somebody's name: not so long that looking for it in a password takes time. Throws Invalid. */
export const nameOf = (fields: Record<string, unknown>, field: string): string => {
  const value = textOf(fields, field)
  if (value.length <= LONGEST_NAME) return value
  throw wrong(field, `must have at most ${String(LONGEST_NAME)} characters`)
}

/** Credentials are never tried: what would be answered is the credential. Throws BadRequest. */
export const refuseDryRun = ({ dryRun }: { dryRun?: boolean }): void => {
  if (dryRun) throw new DomainError('BadRequest', 'dryRun is not supported here; send the request without it')
}

/** A password or a code. Throws Invalid, and TooLarge for what can be none. */
export const secretOf = (fields: Record<string, unknown>, field: string): string => {
  const value = textOf(fields, field)
  if (Buffer.byteLength(value) > LARGEST_SECRET) throw new DomainError('TooLarge', `${field} is too large`)
  return value
}

export const flagOf = (fields: Record<string, unknown>, field: string): boolean => {
  const value = fields[field] ?? false
  if (typeof value === 'boolean') return value
  throw wrong(field, 'must be true or false')
}

const units: Record<string, number> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  y: 31_536_000_000,
}

/** `90m`, `12h`, `30d`, `1h30m` in milliseconds; undefined for anything else. */
export const durationOf = (text: string): number | undefined => {
  if (!/^(\d{1,9}[smhdwy])+$/.test(text)) return undefined
  const parts = text.match(/\d+[smhdwy]/g) ?? []
  return parts.reduce((sum, part) => sum + Number(part.slice(0, -1)) * (units[part.slice(-1)] ?? 0), 0)
}
