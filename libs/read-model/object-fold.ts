import type { ProjectedEvent } from '@mcpctl/event-store'
import { foldVersion, type ObjectVersion } from './version'
import type { ObjectView, Reference, ReferencesOf } from './view'

/** What the projection has to know of a kind. */
export interface ProjectedKind {
  /** `Server` */
  kind: string
  /** First part of its streams' ids. */
  category: string
  view: ObjectView
  references?: ReferencesOf
}

/** The uid of the object whose stream an event belongs to. */
export const uidOf = (event: ProjectedEvent): string => event.streamId.slice(event.category.length + 1)

/**
 * The version of an object that an event makes: the same when nothing that shows has changed, undefined when it ends the object or
 * there is none. Pure.
 */
export const nextVersion = (
  kind: ProjectedKind,
  epoch: number,
  { current, event }: { current: ObjectVersion | undefined; event: ProjectedEvent },
): ObjectVersion | undefined => {
  const before = current?.object
  const object = foldVersion({ kind: kind.kind, view: kind.view, epoch }, before, event)
  if (object === before) return current
  return object && { uid: current?.uid ?? uidOf(event), from: event.position, to: null, object }
}

/** How a reference to an object for good stands beside those by name. No name holds a colon. */
export const uidKey = (uid: string): string => `uid:${uid}`

/** What a version refers to, as rows of the table of references. */
export const referenceRows = ({ kind, references }: ProjectedKind, { uid, object }: ObjectVersion) =>
  (references as ((object: unknown) => Reference[]) | undefined)?.(object).map((to) => ({
    from_kind: kind,
    from_uid: uid,
    from_name: object.metadata.name,
    to_kind: to.kind,
    to_name: 'uid' in to ? uidKey(to.uid) : to.name,
  })) ?? []
