import { maskSecrets } from './credential-like'
import { userNamePattern } from './names'

/** Every reason for which mcpctl refuses a request. HTTP status and CLI exit code are tables over this list, at the two edges. */
export const errorCodes = [
  'BadRequest',
  'Unauthorized',
  'Forbidden',
  'Escalation',
  'SecretUse',
  'ServerUse',
  'NotFound',
  'MethodNotAllowed',
  'NotAcceptable',
  'AlreadyExists',
  'Conflict',
  'InUse',
  'LastAdmin',
  'Expired',
  'AccessChanged',
  'SlowConsumer',
  'PreconditionFailed',
  'TooLarge',
  'UnsupportedMediaType',
  'MisdirectedRequest',
  'Invalid',
  'IdempotencyKeyReused',
  'PreconditionRequired',
  'TooManyRequests',
  'CommittedNotVisible',
  'Unavailable',
  'Timeout',
  'UnknownEvent',
  'Internal',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** One wrong field: `pointer` is an RFC 6901 pointer into the object that was sent, for example `/spec/replicas`. */
export interface FieldError {
  pointer: string
  /** The rule that was broken, for example `min` or `unknown-field`. */
  code: string
  /** Lower case, says what is wrong and what would be right; never repeats a value that may be secret. */
  message: string
}

export interface ErrorDetails {
  /** Plural name of the kind concerned, for example `servers`. */
  kind?: string
  name?: string
  errors?: FieldError[]
  /** Seconds after which trying again may succeed. */
  retryAfter?: number
  /** Position of a committed write; only with `CommittedNotVisible`. */
  position?: string
  /** HTTP methods that would do; only with `MethodNotAllowed`. */
  allow?: string[]
  /** The right that was missing, as bindings spell it; for the record of refusals, never part of an answer. */
  asked?: string
  cause?: unknown
}

/** A refusal that a person can act on. Anything else that is thrown is a bug and answers 500. */
export class DomainError extends Error {
  override readonly name = 'DomainError'

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: ErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
  }
}

/** A name that no object can have is whatever somebody has typed, and may be a secret. */
const shownName = (name: string): string => (userNamePattern.test(name) ? name : maskSecrets(name))

export const notFound = (plural: string, name: string) =>
  new DomainError('NotFound', `${plural} "${shownName(name)}" not found`, { kind: plural, name: shownName(name) })

export const alreadyExists = (plural: string, name: string) =>
  new DomainError('AlreadyExists', `${plural} "${name}" already exists`, { kind: plural, name })

const MAX_TOLD = 100

/** At most 100 wrong fields are told. */
export const invalid = (kind: string, name: string, errors: FieldError[]) =>
  new DomainError('Invalid', `${kind} "${name}" is invalid`, { kind, name, errors: errors.slice(0, MAX_TOLD) })
