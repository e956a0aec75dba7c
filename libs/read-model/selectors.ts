import { DomainError } from '@mcpctl/contracts'
import { sql, type RawBuilder } from 'kysely'

const fields = new Map(
  Object.entries({
    'metadata.name': ['metadata', 'name'],
    'metadata.uid': ['metadata', 'uid'],
    'status.phase': ['status', 'phase'],
    'spec.transport': ['spec', 'transport'],
    'spec.image': ['spec', 'image'],
    'spec.package': ['spec', 'package'],
    'spec.server': ['spec', 'server'],
  }),
)

const term = /^(!?)([\w./-]+)(?:(==|=|!=)(.*))?$/

/** An empty selector is none; an empty part of one is a typing error, which must not widen what is meant. */
const terms = (selector: string) =>
  (selector === '' ? [] : selector.split(','))
    .map((text) => text.trim())
    .map((text) => {
      const [, not, key, operator, value] = term.exec(text) ?? []
      if (key === undefined || (not === '!' && operator !== undefined))
        throw new DomainError('BadRequest', `selector "${text}" is not of the form key=value, key!=value, key or !key`)
      return {
        negated: not === '!' || operator === '!=',
        key,
        value: operator === undefined ? undefined : (value ?? ''),
      }
    })

/** `team=core,tier!=free,owner,!old` as SQL conditions on a jsonb column of labels. Throws BadRequest. */
export const labelConditions = (selector: string): RawBuilder<boolean>[] =>
  terms(selector).map(({ negated, key, value }) => {
    const holds =
      value === undefined ? sql<boolean>`labels ? ${key}` : sql<boolean>`coalesce(labels ->> ${key} = ${value}, false)`
    return negated ? sql<boolean>`not (${holds})` : holds
  })

/** `spec.server=github,status.phase!=Running` as SQL conditions on the object. Throws BadRequest naming the supported fields. */
export const fieldConditions = (selector: string): RawBuilder<boolean>[] =>
  terms(selector).map(({ negated, key, value }) => {
    const path = fields.get(key)
    if (!path || value === undefined)
      throw new DomainError(
        'BadRequest',
        `field selector "${key}" is not supported; use one of ${[...fields.keys()].join(', ')}`,
      )
    const holds = sql<boolean>`coalesce(object #>> ${path}::text[] = ${value}, false)`
    return negated ? sql<boolean>`not (${holds})` : holds
  })
