import type { Column, ColumnFormat, Kind, ResourceObject } from '@mcpctl/contracts'
import { age } from './age'

const none = '<none>'

/** The value at a dotted path, or undefined. */
export const valueAt = (object: unknown, path: string): unknown =>
  path.split('.').reduce<unknown>((value, key) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    return (value as Record<string, unknown>)[key]
  }, object)

const word = (value: unknown): string => {
  if (typeof value === 'string') return value
  if (typeof value === 'object' && value !== null && 'name' in value) return String(value.name)
  return JSON.stringify(value)
}

const count = (value: unknown): string => {
  if (Array.isArray(value)) return String(value.length)
  if (typeof value === 'object' && value !== null) return String(Object.keys(value).length)
  return typeof value === 'number' ? String(value) : '0'
}

const list = (value: unknown): string => {
  if (!Array.isArray(value) || value.length === 0) return none
  return value.map(word).join(',')
}

const isAbsent = (value: unknown) => value === undefined || value === null || value === ''

const shortLength = 12

const formats: Record<ColumnFormat, (value: unknown, now: number) => string> = {
  text: (value) => (isAbsent(value) ? none : word(value)),
  short: (value) => (isAbsent(value) ? none : word(value).slice(0, shortLength)),
  count,
  list,
  age: (value, now) => (isAbsent(value) ? none : age(value, now)),
  yesno: (value) => (typeof value === 'boolean' ? (value ? 'yes' : 'no') : none),
}

/** One cell. In a composed path such as `{a.b}/{c}` an absent part counts as 0: what has not been observed is not there. */
export const cell = (object: ResourceObject, column: Column, now: number): string => {
  if (!column.path.includes('{')) return formats[column.as ?? 'text'](valueAt(object, column.path), now)
  return column.path.replace(/\{([^}]*)\}/g, (_, path: string) => {
    const value = valueAt(object, path)
    return isAbsent(value) ? '0' : word(value)
  })
}

const nameColumn: Column = { header: 'NAME', path: 'metadata.name' }
const ageColumn: Column = { header: 'AGE', path: 'metadata.createdAt', as: 'age' }

/** NAME first, AGE after the kind's own columns, then what only `-o wide` shows. */
export const columnsOf = (kind: Kind, wide: boolean): Column[] => [
  nameColumn,
  ...kind.columns.filter((column) => !column.wide),
  ageColumn,
  ...(wide ? kind.columns.filter((column) => column.wide) : []),
]

/** `a=b,c=d`, or `<none>`. */
export const labelText = (labels: Record<string, string> | undefined): string =>
  Object.entries(labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .join(',') || none
