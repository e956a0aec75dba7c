import { DomainError } from '@mcpctl/contracts'
import { canonicalEvent } from '../append/event-text'
import type { ClaimChange, EventMeta, JsonObject } from '../types'
import { broken } from './broken'
import { numbersAreExact } from './exact-numbers'

/** An event as one line of an export holds it. */
export interface EventLine {
  position: number
  version: number
  /** RFC 3339, UTC, microseconds. */
  recordedAt: string
  category: string
  streamId: string
  id: string
  type: string
  schemaVersion: number
  claims: ClaimChange[]
  data: JsonObject
  meta: EventMeta
  contentHash: string
  hash: string
}

const isText = (value: unknown): value is string => typeof value === 'string'
const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isFrom = (least: number) => (value: unknown) => Number.isSafeInteger(value) && (value as number) >= least
const matches = (pattern: RegExp) => (value: unknown) => isText(value) && pattern.test(value)

const isClaim = (claim: unknown): boolean => {
  if (!isObject(claim)) return false
  const { op, scope, key, ...rest } = claim as Record<string, unknown>
  return (op === 'take' || op === 'release') && isText(scope) && isText(key) && Object.keys(rest).length === 0
}

// In the order in which an export writes them.
const rules: Record<keyof EventLine, (value: unknown) => boolean> = {
  position: isFrom(1),
  version: isFrom(1),
  recordedAt: matches(/^(?:19[7-9]|[2-9]\d\d)\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
  category: isText,
  streamId: isText,
  id: matches(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/),
  type: isText,
  schemaVersion: isFrom(0),
  claims: (value) => Array.isArray(value) && value.every(isClaim),
  data: isObject,
  meta: isObject,
  contentHash: matches(/^[0-9a-f]{64}$/),
  hash: matches(/^[0-9a-f]{64}$/),
}
const fields = Object.entries(rules) as [keyof EventLine, (value: unknown) => boolean][]
const fieldNames = Object.keys(rules).join()

// JSON allows tabs and returns between its tokens; an export writes none.
const control = /[\u0000-\u001f]/

/** Reads the line of the event that should stand at `position`. Throws `Broken` unless every field is there, in order, and possible. */
export const parseEventLine = (text: string, position: number): EventLine => {
  const event = parse(text)
  if (control.test(text) || !isObject(event) || Object.keys(event).join() !== fieldNames)
    throw broken('format', position, 'line', 'is not the line of an event')
  for (const [field, isPossible] of fields) {
    if (!isPossible((event as EventLine)[field]))
      throw broken('format', position, field, `is not what an event has as ${field}`)
  }
  return event as EventLine
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The text that the content hash is made of. Throws `Broken` for values that cannot have been appended. */
export const contentOf = (event: EventLine, text: string): string => {
  if (!numbersAreExact(text))
    throw broken('content', event.position, 'data', 'holds a number with more digits than the content hash covers')
  try {
    return canonicalEvent(event, event)
  } catch (error) {
    if (error instanceof DomainError) throw broken('content', event.position, 'data', error.message)
    throw error
  }
}
