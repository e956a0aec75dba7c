import { didYouMean, DomainError } from '@mcpctl/contracts'
import type { FastifyRequest } from 'fastify'

/** What is watched, and where from. */
export interface WatchQuery {
  labelSelector?: string
  fieldSelector?: string
  /** The position up to which the client knows; absent for one who starts. */
  from?: bigint
  /** Begin with what is there. */
  initial: boolean
}

const known = ['watch', 'labelSelector', 'fieldSelector', 'resourceVersion', 'sendInitialEvents']
const truths = new Map([
  ['1', true],
  ['true', true],
  ['0', false],
  ['false', false],
])

const truthOf = (query: Record<string, unknown>, name: string): boolean => {
  const value = query[name]
  if (value === undefined) return false
  const truth = typeof value === 'string' ? truths.get(value) : undefined
  if (truth === undefined) throw new DomainError('BadRequest', `${name} must be true or false`)
  return truth
}

/** Whether a list is to go on. Throws BadRequest for a word that is no answer. */
export const isWatch = (query: Record<string, unknown>): boolean => truthOf(query, 'watch')

const textOf = (query: Record<string, unknown>, name: string): string | undefined => {
  const value = query[name]
  if (value === undefined || typeof value === 'string') return value
  throw new DomainError('BadRequest', `query parameter ${name} must be given once`)
}

/** Throws Expired for a version of another epoch, since positions mean something else there. */
const positionOf = (version: string, epoch: number): bigint => {
  const [, ofEpoch, position] = /^(\d{1,9})\.(\d{1,18})$/.exec(version) ?? []
  if (position === undefined)
    throw new DomainError('BadRequest', 'watch from the resourceVersion of a list, an object or an event')
  if (Number(ofEpoch) !== epoch)
    throw new DomainError('Expired', 'this resourceVersion is from before a restore; list again')
  return BigInt(position)
}

/** Throws BadRequest for a parameter that is unknown, doubled or malformed, and Expired. */
export const parseWatchQuery = ({ query, headers }: FastifyRequest, epoch: number): WatchQuery => {
  const asked = query as Record<string, unknown>
  const unknown = Object.keys(asked).find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw new DomainError(
      'BadRequest',
      `unknown query parameter "${unknown}"${didYouMean(unknown, known) || `; a watch takes ${known.join(', ')}`}`,
    )
  const labelSelector = textOf(asked, 'labelSelector')
  const fieldSelector = textOf(asked, 'fieldSelector')
  const initial = truthOf(asked, 'sendInitialEvents')
  const seen = headers['last-event-id']
  // A client that comes back asks as it did at first, and says how far it has come.
  const version =
    typeof seen === 'string' && seen !== '' ? seen : initial ? undefined : textOf(asked, 'resourceVersion')
  return {
    ...(labelSelector !== undefined && { labelSelector }),
    ...(fieldSelector !== undefined && { fieldSelector }),
    ...(version !== undefined && { from: positionOf(version, epoch) }),
    initial: initial && version === undefined,
  }
}

/** Throws NotAcceptable for a client that takes no stream of events. */
export const requireEventStream = ({ headers: { accept = '*/*' } }: FastifyRequest): void => {
  if (/\*\/\*|text\/(\*|event-stream)/i.test(accept)) return
  throw new DomainError('NotAcceptable', 'a watch is sent as text/event-stream; accept that, or list without watch')
}
