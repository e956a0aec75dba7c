import type { ProjectedKind, ReadKind } from '@mcpctl/read-model'
import type { Resources } from '@mcpctl/resource'

/** How the events of each kind become objects. Part of the identity of the fold: see scripts/generators/fold.mjs. */
export const projected = (resources: Resources): ProjectedKind[] =>
  resources.all().map(({ kind, view, references }) => ({
    kind: kind.name,
    category: kind.singular,
    view,
    ...(references && { references }),
  }))

/** What reads of each kind's objects have to know. */
export const readable = (resources: Resources): ReadonlyMap<string, ReadKind> =>
  new Map(resources.all().map(({ kind, joins }) => [kind.name, { plural: kind.plural, ...(joins && { joins }) }]))
