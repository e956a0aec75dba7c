import type { DomainEvent } from '@mcpctl/event-store'

/** An object without what the server adds: uid, generation, resourceVersion, who and when. */
export interface ViewObject<Spec extends object = object, Status extends object = object> {
  name: string
  labels: Record<string, string>
  annotations: Record<string, string>
  spec: Spec
  status: Status
  deletionTimestamp?: string
}

/** An event with the facts of its place in the log. */
export type Viewed<Event extends DomainEvent> = Event & {
  position: bigint
  /** RFC 3339. */
  at: string
}

/** The pure fold of an object's own stream into what `get` and `describe` show; undefined once it is gone. */
export type View<Object extends ViewObject, Event extends DomainEvent> = (
  object: Object | undefined,
  event: Viewed<Event>,
) => Object | undefined

/** A view with its types put aside, as the runner of all kinds sees it. */
export type ObjectView = (object: never, event: never) => ViewObject | undefined

/** The objects that an object names: kind and name each. */
export type ReferencesOf = (object: never) => { kind: string; name: string }[]
