import { jsonEqual } from '@mcpctl/contracts'

/** A field that two people have changed in different ways. */
export interface Clash {
  path: string[]
  theirs: unknown
}

export interface Merged {
  value: unknown
  clashes: Clash[]
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const keysOf = (...records: Record<string, unknown>[]): string[] => [...new Set(records.flatMap(Object.keys))]

const mergeRecords = (
  base: Record<string, unknown>,
  mine: Record<string, unknown>,
  theirs: Record<string, unknown>,
  path: string[],
): Merged => {
  const value: Record<string, unknown> = {}
  const clashes: Clash[] = []
  for (const key of keysOf(mine, theirs)) {
    const merged = mergeAt(base[key], mine[key], theirs[key], [...path, key])
    if (merged.value !== undefined) value[key] = merged.value
    clashes.push(...merged.clashes)
  }
  return { value, clashes }
}

const mergeAt = (base: unknown, mine: unknown, theirs: unknown, path: string[]): Merged => {
  if (jsonEqual(mine, theirs) || jsonEqual(base, theirs)) return { value: mine, clashes: [] }
  if (jsonEqual(base, mine)) return { value: theirs, clashes: [] }
  if (isRecord(mine) && isRecord(theirs)) return mergeRecords(isRecord(base) ? base : {}, mine, theirs, path)
  return { value: mine, clashes: [{ path, theirs }] }
}

/** Both changes of one object, field by field; a list counts as one value. Where they clash, `mine` stays. */
export const mergeThreeWays = (base: unknown, mine: unknown, theirs: unknown): Merged => mergeAt(base, mine, theirs, [])
