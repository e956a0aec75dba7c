import { DomainError } from '@mcpctl/contracts'
import { canonical } from './canonical'
import { columnsOf, type Columns } from './columns'
import { eventTexts, sha256, type EventTexts } from './event-text'
import { checkShape } from './shape'
import type { AppendCondition, AppendRequest, CommandRecord, Fence, NewEvent, StreamAppend } from '../types'

const maxEventBytes = 1024 * 1024
const maxRequestBytes = 64 * 1024 * 1024
// Everybody waits while a request is stored; the time for streams grows with their square.
const maxStreams = 2_000
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** A request that was checked so that it cannot spoil the flush it travels in. */
export interface EncodedRequest {
  bytes: number
  /** There for most: the quicker way to store it. */
  columns?: Columns | undefined
  /** As `es.append_many` reads it. */
  json: () => string
}

/** Throws `Invalid` for what is no request and for what JSON or PostgreSQL cannot hold, `TooLarge` for an event over 1 MiB. */
export const encodeRequest = (request: AppendRequest): EncodedRequest => {
  checkShape(request)
  const { streams, condition, fence } = request
  if (streams.length > maxStreams)
    throw new DomainError('TooLarge', `the append names ${streams.length} streams; ${maxStreams} at most: split it`)
  const encoded = streams.map(encodeStream)
  const rest = [
    ...(condition ? [`"condition":${encodeConditions(condition)}`] : []),
    ...(fence ? [`"fence":${encodeFence(fence)}`] : []),
  ]
  const command = request.command && encodeCommand(request.command)
  if (command) rest.push(command.json)
  const json = () => `{${[`"streams":[${encoded.map(streamJson).join(',')}]`, ...rest].join(',')}}`
  const events = encoded.reduce((sum, stream) => sum + stream.bytes, 0)
  const bytes = events + rest.reduce((sum, part) => sum + Buffer.byteLength(part), 0)
  if (bytes > maxRequestBytes) throw new DomainError('TooLarge', `the append is larger than ${maxRequestBytes} bytes`)
  return { bytes, json, columns: columnsOf(request, encoded[0]?.events[0], command?.result) }
}

interface EncodedStream {
  head: string
  events: EncodedEvent[]
  bytes: number
}

const encodeStream = (stream: StreamAppend, index: number): EncodedStream => {
  const { streamId, category, expected } = stream
  const pointer = `/streams/${index}`
  const head = canonical({ category, expected, streamId }, pointer)
  checkStream(stream, pointer)
  const events = stream.events.map((event, i) => encodeEvent(stream, event, `${pointer}/events/${i}`))
  return { head, events, bytes: events.reduce((sum, event) => sum + event.bytes, Buffer.byteLength(head)) }
}

const streamJson = ({ head, events }: EncodedStream): string =>
  `${head.slice(0, -1)},"events":[${events.map(({ hash, text }) => `{"hash":"${hash}","event":${text}}`).join(',')}]}`

interface EncodedEvent extends EventTexts {
  hash: string
  bytes: number
}

const encodeEvent = (stream: StreamAppend, event: NewEvent, pointer: string): EncodedEvent => {
  checkInteger(event.schemaVersion, `${pointer}/schemaVersion`)
  checkUuid(event.id, `${pointer}/id`)
  const texts = eventTexts(stream, event, pointer)
  const bytes = Buffer.byteLength(texts.text)
  if (bytes > maxEventBytes)
    throw new DomainError('TooLarge', `an event of type ${event.type} is larger than ${maxEventBytes} bytes`)
  return { ...texts, bytes, hash: sha256(texts.text) }
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

const encodeCommand = ({ id, requestHash, result }: CommandRecord): { json: string; result: string } => {
  checkUuid(id, '/command/id')
  const answer = canonical(result, '/command/result')
  const asked = canonical(requestHash, '/command/requestHash')
  return { json: `"command":{"id":"${id}","requestHash":${asked},"result":${answer}}`, result: answer }
}

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
