import { DomainError } from '@mcpctl/contracts'
import type { FastifyRequest } from 'fastify'

/** Limits in bytes: of one object, and of a manifest or a tool call. */
const MAX_OBJECT = 1024 * 1024
export const MAX_BODY = 5 * MAX_OBJECT
const MAX_DEPTH = 100
/** Of every kind, in one body: checking one costs more than reading it. */
const MAX_VALUES = 200_000
const LARGE = /^\/(mcp\/|api\/v1\/apply(\?|$))/

export const tooLarge = () => new DomainError('TooLarge', 'the body is too large; the limit is 1 MiB, 5 MiB for apply')

export const isTooLarge = (request: FastifyRequest, bytes: number): boolean =>
  bytes > MAX_OBJECT && !LARGE.test(request.url)

const refused = (what: string) => new DomainError('BadRequest', `the body ${what}`)

const textOf = (body: Buffer): string => {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    throw refused('is not valid UTF-8')
  }
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message quotes the body, which may hold a secret.
    throw refused('is not valid JSON')
  }
}

// Under the u flag only a half without its other half matches: pairs are read as one character.
const halfPair = /\p{Surrogate}/u

const isPoisoned = (key: string, value: unknown) =>
  key === '__proto__' ||
  (key === 'constructor' && typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype'))

const checkText = (text: string) => {
  if (halfPair.test(text)) throw refused('has text with half of a surrogate pair')
}

const members = (value: object): unknown[] => {
  for (const [key, member] of Object.entries(value)) {
    checkText(key)
    if (isPoisoned(key, member)) throw refused('has a key that is not allowed: __proto__ or constructor.prototype')
  }
  return Object.values(value)
}

/** Level by level, so that no depth can exhaust the stack. */
const check = (value: unknown): void => {
  let level = [value]
  let seen = 0
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw refused(`is nested deeper than ${String(MAX_DEPTH)} levels`)
    if ((seen += level.length) > MAX_VALUES) throw refused(`holds more than ${String(MAX_VALUES)} values`)
    for (const item of level) if (typeof item === 'string') checkText(item)
    level = level.filter((item) => typeof item === 'object' && item !== null).flatMap((item) => members(item))
  }
}

/** Parses a JSON body strictly; an empty one is undefined. Throws TooLarge, BadRequest. */
export const parseBody = (request: FastifyRequest, body: Buffer): unknown => {
  if (isTooLarge(request, body.length)) throw tooLarge()
  if (body.length === 0) return undefined
  const value = parse(textOf(body))
  check(value)
  return value
}
