import { jsonEqual, type ResourceObject } from '@mcpctl/contracts'
import type { ProjectedEvent } from '@mcpctl/event-store'
import type { ObjectView, ViewObject } from './view'

/** One version of an object: valid from the position of the event that made it until the next one. */
export interface ObjectVersion {
  uid: string
  from: bigint
  to: bigint | null
  object: ResourceObject
}

type Metadata = ResourceObject['metadata']

export interface Folding {
  kind: string
  view: ObjectView
  epoch: number
}

const strip = ({ metadata, spec, status }: ResourceObject): ViewObject => {
  const { name, labels, annotations, deletionTimestamp } = metadata
  const object: ViewObject = { name, labels, annotations, spec, status }
  if (deletionTimestamp !== undefined) object.deletionTimestamp = deletionTimestamp
  return object
}

// Member by member: without a list of what every view has, for every event.
const showsAlike = (one: ViewObject, other: ViewObject): boolean =>
  one.name === other.name &&
  one.deletionTimestamp === other.deletionTimestamp &&
  jsonEqual(one.status, other.status) &&
  jsonEqual(one.spec, other.spec) &&
  jsonEqual(one.labels, other.labels) &&
  jsonEqual(one.annotations, other.annotations)

/** When and by whom it was made: told by the first event of an object. */
const originOf = (event: ProjectedEvent, past: Metadata | undefined) => ({
  uid: past?.uid ?? event.streamId.slice(event.category.length + 1),
  createdAt: past?.createdAt ?? event.recordedAt,
  createdBy: past?.createdBy ?? event.meta.actor.name,
})

const dress = (
  { kind, epoch }: Folding,
  next: ViewObject,
  event: ProjectedEvent,
  before: ResourceObject | undefined,
): ResourceObject => {
  const changed = before !== undefined && !jsonEqual(before.spec, next.spec)
  const { uid, createdAt, createdBy } = originOf(event, before?.metadata)
  const metadata: Metadata = {
    name: next.name,
    uid,
    labels: next.labels,
    annotations: next.annotations,
    resourceVersion: `${String(epoch)}.${String(event.position)}`,
    generation: (before?.metadata.generation ?? 1) + (changed ? 1 : 0),
    createdAt,
    createdBy,
  }
  if (next.deletionTimestamp !== undefined) metadata.deletionTimestamp = next.deletionTimestamp
  const { spec, status } = next as Pick<ResourceObject, 'spec' | 'status'>
  return { kind, metadata, spec, status }
}

/** What an event makes of an object: the same object when it changes nothing that shows, undefined when it ends it. Pure. */
export const foldVersion = (
  folding: Folding,
  before: ResourceObject | undefined,
  event: ProjectedEvent,
): ResourceObject | undefined => {
  const view = folding.view as (object: ViewObject | undefined, event: unknown) => ViewObject | undefined
  const { type, data, position, recordedAt: at } = event
  const past = before && strip(before)
  const next = view(past, { type, data, position, at })
  if (!next) return undefined
  return before && past && showsAlike(past, next) ? before : dress(folding, next, event, before)
}
