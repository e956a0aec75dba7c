import { ApiError } from '@mcpctl/client'
import type { AccessQuestion } from '@mcpctl/contracts'
import { parseDuration } from '../duration'
import { usage } from '../errors'

const exampleOf = (command: string): string => `For example: mcpctl auth ${command} edit server/github`

/** `TYPE`, `TYPE/NAME` or `TYPE NAME`. */
const placeOf = (type: string, name: string | undefined, command: string): { kind: string; name?: string } => {
  const slash = type.indexOf('/')
  if (slash !== -1 && name !== undefined) throw usage('name the object once', exampleOf(command))
  const kind = slash === -1 ? type : type.slice(0, slash)
  const named = slash === -1 ? name : type.slice(slash + 1)
  if (kind === '' || named === '') throw usage(`"${type}" is no TYPE/NAME`, exampleOf(command))
  return { kind, ...(named !== undefined && { name: named }) }
}

/** What somebody wants to do, as words: VERB, VERB TYPE, VERB TYPE/NAME or VERB TYPE NAME. */
export const parseQuestion = (words: readonly string[], command: string): AccessQuestion => {
  const [verb, type, name, ...rest] = words
  if (verb === undefined) throw usage('say what is to be done', exampleOf(command))
  if (rest.length > 0) throw usage(`too many words: "${rest.join(' ')}"`, exampleOf(command))
  return { verb, ...(type !== undefined && placeOf(type, name, command)) }
}

/** A moment as the daemon takes it; `2h` and `-2h` are so long ago. */
export const parseMoment = (text: string, now = Date.now()): string => {
  if (/^\d+$/.test(text) || text.includes('T') || /^\d{4}-\d{2}-\d{2}$/.test(text)) return text
  return new Date(now - parseDuration(text.replace(/^-/, ''), '--at')).toISOString()
}

/** What the daemon finds wrong with a question was typed here, word by word. */
export const asked = async <T>(answer: Promise<T>): Promise<T> => {
  try {
    return await answer
  } catch (error) {
    if (!(error instanceof ApiError) || error.problem.reason !== 'Invalid') throw error
    throw usage(error.problem.detail, 'run: mcpctl auth can-i --help')
  }
}
