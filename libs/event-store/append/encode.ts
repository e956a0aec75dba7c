import { createHash } from 'node:crypto'
import { DomainError } from '@mcpctl/contracts'
import canonicalize from 'canonicalize'
import { checkPayload } from './payload'
import type { AppendRequest, NewEvent, StreamAppend } from '../types'

const maxEventBytes = 1024 * 1024
const maxRequestBytes = 64 * 1024 * 1024
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** A request in the form that `es.append_many` reads, checked so that it cannot spoil the flush it travels in. */
export interface EncodedRequest {
  json: string
  bytes: number
}

/** All that the application knows of an event, in RFC 8785 form. Both the stored JSON and the input of the content hash. */
export const canonicalEvent = (stream: Pick<StreamAppend, 'streamId' | 'category'>, event: NewEvent): string =>
  canonicalize({
    id: event.id,
    type: event.type,
    schemaVersion: event.schemaVersion,
    streamId: stream.streamId,
    category: stream.category,
    claims: event.claims ?? [],
    data: event.data,
    meta: event.meta,
  }) as string

/** sha256 over `canonicalEvent`, hex: equal before storing and after reading back. */
export const contentHash = (stream: Pick<StreamAppend, 'streamId' | 'category'>, event: NewEvent): string =>
  sha256(canonicalEvent(stream, event))

/** Throws `Invalid` for what JSON or PostgreSQL cannot hold, `TooLarge` for an event over 1 MiB. */
export const encodeRequest = (request: AppendRequest): EncodedRequest => {
  checkRequest(request)
  const { condition, fence, command } = request
  const parts = [`"streams":[${request.streams.map(encodeStream).join(',')}]`]
  if (condition) parts.push(`"condition":${JSON.stringify({ ...condition, after: String(condition.after) })}`)
  if (fence) parts.push(`"fence":${JSON.stringify(fence)}`)
  if (command) parts.push(`"command":${JSON.stringify(command)}`)
  const json = `{${parts.join(',')}}`
  const bytes = Buffer.byteLength(json)
  if (bytes > maxRequestBytes) throw new DomainError('TooLarge', `the append is larger than ${maxRequestBytes} bytes`)
  return { json, bytes }
}

const encodeStream = (stream: StreamAppend): string => {
  const { streamId, category, expected, events } = stream
  const head = JSON.stringify({ streamId, category, expected }).slice(0, -1)
  return `${head},"events":[${events.map((event) => encodeEvent(stream, event)).join(',')}]}`
}

const encodeEvent = (stream: StreamAppend, event: NewEvent): string => {
  const text = canonicalEvent(stream, event)
  if (Buffer.byteLength(text) > maxEventBytes)
    throw new DomainError('TooLarge', `an event of type ${event.type} is larger than ${maxEventBytes} bytes`)
  return `{"hash":"${sha256(text)}","event":${text}}`
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

const checkRequest = (request: AppendRequest) => {
  request.streams.forEach((stream, i) => checkStream(stream, `/streams/${i}`))
  if (request.condition) {
    const { types, streams } = request.condition
    checkPayload({ types, ...(streams && { streams }) }, '/condition')
  }
  if (request.fence) {
    checkPayload(request.fence, '/fence')
    checkInteger(request.fence.term, '/fence/term')
  }
  if (request.command) {
    checkPayload(request.command, '/command')
    checkUuid(request.command.id, '/command/id')
  }
}

const checkStream = (stream: StreamAppend, pointer: string) => {
  const { streamId, category, expected, events } = stream
  checkPayload({ streamId, category }, pointer)
  if (streamId === '' || streamId.startsWith('$'))
    refuse(`${pointer}/streamId`, 'reserved', 'a stream id is not empty and does not start with "$"')
  if (typeof expected === 'number') checkInteger(expected, `${pointer}/expected`)
  else if (!['any', 'none', 'exists'].includes(expected))
    refuse(`${pointer}/expected`, 'enum', 'the expected version is any, none, exists or a number')
  events.forEach((event, i) => {
    const at = `${pointer}/events/${i}`
    checkPayload(event.data, `${at}/data`)
    checkPayload(event.meta, `${at}/meta`)
    checkPayload({ type: event.type, claims: event.claims ?? [] }, at)
    checkInteger(event.schemaVersion, `${at}/schemaVersion`)
    checkUuid(event.id, `${at}/id`)
  })
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
