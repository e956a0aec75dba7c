import { didYouMean, DomainError } from '@mcpctl/contracts'
import type { ListQuery } from '@mcpctl/read-model'

const known = ['labelSelector', 'fieldSelector', 'limit', 'continue']

const checked = (name: string, value: unknown): [string, string] => {
  if (!known.includes(name))
    throw new DomainError(
      'BadRequest',
      `unknown query parameter "${name}"${didYouMean(name, known) || `; a list takes ${known.join(', ')}`}`,
    )
  if (typeof value !== 'string') throw new DomainError('BadRequest', `query parameter ${name} must be given once`)
  return [name, value]
}

/** What a list is asked for. Throws BadRequest for a parameter that is unknown, doubled or out of range. */
export const parseListQuery = (query: Record<string, unknown>): ListQuery => {
  const { limit, ...rest } = Object.fromEntries(Object.entries(query).map(([name, value]) => checked(name, value)))
  if (limit === undefined) return rest
  if (!/^([1-9]\d{0,2}|1000)$/.test(limit)) throw new DomainError('BadRequest', 'limit must be a number from 1 to 1000')
  return { ...rest, limit: Number(limit) }
}
