import type { Rights } from '@mcpctl/access'
import type { ResourceObject } from '@mcpctl/contracts'

/** An object as a reader may see it: of what refers to it, what he may view. */
export const visibleTo = (object: ResourceObject, rights: Rights): ResourceObject => {
  const { referencedBy, ...rest } = object
  if (!referencedBy) return object
  const owner = object.kind === 'Server' ? { owner: object.metadata.name } : {}
  const kept = Object.entries(referencedBy)
    .map(([kind, names]) => [
      kind,
      names.filter((name) => rights.allows({ role: 'view', kind, name, ...(kind === 'instances' && owner) })),
    ])
    .filter(([, names]) => names?.length)
  return kept.length === 0 ? rest : { ...rest, referencedBy: Object.fromEntries(kept) as Record<string, string[]> }
}

/** The answer to a write: who may write but not view learns no more than that it was done. */
export const answerTo = (object: ResourceObject, plural: string, rights: Rights): ResourceObject => {
  const { name } = object.metadata
  const owner = object.spec['server']
  const isOwned = plural === 'instances' && typeof owner === 'string'
  if (rights.allows({ role: 'view', kind: plural, name, ...(isOwned && { owner }) })) return visibleTo(object, rights)
  const { metadata } = object
  return { ...object, metadata: { ...metadata, labels: {}, annotations: {} }, spec: {}, status: {} }
}
