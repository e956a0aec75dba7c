import { toEntry } from '@mcpctl/contracts'
import type { Kind, ResourceObject } from '@mcpctl/contracts'

/** Objects of one kind, as they were fetched. */
export interface Found {
  kind: Kind
  objects: readonly ResourceObject[]
}

/** What `apply` takes back. Kinds that cannot be applied, and everything with `full`, show the whole object instead. */
export const toBundle = (found: readonly Found[], full: boolean): Record<string, unknown[]> => {
  const bundle: Record<string, unknown[]> = {}
  for (const { kind, objects } of found) {
    const clean = !full && kind.applyOrder !== undefined
    const entries = objects.map((object) => (clean ? toEntry(kind, object) : object))
    bundle[kind.plural] = [...(bundle[kind.plural] ?? []), ...entries]
  }
  return bundle
}

export const toJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
