import { usage } from '../errors'

/** Keys and list positions, outermost first. */
export type Path = readonly (string | number)[]

/** `{.status.conditions[0].type}`: fields and list positions, the part of JSONPath that names one value. */
export const parsePath = (text: string): Path => {
  const inner = text.replace(/^\{/, '').replace(/\}$/, '').replace(/^\$/, '')
  const parts = [...inner.matchAll(/\.([\w-]+)|\[(\d+)\]|\['([^']*)'\]/g)]
  if (inner === '' || parts.map(([part]) => part).join('') !== inner)
    throw usage(`cannot read the path "${text}"; write fields and positions like {.status.conditions[0].type}`)
  return parts.map(([, field, position, quoted]) =>
    position === undefined ? (field ?? quoted ?? '') : Number(position),
  )
}

/** The value that the path leads to, or undefined. */
export const pathValue = (object: unknown, path: Path): unknown =>
  path.reduce<unknown>((value, key) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    return (value as Record<string | number, unknown>)[key]
  }, object)
