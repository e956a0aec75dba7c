import { DomainError, type ResourceObject } from '@mcpctl/contracts'
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

/** Throws BadRequest naming the supported fields. */
const fieldTerms = (selector: string) =>
  terms(selector).map(({ negated, key, value }) => {
    const path = fields.get(key)
    if (!path || value === undefined)
      throw new DomainError(
        'BadRequest',
        `field selector "${key}" is not supported; use one of ${[...fields.keys()].join(', ')}`,
      )
    return { negated, path, value }
  })

/** `spec.server=github,status.phase!=Running` as SQL conditions on the object. Throws BadRequest naming the supported fields. */
export const fieldConditions = (selector: string): RawBuilder<boolean>[] =>
  fieldTerms(selector).map(({ negated, path, value }) => {
    const holds = sql<boolean>`coalesce(object #>> ${path}::text[] = ${value}, false)`
    return negated ? sql<boolean>`not (${holds})` : holds
  })

/** Of values that selectors are about: texts, numbers and truth values, as PostgreSQL's `#>>` shows them. */
const textAt = (object: unknown, path: readonly string[]): string | undefined => {
  let value: unknown = object
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<string, unknown>)[key]
  }
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
}

/** Whether an object is one that a list with these selectors holds. Throws BadRequest for a wrong selector. */
export const selectorOf = (selectors: {
  labelSelector?: string
  fieldSelector?: string
}): ((object: ResourceObject) => boolean) => {
  const ofLabels = terms(selectors.labelSelector ?? '')
  const ofFields = fieldTerms(selectors.fieldSelector ?? '')
  return (object) => {
    const { labels } = object.metadata
    const holds = (key: string, value: string | undefined) =>
      Object.hasOwn(labels, key) && (value === undefined || labels[key] === value)
    return (
      ofLabels.every(({ negated, key, value }) => holds(key, value) !== negated) &&
      ofFields.every(({ negated, path, value }) => (textAt(object, path) === value) !== negated)
    )
  }
}
