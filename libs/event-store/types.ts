import type { PoolClient } from 'pg'

/** A JSON value as it is stored. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

/** Who did it and why; stored with each event and covered by its hash. */
export interface EventMeta {
  actor: { uid: string; name: string }
  impersonator?: { uid: string; name: string }
  commandId?: string
  /** One id for everything that a request set in motion. */
  correlationId?: string
  /** The event or request that caused this one. */
  causationId?: string
  sourceAddress?: string
  userAgent?: string
  reason?: string
}

/** Takes or releases a unique key, in the same commit as the event that carries it. */
export interface ClaimChange {
  op: 'take' | 'release'
  /** The namespace of the key, for example `name` or `slot`. */
  scope: string
  key: string
}

export interface NewEvent {
  /** Unique for ever. Retrying an append with the same ids stores nothing twice. */
  id: string
  type: string
  schemaVersion: number
  data: JsonObject
  meta: EventMeta
  claims?: ClaimChange[]
}

/** An event as projections and sagas get it: without the hashes, which only checks of the log need. */
export interface ProjectedEvent extends NewEvent {
  /** Place in the log: 1, 2, 3 … without gaps, in commit order. */
  position: bigint
  category: string
  streamId: string
  /** Place in the stream, from 1. */
  version: number
  /** RFC 3339, UTC, microseconds; the database's clock, never runs backwards. */
  recordedAt: string
}

/** An event as it is read from the log. */
export interface RecordedEvent extends ProjectedEvent {
  /** `contentHash` of the event, hex. */
  contentHash: string
  /** The chain's hash up to and with this event, hex. */
  hash: string
}

/** `any`, `none` (no event yet), `exists` (at least one), or exactly this version. */
export type ExpectedVersion = 'any' | 'none' | 'exists' | number

export interface StreamAppend {
  streamId: string
  category: string
  expected: ExpectedVersion
  events: NewEvent[]
}

/** Refuses the append if, after `after`, an event of these types was stored (in these streams, where given). */
export interface AppendCondition {
  after: bigint
  types: string[]
  streams?: string[]
}

/** Refuses the append unless `term` is at least the highest term that this name has had. */
export interface Fence {
  name: string
  term: number
}

/** Makes the append answerable again: the same id answers with the stored result, another hash is refused. */
export interface CommandRecord {
  id: string
  /** sha256 of what was asked, hex. */
  requestHash: string
  result: JsonObject
}

/** All of it or nothing. May span streams; may hold no event at all, when only a command's answer is to be kept. */
export interface AppendRequest {
  streams: StreamAppend[]
  /** One, or several that must all hold. */
  condition?: AppendCondition | AppendCondition[]
  fence?: Fence
  command?: CommandRecord
}

export type Verdict =
  | { status: 'ok'; first: bigint | null; last: bigint | null; versions: Record<string, number> }
  /** Stored before, by event ids or by command id; `result` is the first answer of the command. */
  | { status: 'duplicate'; first: bigint | null; last: bigint | null; result: JsonObject | null }
  | { status: 'conflict'; streamId: string; actual: number; message: string }
  | { status: 'command-mismatch' }
  | { status: 'fenced'; term: number }
  | { status: 'claim-taken'; scope: string; key: string; owner: string }
  | { status: 'condition-failed'; position: bigint }

/** A command's earlier answer. */
export interface StoredCommand {
  requestHash: string
  first: bigint | null
  last: bigint | null
  result: JsonObject
}

/** Which events of the log: of one category, of some types, or both. */
export interface EventFilter {
  /** There is no index on it: events of other categories are passed over one by one. */
  category?: string
  /** Found by index, each type for itself. */
  types?: string[]
  /** Fewer than the limit where they would hold more bytes of JSON than this together; an event that is larger comes alone. */
  maxBytes?: number
}

/** Which part of a stream, and in which order. */
export interface StreamRange {
  /** The first version to read; default 1, or the last one when reading backwards. */
  from?: number
  /** At most so many events; all unless told. */
  limit?: number
  /** From newer to older. */
  backwards?: boolean
}

/** The log. Every promise is kept in the database, so it holds among any number of processes. */
/** Writes rows in the transaction that it is given. */
export type AlongsideWork = (transaction: PoolClient) => Promise<void>

export interface EventLog {
  /**
   * Appends all of the request or nothing. Answers once the commit is durable.
   * Precedence of refusals: duplicate, fence, version, claim, condition.
   * Throws `Unavailable` (queue full, database away or holder hung), `Invalid` (payload that JSON or PostgreSQL cannot hold), `TooLarge`.
   */
  append(request: AppendRequest): Promise<Verdict>
  /**
   * As `append`, in a READ COMMITTED transaction of its own after `work`, for rows that the log must not hold and that are there with its
   * events or not at all. A refusal takes both back; so does what `work` throws, which comes out. Appends of this kind do not share commits.
   */
  appendAlongside(request: AppendRequest, work: AlongsideWork): Promise<Verdict>
  /** Events after `after`, in order, at most `limit`; empty at the end of the log. */
  read(after: bigint, limit: number, filter?: EventFilter): Promise<RecordedEvent[]>
  /** Events of one stream in order of versions; empty past its end, and for a stream that no event was appended to. */
  readStream(streamId: string, range?: StreamRange): Promise<RecordedEvent[]>
  /** As `readStream`, but throws `NotFound` for a stream that no event was appended to. */
  getStream(streamId: string, range?: StreamRange): Promise<RecordedEvent[]>
  /** Position of the last event; 0 when the log is empty. */
  head(): Promise<bigint>
  /** The stream that holds a key, if any. */
  claimOwner(scope: string, key: string): Promise<string | undefined>
  command(id: string): Promise<StoredCommand | undefined>
  /** Identity of this store: `epoch` grows with each restore. */
  store(): Promise<{ id: string; epoch: number }>
}

/**
 * Lifts an event's data from one schema version to the next. Pure: leaves what it is given as it was, since a stored event may be lifted
 * any number of times.
 */
export type Upcast = (data: JsonObject) => JsonObject

/** The types of event that the streams of a category hold. */
export interface EventTypes<Type extends string = string> {
  /** First part of the stream's id. */
  category: string
  /** By type the upcasts 1 → 2, 2 → 3 … in order. The current schema version is one more than there are upcasts. */
  events: Readonly<Record<Type, readonly Upcast[]>>
}

/** (command, state) → events or a thrown refusal. Pure: time and ids come in with the command. */
export interface Decider<State, Command, Event extends DomainEvent> extends EventTypes<Event['type']> {
  initial: State
  decide(command: Command, state: State): Event[]
  evolve(state: State, event: Event): State
}

/** An event as deciders and views see it. */
export interface DomainEvent {
  type: string
  data: object
  claims?: ClaimChange[]
}
