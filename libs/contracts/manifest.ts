import type { Kind } from './kind'
import type { ResourceObject } from './object'

/** A flat manifest entry: name, labels, annotations and the fields of the spec side by side. */
export type ManifestEntry = { name: string } & Record<string, unknown>

/** What people write: plural resource keys, each a list of flat entries. */
export type Manifest = Record<string, ManifestEntry[]>

/** Keys of an entry that belong to the object's metadata rather than to its spec. */
export const metadataKeys = ['name', 'labels', 'annotations'] as const

const isEmpty = (value: unknown) =>
  value === undefined ||
  value === null ||
  (Array.isArray(value) && value.length === 0) ||
  (typeof value === 'object' && Object.keys(value).length === 0)

/** The clean entry of an object: no server-owned field, nothing empty, keys in the kind's order. */
export const toEntry = (kind: Kind, object: ResourceObject): ManifestEntry => {
  const entry: ManifestEntry = { name: object.metadata.name }
  const put = (key: string, value: unknown) => {
    if (!isEmpty(value)) entry[key] = value
  }
  put('labels', object.metadata.labels)
  put('annotations', object.metadata.annotations)
  for (const field of kind.fields) put(field, object.spec[field])
  return entry
}
