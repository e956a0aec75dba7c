import { DomainError } from '@mcpctl/contracts'
import pg from 'pg'
import type { PoolClient } from 'pg'
import { isTransient } from '../database-errors'
import type { ProjectedEvent } from '../types'
import type { Breaker } from './breaker'
import { apply, type Projection } from './projection'

const longestError = 2_000

/** One version of a processor's model. */
export interface Model {
  processor: string
  modelVersion: number
  queueOf?: Projection['queueOf']
}

const queueIn = ({ queueOf }: Model, event: ProjectedEvent): string => queueOf?.(event) ?? event.streamId

/** An event that a projection throws at, however often it is tried. */
export interface Poison {
  event: ProjectedEvent
  /** What `project` threw, as text that PostgreSQL can hold. */
  error: string
}

export const textOf = (error: unknown): string => {
  const text = error instanceof Error ? error.message : String(error)
  return text.replaceAll('\u0000', '').slice(0, longestError)
}

/**
 * Takes out of a batch what was skipped, and what must wait because an earlier event of its stream is parked: a fold that leaves out an
 * event and goes on would show a state that never was.
 */
export const sortOut = async (
  tx: PoolClient,
  model: Model,
  events: ProjectedEvent[],
): Promise<{ ready: ProjectedEvent[]; waiting: ProjectedEvent[] }> => {
  const { rows } = await tx.query<{ skipped: string | null; stream: string | null }>(
    `select position::text as skipped, null as stream from es.parked
     where processor = $1 and status = 'skipped' and position between $3 and $4
     union all
     select distinct null, stream_id from es.parked
     where processor = $1 and model_version = $2 and status = 'parked' and stream_id = any ($5)`,
    [
      model.processor,
      model.modelVersion,
      String(events[0]?.position ?? 0),
      String(events.at(-1)?.position ?? 0),
      [...new Set(events.map((event) => queueIn(model, event)))],
    ],
  )
  const skipped = new Set(rows.map((row) => row.skipped))
  const parked = new Set(rows.map((row) => row.stream))
  const left = events.filter(({ position }) => !skipped.has(String(position)))
  return {
    ready: left.filter((event) => !parked.has(queueIn(model, event))),
    waiting: left.filter((event) => parked.has(queueIn(model, event))),
  }
}

/** Parks events, each with what is wrong with it. */
export const park = async (
  tx: PoolClient,
  model: Model,
  parked: { event: ProjectedEvent; error: string }[],
): Promise<void> => {
  if (parked.length === 0) return
  await tx.query(
    `insert into es.parked (processor, model_version, position, stream_id, type, error)
     select $1, $2, p.* from unnest($3::bigint[], $4::text[], $5::text[], $6::text[]) p
     on conflict (processor, model_version, position) do nothing`,
    [
      model.processor,
      model.modelVersion,
      parked.map(({ event }) => String(event.position)),
      parked.map(({ event }) => queueIn(model, event)),
      parked.map(({ event }) => event.type),
      parked.map(({ error }) => error),
    ],
  )
}

/** Parks events for no fault of their own. */
export const parkBehind = (tx: PoolClient, model: Model, events: ProjectedEvent[]): Promise<void> =>
  park(
    tx,
    model,
    events.map((event) => ({ event, error: 'waits for an earlier event of its stream' })),
  )

/** Did PostgreSQL lose patience: with a statement (57014), or with what went on between two of them (25P03)? Fewer events may be quick enough. */
export const tookTooLong = (error: unknown): boolean => {
  if (error instanceof DomainError) return tookTooLong(error.cause)
  return error instanceof pg.DatabaseError && (error.code === '57014' || error.code === '25P03')
}

/**
 * Applies events in order up to the first one that `project` throws at when it gets it alone. Answers how many were applied, and what
 * was thrown if that is not all. Throws when the database is away, and when an event takes too long alone.
 */
export const applyUntilPoison = async (
  projection: Projection,
  tx: PoolClient,
  events: ProjectedEvent[],
): Promise<{ applied: number; error?: string }> => {
  try {
    await tx.query('savepoint part')
    await apply(projection, tx, events)
    await tx.query('release savepoint part')
    return { applied: events.length }
  } catch (error) {
    if (isTransient(error) && !(tookTooLong(error) && events.length > 1)) throw error
    await tx.query('rollback to savepoint part')
    await tx.query('release savepoint part')
    if (events.length === 1) return { applied: 0, error: textOf(error) }
  }
  const half = Math.ceil(events.length / 2)
  const first = await applyUntilPoison(projection, tx, events.slice(0, half))
  if (first.error !== undefined) return first
  const rest = await applyUntilPoison(projection, tx, events.slice(half))
  return { ...rest, applied: half + rest.applied }
}

export interface Parking {
  model: Model
  events: ProjectedEvent[]
  /** The first event, if it is known already that it must be parked. */
  tooSlow?: Poison | undefined
  breaker?: Breaker
}

/**
 * Applies all events but those that `project` throws at, which are parked, and the later ones of their streams, which queue behind.
 * Throws as above, and what the breaker throws.
 */
export const applyAndPark = async (
  projection: Projection,
  tx: PoolClient,
  { model, events, tooSlow, breaker }: Parking,
): Promise<Poison[]> => {
  const poisons: Poison[] = []
  let rest = events
  while (rest.length > 0) {
    const { applied, error } = knownOf(rest, tooSlow) ?? (await applyUntilPoison(projection, tx, rest))
    breaker?.applied(applied)
    const event = rest[applied]
    if (error === undefined || !event) break
    const poison = { event, error }
    breaker?.parking(poison)
    poisons.push(poison)
    rest = await parkQueue(tx, model, { poison, later: rest.slice(applied + 1) })
  }
  breaker?.end()
  return poisons
}

/** What applying these events would come to, when it is known that the first of them takes too long. */
export const knownOf = (events: ProjectedEvent[], tooSlow: Poison | undefined) =>
  tooSlow && events[0]?.position === tooSlow.event.position ? { applied: 0, error: tooSlow.error } : undefined

/** Parks an event, and what is behind it. Answers what is left. */
const parkQueue = async (
  tx: PoolClient,
  model: Model,
  { poison, later }: { poison: Poison; later: ProjectedEvent[] },
): Promise<ProjectedEvent[]> => {
  const queue = queueIn(model, poison.event)
  await park(tx, model, [poison])
  await parkBehind(
    tx,
    model,
    later.filter((event) => queueIn(model, event) === queue),
  )
  return later.filter((event) => queueIn(model, event) !== queue)
}
