import { DomainError } from '@mcpctl/contracts'
import type { AppendRequest, ClaimChange, NewEvent, StreamAppend } from '../types'

/**
 * Makes sure that what is no TypeScript, or was cast, has the types that the log is made of: anything else would be stored and never verify, be
 * exported or imported again. Throws `Invalid`.
 */
export const checkShape = ({ streams, command }: AppendRequest): void => {
  streams.forEach((stream, i) => checkStream(stream, `/streams/${i}`))
  if (command) requireObject(command.result, '/command/result')
}

const checkStream = ({ streamId, category, events }: StreamAppend, pointer: string) => {
  requireText(streamId, `${pointer}/streamId`)
  requireText(category, `${pointer}/category`)
  for (let i = 0; i < events.length; i++) checkEvent(events[i] as NewEvent, pointer, i)
}

const checkEvent = ({ type, data, meta, claims }: NewEvent, stream: string, index: number) => {
  if (typeof type === 'string' && isObject(data) && isObject(meta) && claims === undefined) return
  const pointer = `${stream}/events/${index}`
  requireText(type, `${pointer}/type`)
  requireObject(data, `${pointer}/data`)
  requireObject(meta, `${pointer}/meta`)
  if (!Array.isArray(claims)) return refuse(`${pointer}/claims`, 'must be a list')
  claims.forEach((claim, i) => checkClaim(claim, `${pointer}/claims/${i}`))
}

const checkClaim = (claim: ClaimChange, pointer: string) => {
  requireObject(claim, pointer)
  const { op, scope, key, ...rest } = claim
  if (!['take', 'release'].includes(op)) refuse(`${pointer}/op`, 'must be take or release')
  requireText(scope, `${pointer}/scope`)
  requireText(key, `${pointer}/key`)
  if (Object.keys(rest).length > 0) refuse(pointer, 'has op, scope and key, and nothing else')
}

const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value)

const requireObject = (value: unknown, pointer: string) => {
  if (!isObject(value)) refuse(pointer, 'must be an object')
}

const requireText = (value: unknown, pointer: string) => {
  if (typeof value !== 'string') refuse(pointer, 'must be text')
}

const refuse = (pointer: string, message: string): never => {
  throw new DomainError('Invalid', `${pointer}: ${message}`, { errors: [{ pointer, code: 'type', message }] })
}
