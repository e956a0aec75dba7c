import { DomainError } from '@mcpctl/contracts'
import type { EventTypes, ProjectedEvent, Upcast } from '../types'

/** Where an event stands that this version of the program cannot read, and what it is. */
export type UnreadableEvent = Pick<ProjectedEvent, 'streamId' | 'position' | 'type' | 'schemaVersion'>

/**
 * An event that a newer version of the program has stored: its type is unknown here, or its schema version. Whoever folds its
 * stream stops at it, since leaving it out would give a state that never was. Upgrading this program helps, trying again does not.
 */
export class UnknownEvent extends DomainError {
  constructor(
    readonly event: UnreadableEvent,
    newest: number | undefined,
  ) {
    const { streamId, position, type, schemaVersion } = event
    const known = newest === undefined ? 'does not know this type' : `knows schema versions 1 to ${newest}`
    const remedy =
      schemaVersion < 1 ? 'no version of it writes such events' : 'a newer version wrote it: upgrade this daemon'
    super(
      'UnknownEvent',
      `stream "${streamId}" holds at position ${String(position)} an event ${type} of schema version ${schemaVersion}, ` +
        `but this daemon ${known}; ${remedy}`,
    )
  }
}

// `findIndex`, unlike `some`, sees the holes of a sparse array.
const gapIn = (upcasts: readonly unknown[]) => upcasts.findIndex((upcast) => typeof upcast !== 'function')

const upcastsOf = ({ events }: EventTypes, type: string) => (Object.hasOwn(events, type) ? events[type] : undefined)

/** The schema version that new events of a type are stored with. Throws for a type that is not declared, a bug. */
export const schemaVersionOf = (types: EventTypes, type: string): number => {
  const upcasts = upcastsOf(types, type)
  if (!upcasts) throw new Error(`category "${types.category}" declares no event ${type}`)
  return upcasts.length + 1
}

/**
 * The event in its current shape: the data as the chain of upcasts leaves it, with the schema version that this is. Everything else,
 * the hashes too, stays as stored, so that `contentHash` of the answer is not `contentHash` of an event that was lifted.
 * Throws UnknownEvent.
 */
export const toCurrent = <Event extends ProjectedEvent>(types: EventTypes, event: Event): Event => {
  const upcasts = upcastsOf(types, event.type)
  const newest = upcasts && upcasts.length + 1
  if (event.schemaVersion === newest) return event
  if (!upcasts || newest === undefined || event.schemaVersion < 1 || event.schemaVersion > newest)
    throw new UnknownEvent(event, newest)
  let { data } = event
  // Not `reduce`, which would step over a hole in silence.
  for (const upcast of upcasts.slice(event.schemaVersion - 1)) data = upcast(data)
  return { ...event, data, schemaVersion: newest }
}

/** Every type of event that the program can read, by category. */
export class EventCatalogue {
  private readonly byCategory = new Map<string, EventTypes>()

  /**
   * Throws when two categories declare the same type, since append conditions name events by their type alone, and when a chain of upcasts
   * has a gap, across which data would be taken for what it is not.
   */
  constructor(categories: readonly EventTypes[]) {
    const owners = new Map<string, string>()
    for (const types of categories) {
      for (const [type, upcasts] of Object.entries<readonly Upcast[]>(types.events)) {
        const gap = gapIn(upcasts)
        if (gap >= 0)
          throw new Error(`event ${type} of "${types.category}" has no upcast from schema version ${gap + 1}`)
        const owner = owners.get(type)
        if (owner !== undefined) throw new Error(`event ${type} is declared by "${owner}" and by "${types.category}"`)
        owners.set(type, types.category)
      }
      const events = { ...this.byCategory.get(types.category)?.events, ...types.events }
      this.byCategory.set(types.category, { category: types.category, events })
    }
  }

  /**
   * The event in its current shape, see `toCurrent`. One of a category that nobody here declares comes back as it is stored: no fold here
   * is about it. Throws UnknownEvent for an unknown type, or schema version, of a category that is declared.
   */
  toCurrent<Event extends ProjectedEvent>(event: Event): Event {
    const types = this.byCategory.get(event.category)
    return types ? toCurrent(types, event) : event
  }

  /** Every type with the schema version that is current. */
  types(): { category: string; type: string; schemaVersion: number }[] {
    return [...this.byCategory.values()].flatMap(({ category, events }) =>
      Object.entries(events).map(([type, upcasts]) => ({ category, type, schemaVersion: upcasts.length + 1 })),
    )
  }
}
