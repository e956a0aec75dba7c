import { toEntry } from '@mcpctl/contracts'
import type { Kind, ManifestEntry, ResourceObject } from '@mcpctl/contracts'
import { mergeThreeWays } from './merge'
import type { Merged } from './merge'

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isKept = (value: unknown): boolean => isRecord(value) && value['keep'] === true

/** Gives every kept value a sign of its own: that two of them read the same says nothing of the values. */
const withSigns = (entry: ManifestEntry, { status }: ResourceObject): ManifestEntry => {
  const { data } = entry
  const signs = isRecord(status['fingerprints']) ? status['fingerprints'] : {}
  if (!isRecord(data)) return entry
  const signed = Object.entries(data).map(([key, value]) => [
    key,
    isKept(value) ? { keep: true, of: signs[key] } : value,
  ])
  return { ...entry, data: Object.fromEntries(signed) as unknown }
}

const withoutSigns = (entry: ManifestEntry): ManifestEntry => {
  const { data } = entry
  if (!isRecord(data)) return entry
  const plain = Object.entries(data).map(([key, value]) => [key, isKept(value) ? { keep: true } : value])
  return { ...entry, data: Object.fromEntries(plain) as unknown }
}

/** What the user wants, on top of what somebody else has made of the object since `base` was read. */
export const mergeOnto = (
  kind: Kind,
  { base, theirs }: { base: ResourceObject; theirs: ResourceObject },
  mine: ManifestEntry,
): Merged & { value: ManifestEntry } => {
  const { value, clashes } = mergeThreeWays(
    withSigns(toEntry(kind, base), base),
    withSigns(mine, base),
    withSigns(toEntry(kind, theirs), theirs),
  )
  return { value: withoutSigns(value as ManifestEntry), clashes }
}
