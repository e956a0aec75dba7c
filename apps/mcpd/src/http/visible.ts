import type { Rights } from '@mcpctl/access'
import type { ResourceObject } from '@mcpctl/contracts'

/** An object as a reader may see it: of what refers to it, and of what a binding names, what he may view. */
export const visibleTo = (whole: ResourceObject, rights: Rights): ResourceObject => {
  const object = withNamed(whole, ({ resource, name }) => {
    const owner = resource === 'instances' ? { owner: name } : {}
    return rights.allows({ role: 'view', kind: resource, name, ...owner })
  })
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

/** An object as every reader of its own may see it: without what else there is. */
export const visibleToAll = ({ referencedBy: _, ...object }: ResourceObject): ResourceObject =>
  withNamed(object, () => false)

interface Named {
  resource: string
  name: string
}

/** Whether what the entries of a binding name exists is told of some only. */
const withNamed = (object: ResourceObject, isTold: (named: Named) => boolean): ResourceObject => {
  const { objects, ...status } = object.status as { objects?: Named[] }
  if (object.kind !== 'RbacBinding' || !objects) return object
  const told = objects.filter(isTold)
  return { ...object, status: { ...status, ...(told.length > 0 && { objects: told }) } }
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
