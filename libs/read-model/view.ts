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

/** Which object is meant: whoever bears the name, or one for good. */
export type Reference = { kind: string; name: string } | { kind: string; uid: string }

/** The objects that an object names. */
export type ReferencesOf = (object: never) => Reference[]

/** What an object's own stream cannot tell: whether others that it names are there. Joined at read, outside resourceVersion and watch. */
export interface ObjectJoins<Object extends ViewObject = never> {
  /** The uids that the object names. */
  uids(object: Object): string[]
  /** The objects that it names by the kind's plural and their own name: `servers/github`. */
  names?(object: Object): string[]
  /** Spec and status as they are shown, given which of those uids and names bear an object now. Pure. */
  show(object: Object, existing: ReadonlySet<string>): { spec: object; status: object }
}
