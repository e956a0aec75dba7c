import { hash } from 'node:crypto'
import { DomainError } from '@mcpctl/contracts'
import { canonical } from './canonical'
import { checkShape } from './shape'
import type { AppendCondition, AppendRequest, CommandRecord, Fence, NewEvent, StreamAppend } from '../types'

const maxEventBytes = 1024 * 1024
const maxRequestBytes = 64 * 1024 * 1024
// Everybody waits while a request is stored; the time for streams grows with their square.
const maxStreams = 2_000
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** A request in the form that `es.append_many` reads, checked so that it cannot spoil the flush it travels in. */
export interface EncodedRequest {
  json: string
  bytes: number
  /** The first stream that it names. */
  streamId?: string | undefined
  /** Is it one event for one stream, without a rule, as most are? */
  isPlain: boolean
}

/**
 * All that the application knows of an event, in RFC 8785 form. Both the stored JSON and the input of the content hash.
 * Throws `Invalid`, with a pointer below `pointer`, for what JSON or PostgreSQL cannot hold.
 */
export const canonicalEvent = (
  { streamId, category }: Pick<StreamAppend, 'streamId' | 'category'>,
  { id, type, schemaVersion, claims = [], data, meta }: NewEvent,
  pointer = '',
): string => canonical({ category, claims, data, id, meta, schemaVersion, streamId, type }, pointer)

/** sha256 over `canonicalEvent`, hex: equal before storing and after reading back. */
export const contentHash = (stream: Pick<StreamAppend, 'streamId' | 'category'>, event: NewEvent): string =>
  sha256(canonicalEvent(stream, event))

/** Throws `Invalid` for what is no request and for what JSON or PostgreSQL cannot hold, `TooLarge` for an event over 1 MiB. */
export const encodeRequest = (request: AppendRequest): EncodedRequest => {
  checkShape(request)
  const { streams, condition, fence, command } = request
  if (streams.length > maxStreams)
    throw new DomainError('TooLarge', `the append names ${streams.length} streams; ${maxStreams} at most: split it`)
  const parts = [`"streams":[${streams.map(encodeStream).join(',')}]`]
  if (condition) parts.push(`"condition":${encodeConditions(condition)}`)
  if (fence) parts.push(`"fence":${encodeFence(fence)}`)
  if (command) parts.push(`"command":${encodeCommand(command)}`)
  const json = `{${parts.join(',')}}`
  const bytes = Buffer.byteLength(json)
  if (bytes > maxRequestBytes) throw new DomainError('TooLarge', `the append is larger than ${maxRequestBytes} bytes`)
  const isPlain = streams.length === 1 && streams[0]?.events.length === 1 && !condition && !fence
  return { json, bytes, streamId: streams[0]?.streamId, isPlain }
}

const encodeStream = (stream: StreamAppend, index: number): string => {
  const { streamId, category, expected, events } = stream
  const pointer = `/streams/${index}`
  const head = canonical({ category, expected, streamId }, pointer)
  checkStream(stream, pointer)
  return `${head.slice(0, -1)},"events":[${events.map((event, i) => encodeEvent(stream, event, `${pointer}/events/${i}`)).join(',')}]}`
}

const encodeEvent = (stream: StreamAppend, event: NewEvent, pointer: string): string => {
  checkInteger(event.schemaVersion, `${pointer}/schemaVersion`)
  checkUuid(event.id, `${pointer}/id`)
  const text = canonicalEvent(stream, event, pointer)
  if (Buffer.byteLength(text) > maxEventBytes)
    throw new DomainError('TooLarge', `an event of type ${event.type} is larger than ${maxEventBytes} bytes`)
  return `{"hash":"${sha256(text)}","event":${text}}`
}

const encodeConditions = (condition: AppendCondition | AppendCondition[]): string => {
  const conditions = Array.isArray(condition) ? condition : [condition]
  const wire = conditions.map(({ after, types, streams }) => ({
    after: String(after),
    types,
    ...(streams && { streams }),
  }))
  return canonical(wire, '/condition')
}

const encodeFence = (fence: Fence): string => {
  checkInteger(fence.term, '/fence/term')
  return canonical(fence, '/fence')
}

const encodeCommand = (command: CommandRecord): string => {
  checkUuid(command.id, '/command/id')
  return canonical(command, '/command')
}

const sha256 = (text: string) => hash('sha256', text)

const checkStream = ({ streamId, expected }: StreamAppend, pointer: string) => {
  if (streamId === '' || streamId.startsWith('$'))
    refuse(`${pointer}/streamId`, 'reserved', 'a stream id is not empty and does not start with "$"')
  if (typeof expected === 'number') checkInteger(expected, `${pointer}/expected`)
  else if (!['any', 'none', 'exists'].includes(expected))
    refuse(`${pointer}/expected`, 'enum', 'the expected version is any, none, exists or a number')
}

const checkInteger = (value: number, pointer: string) => {
  if (!Number.isSafeInteger(value) || value < 0) refuse(pointer, 'integer', 'must be a whole number from 0')
}

// Upper case would read back in lower case and break the content hash.
const checkUuid = (value: string, pointer: string) => {
  if (!uuid.test(value)) refuse(pointer, 'uuid', 'must be a UUID in lower case')
}

const refuse = (pointer: string, code: string, message: string): never => {
  throw new DomainError('Invalid', `${pointer}: ${message}`, { errors: [{ pointer, code, message }] })
}
