import { maskCredentials } from '@mcpctl/contracts'
import type { ErrorCode, FieldError, Problem } from '@mcpctl/contracts'
import { ApiError, ConfigError, ConnectionError } from '@mcpctl/client'
import { escapeText } from './output/escape'

/** The process's exit codes; `mcpctl help exit-codes` prints this table. */
export const exit = {
  ok: 0,
  negative: 1,
  usage: 2,
  notFound: 3,
  notLoggedIn: 4,
  forbidden: 5,
  conflict: 6,
  invalid: 7,
  timeout: 8,
  unavailable: 9,
  internal: 10,
  interrupted: 130,
} as const

export type ExitCode = (typeof exit)[keyof typeof exit]

const exitCodeOf: Record<ErrorCode, ExitCode> = {
  BadRequest: exit.usage,
  Unauthorized: exit.notLoggedIn,
  Forbidden: exit.forbidden,
  Escalation: exit.forbidden,
  SecretUse: exit.forbidden,
  ServerUse: exit.forbidden,
  NotFound: exit.notFound,
  MethodNotAllowed: exit.usage,
  NotAcceptable: exit.internal,
  AlreadyExists: exit.conflict,
  Conflict: exit.conflict,
  InUse: exit.conflict,
  LastAdmin: exit.conflict,
  Expired: exit.conflict,
  AccessChanged: exit.conflict,
  SlowConsumer: exit.conflict,
  PreconditionFailed: exit.conflict,
  TooLarge: exit.invalid,
  UnsupportedMediaType: exit.internal,
  MisdirectedRequest: exit.unavailable,
  Invalid: exit.invalid,
  IdempotencyKeyReused: exit.conflict,
  PreconditionRequired: exit.internal,
  TooManyRequests: exit.unavailable,
  CommittedNotVisible: exit.timeout,
  Unavailable: exit.unavailable,
  Timeout: exit.timeout,
  UnknownEvent: exit.unavailable,
  Internal: exit.internal,
}

/** Something a command refuses or found wanting, with what to print. */
export class CliError extends Error {
  override readonly name = 'CliError'

  constructor(
    readonly exitCode: ExitCode,
    message: string,
    readonly hint?: string,
  ) {
    super(message)
  }
}

/** A wrong word, flag or local file. */
export const usage = (message: string, hint?: string) => new CliError(exit.usage, message, hint)

/** A question was answered with no, and that is all there is to say. */
export class NegativeAnswer extends Error {
  override readonly name = 'NegativeAnswer'
}

/** Several objects were asked for and some failed: each failure is printed. */
export class Failures extends Error {
  override readonly name = 'Failures'

  constructor(readonly errors: readonly unknown[]) {
    super(`${String(errors.length)} failures`)
  }
}

/** Throws what went wrong, if anything did. */
export const throwAll = (errors: readonly unknown[]): void => {
  if (errors.length === 1) throw errors[0]
  if (errors.length > 1) throw new Failures(errors)
}

export const isReason = (error: unknown, reason: ErrorCode): error is ApiError =>
  error instanceof ApiError && error.problem.reason === reason

/** Whether the daemon did not accept the token, for any of several objects. */
export const isUnauthorized = (error: unknown): boolean => {
  if (error instanceof Failures) return error.errors.some(isUnauthorized)
  return isReason(error instanceof ManifestRefused ? error.refusal : error, 'Unauthorized')
}

const MOST_HINTS = 5

const lacking =
  /: User "[^"]+" cannot (?:do operation "(?<action>[^"]+)"(?: on)?|(?<role>[a-z]+))(?: resource "(?<kind>[^"]+)"(?: named "(?<name>[^"]+)")?)?/

/** In an escalation: the entry that somebody would give away without holding it. */
const withheld = /you do not hold "(?:op )?(?<verb>[^":]+)(?::(?<kind>[^":/]+)(?:[:/](?<name>[^"]+))?)?"/

const askedIn = (text: string): string | undefined => {
  const { action, role, verb, kind, name } = (lacking.exec(text) ?? withheld.exec(text))?.groups ?? {}
  const word = action ?? role ?? verb
  if (word === undefined) return undefined
  const object = [kind, name].filter((part) => part !== undefined).join('/')
  return [word, object].filter((part) => part !== '').join(' ')
}

const refusedReasons = new Set<ErrorCode>(['Forbidden', 'Escalation', 'SecretUse', 'ServerUse'])

/** How to find out why something is forbidden to whoever acts: each refusal says who lacks what on what. */
export const forbiddenHints = (error: unknown, as?: string): string[] => {
  if (error instanceof Failures) return [...new Set(error.errors.flatMap((one) => forbiddenHints(one, as)))]
  const refusal = error instanceof ManifestRefused ? error.refusal : error
  if (!(refusal instanceof ApiError) || !refusedReasons.has(refusal.problem.reason)) return []
  const { detail, errors = [] } = refusal.problem
  const asked = [detail, ...errors.map(({ message }) => message)].flatMap((text) => askedIn(text) ?? [])
  // Whoever may not act as another was refused as himself.
  const whose = (each: string) => (as === undefined || each.startsWith('impersonate') ? '' : ` --as ${as}`)
  return [...new Set(asked)]
    .slice(0, MOST_HINTS)
    .map((each) => `see: mcpctl auth can-i ${each}${whose(each)} --explain`)
}

/** Where a pointer of the bundle that was sent stands in the user's files. */
export type Locate = (pointer: string) => string | undefined

/** A refusal of a manifest: its fields are shown with the lines they stand on. */
export class ManifestRefused extends Error {
  override readonly name = 'ManifestRefused'

  constructor(
    readonly refusal: ApiError,
    readonly locate: Locate,
    /** How many parts of a pointer name the object: two in a bundle (`/servers/0`), none where it was sent alone. */
    readonly depth: 0 | 2,
    /** The kind's and the object's name for those parts. */
    readonly nameAt: (pointer: string) => { kind: string; name: string } | undefined,
  ) {
    super(refusal.message)
  }
}

export const exitCode = (error: unknown): ExitCode => {
  if (error instanceof CliError) return error.exitCode
  if (error instanceof ApiError) return exitCodeOf[error.problem.reason]
  if (error instanceof ManifestRefused) return exitCode(error.refusal)
  if (error instanceof ConnectionError) return error.code === 'TIMEOUT' ? exit.timeout : exit.unavailable
  if (error instanceof ConfigError) return error.code === 'NoContext' ? exit.unavailable : exit.usage
  if (error instanceof Failures) {
    const codes = new Set(error.errors.map(exitCode))
    return codes.size === 1 ? exitCode(error.errors[0]) : exit.negative
  }
  return exit.internal
}

/** kubectl users may keep their scripts: there every failure is 1. */
export const finalCode = (code: ExitCode, env: Record<string, string | undefined>): ExitCode =>
  env['MCPCTL_EXIT_CODES'] === 'kubectl' && code >= exit.usage && code <= exit.internal ? exit.negative : code

/** `/env/1/value` or `/spec/env/1/value` → `spec.env[1].value`; in a bundle, at depth 2, `/servers/0/env/1/value` too. */
export const fieldPath = (pointer: string, depth: 0 | 2 = 0): string => {
  const parts = pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  // About the bundle itself rather than about one of its entries.
  if (parts.length < depth) return parts.join('.')
  const [first, ...rest] = parts.slice(depth)
  if (first === undefined) return ''
  const rooted =
    first === 'spec' || first === 'metadata'
      ? [first, ...rest]
      : [['name', 'labels', 'annotations'].includes(first) ? 'metadata' : 'spec', first, ...rest]
  return rooted.reduce((path, part) => {
    if (/^\d+$/.test(part)) return `${path}[${part}]`
    return path === '' ? part : `${path}.${part}`
  }, '')
}

interface Place {
  depth: 0 | 2
  locate: Locate
}

const fieldLine = (error: FieldError, place?: Place): string => {
  const where = place?.locate(error.pointer)
  const path = fieldPath(error.pointer, place?.depth)
  return `* ${path === '' ? '' : `${path}: `}${error.message}${where ? ` (${where})` : ''}`
}

const invalidLines = (problem: Problem, errors: readonly FieldError[], place?: Place): string[] => {
  const kind = problem.kind ? singularTitle(problem.kind) : 'object'
  const named = problem.name ? `${kind} "${problem.name}"` : kind
  return [`The ${named} is invalid:`, ...errors.map((error) => fieldLine(error, place))]
}

/** `servers`, `server` or `Server` → `Server`, as error texts of kubectl show it. */
const singularTitle = (kind: string): string => {
  const singular = kind.replace(/s$/, '')
  return singular.charAt(0).toUpperCase() + singular.slice(1)
}

const conflictText = (problem: Problem): string =>
  `Operation cannot be fulfilled on ${problem.kind ?? 'objects'} "${problem.name ?? ''}": the object has been modified; ` +
  'please apply your changes to the latest version and try again'

const problemLines = (problem: Problem): string[] => {
  switch (problem.reason) {
    case 'Invalid':
      if (problem.errors?.length) return invalidLines(problem, problem.errors)
      return [`Error from server (Invalid): ${problem.detail}`]
    case 'PreconditionFailed':
      return [`Error from server (Conflict): ${problem.name ? conflictText(problem) : problem.detail}`]
    case 'Unauthorized':
      return [`error: You must be logged in to the server (${problem.detail})`]
    case 'CommittedNotVisible':
      return [
        `error: the change is committed${problem.position ? ` at position ${problem.position}` : ''} but not visible yet; ` +
          'look again in a moment and do not repeat it',
      ]
    default: {
      const fields = (problem.errors ?? []).map((error) => fieldLine(error))
      return [`Error from server (${problem.reason}): ${problem.detail}`, ...fields]
    }
  }
}

const refusedLines = (refused: ManifestRefused): string[] => {
  const { refusal, depth, nameAt } = refused
  const groups = new Map<string, FieldError[]>()
  for (const error of refusal.problem.errors ?? []) {
    const key = error.pointer
      .split('/')
      .slice(0, depth + 1)
      .join('/')
    groups.set(key, [...(groups.get(key) ?? []), error])
  }
  if (refusal.problem.reason !== 'Invalid' || groups.size === 0) return problemLines(refusal.problem)
  return [...groups].flatMap(([key, errors]) => invalidLines({ ...refusal.problem, ...nameAt(key) }, errors, refused))
}

const connectionLines = (error: ConnectionError): string[] => {
  if (error.code === 'ECONNREFUSED')
    return [
      `The connection to the server ${error.address} was refused - did you specify the right host or port?`,
      'run: mcpctl up',
    ]
  if (error.code === 'TIMEOUT')
    return [
      `error: the server ${error.message}; a change may have been made all the same`,
      'run: mcpctl status, or give it longer with --request-timeout',
    ]
  return [`Unable to connect to the server: ${error.message}`]
}

const rawLines = (error: unknown): string[] => {
  if (error instanceof Failures) return error.errors.flatMap(rawLines)
  if (error instanceof ManifestRefused) return refusedLines(error)
  if (error instanceof ApiError) return problemLines(error.problem)
  if (error instanceof ConnectionError) return connectionLines(error)
  if (error instanceof ConfigError) return [`error: ${error.message}${error.hint ? `; run: ${error.hint}` : ''}`]
  if (error instanceof CliError) return [`error: ${error.message}`, ...(error.hint ? [error.hint] : [])]
  const text = error instanceof Error ? error.message : String(error)
  return [`error: ${text}`, 'this is a defect of mcpctl; -v=9 shows where it happened']
}

const requestIds = (error: unknown): string[] => {
  if (error instanceof Failures) return error.errors.flatMap(requestIds)
  const refusal = error instanceof ManifestRefused ? error.refusal : error
  return refusal instanceof ApiError && refusal.requestId ? [`request id: ${refusal.requestId}`] : []
}

/** What to print about an error, line by line. Text that came from outside cannot steer the terminal, and a credential in it is not repeated. */
export const errorLines = (error: unknown, verbosity = 0): string[] => {
  const stack = verbosity >= 9 && error instanceof Error && error.stack ? error.stack.split('\n') : []
  const lines = [...rawLines(error), ...(verbosity >= 1 ? requestIds(error) : []), ...stack]
  return lines.flatMap((line) => maskCredentials(line).split('\n')).map(escapeText)
}
