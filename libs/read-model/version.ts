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

export interface Folding {
  kind: string
  view: ObjectView
  epoch: number
}

const strip = (object: ResourceObject): ViewObject => ({
  name: object.metadata.name,
  labels: object.metadata.labels,
  annotations: object.metadata.annotations,
  spec: object.spec,
  status: object.status,
  ...(object.metadata.deletionTimestamp !== undefined && { deletionTimestamp: object.metadata.deletionTimestamp }),
})

const dress = (
  { kind, epoch }: Folding,
  next: ViewObject,
  event: ProjectedEvent,
  before: ResourceObject | undefined,
): ResourceObject => {
  const changed = before !== undefined && !jsonEqual(before.spec, next.spec)
  return {
    kind,
    metadata: {
      name: next.name,
      uid: event.streamId.slice(event.category.length + 1),
      labels: next.labels,
      annotations: next.annotations,
      resourceVersion: `${String(epoch)}.${String(event.position)}`,
      generation: (before?.metadata.generation ?? 1) + (changed ? 1 : 0),
      createdAt: before?.metadata.createdAt ?? event.recordedAt,
      createdBy: before?.metadata.createdBy ?? event.meta.actor.name,
      ...(next.deletionTimestamp !== undefined && { deletionTimestamp: next.deletionTimestamp }),
    },
    spec: next.spec as Record<string, unknown>,
    status: next.status as Record<string, unknown>,
  }
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
  return before && jsonEqual(past, next) ? before : dress(folding, next, event, before)
}
