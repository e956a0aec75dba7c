import { DomainError } from '@mcpctl/contracts'
import { withClient } from '@mcpctl/postgres/transaction'
import type { Pool, PoolClient } from 'pg'
import { answered } from '../database-errors'
import { eventsAt } from '../rows'
import type { ProjectedEvent } from '../types'
import { beginText, resume, type Move } from './checkpoint'
import { applyUntilPoison, type Model, type Poison } from './parking'
import { foldsOf, type Projection } from './projection'

// Any of them may hold a megabyte.
const replayedAtOnce = 20

/** An event that a projection could not apply. */
export interface ParkedEvent {
  processor: string
  position: bigint
  streamId: string
  type: string
  /** What was thrown at it the last time. */
  error: string
  /** RFC 3339: when it was parked. */
  since: string
  /** Later events of its stream that wait for it. */
  behind: number
}

/** What a retry or a skip has led to. */
export interface Replay {
  /** Events that are part of the model now. */
  applied: number
  /** The event that stopped the replay: parked again, with those behind it. */
  stoppedAt?: { position: bigint; type: string; error: string }
}

/** Writes down what was done, in the transaction that has done it and as its last statements. A throw takes everything back. */
export type RecordReplay = (tx: PoolClient, replay: Replay) => Promise<void>

interface Settlement {
  processor: string
  position: bigint
  skip: boolean
  record: RecordReplay | undefined
}

/**
 * The events that projections could not apply, and what may be done about them. Works on the active version of each model, under the
 * checkpoint's lock, so that no new event of the stream overtakes those that wait; any process may be asked.
 */
export class Parked {
  private readonly pool: Pool
  private readonly projections: Map<string, Projection>

  /** Takes the same projections as the projectors: events are replayed through them. */
  constructor({ pool, projections }: { pool: Pool; projections: readonly Projection[] }) {
    this.pool = pool
    this.projections = new Map(projections.map((projection) => [projection.name, projection]))
  }

  /** Every parked event that is the first of its stream, by processor and position. Throws NotFound for an unknown processor. */
  async list(processor?: string): Promise<ParkedEvent[]> {
    if (processor !== undefined) this.projection(processor)
    const { rows } = await answered(
      'reading parked events',
      this.pool.query<Omit<ParkedEvent, 'position'> & { position: string }>(
        `select processor, position::text, stream_id as "streamId", type, error, behind::integer,
           to_char(parked_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as since
         from (
           select p.*, row_number() over stream as nth, count(*) over (partition by processor, stream_id) - 1 as behind
           from es.parked p join es.checkpoint c using (processor, model_version)
           where c.active and p.status = 'parked' and ($1::text is null or processor = $1)
           window stream as (partition by processor, stream_id order by p.position)) queued
         where nth = 1 order by processor, queued.position`,
        [processor ?? null],
      ),
    )
    return rows.map((row) => ({ ...row, position: BigInt(row.position) }))
  }

  /**
   * Applies the event and those behind it, in order, in one transaction. Those that succeed are part of the model; the first that throws
   * stays parked with its error, and what is behind it waits on. A processor that stopped at the event tries it again by itself.
   * Throws NotFound for an unknown processor or a position where nothing is parked, Conflict for one that waits behind another or for
   * a model of other code, Unavailable while the database is away or when an event takes longer than PostgreSQL lets it.
   */
  retry(processor: string, position: bigint, record?: RecordReplay): Promise<Replay> {
    return this.attempt('the retry', { processor, position, skip: false, record })
  }

  /**
   * Leaves the event out for good, in later versions of the model and in rebuilds too, and applies those behind it as `retry` does.
   * What is shown of its stream from now on is a state that never was. Throws as `retry` does.
   */
  skip(processor: string, position: bigint, record?: RecordReplay): Promise<Replay> {
    return this.attempt('the skip', { processor, position, skip: true, record })
  }

  private projection(processor: string): Projection {
    const projection = this.projections.get(processor)
    if (projection) return projection
    const known = [...this.projections.keys()].join(', ')
    throw new DomainError('NotFound', `there is no processor "${processor}"; there are: ${known}`)
  }

  private attempt(attempted: string, settlement: Settlement): Promise<Replay> {
    return answered(
      attempted,
      withClient(this.pool, (tx) => this.settle(tx, settlement)),
    )
  }

  private async settle(tx: PoolClient, { processor, position, skip, record }: Settlement): Promise<Replay> {
    const projection = this.projection(processor)
    // What an operator did is waited for; and whoever freezes in it lets go of the checkpoint as a projector does.
    await tx.query(`${beginText}; set local synchronous_commit = on`)
    const active = await lockActive(tx, projection)
    const stream = await streamOfFirst(tx, active, position)
    if (skip) await markSkipped(tx, active, position)
    let replay: Replay = { applied: 0 }
    // A processor that stopped at the event has not passed it and goes on by itself.
    if (position > active.position) await resume(tx, active)
    else replay = await this.replay(tx, active, stream)
    await record?.(tx, replay)
    await tx.query('commit')
    return replay
  }

  private async replay(tx: PoolClient, model: Model, stream: string): Promise<Replay> {
    const projection = this.projection(model.processor)
    let applied = 0
    for (;;) {
      const events = await nextOf(tx, model, stream)
      if (events.length === 0) return { applied }
      const part = await applyUntilPoison(projection, tx, events)
      applied += part.applied
      await unpark(tx, model, events.slice(0, part.applied))
      const event = events[part.applied]
      if (event && part.error !== undefined) {
        const { error } = part
        await writeError(tx, model, { event, error })
        return { applied, stoppedAt: { position: event.position, type: event.type, error } }
      }
    }
  }
}

const keyOf = ({ processor, modelVersion }: Model) => [processor, modelVersion]

/** Waits for the projector's batch under way. */
const lockActive = async (tx: PoolClient, projection: Projection): Promise<Move> => {
  const { name } = projection
  const { rows } = await tx.query<{ model_version: number; position: string; fold: string }>(
    'select model_version, position::text, fold from es.checkpoint where processor = $1 and active for update',
    [name],
  )
  const [row] = rows
  if (!row) throw new DomainError('NotFound', `processor "${name}" has not begun yet`)
  if (!foldsOf(projection).includes(row.fold))
    throw new DomainError(
      'Conflict',
      `the model of "${name}" is folded by another version of this daemon; ask that one`,
    )
  return { processor: name, modelVersion: row.model_version, position: BigInt(row.position) }
}

/** The stream of a parked event. Throws unless the event is the first one that is parked there. */
const streamOfFirst = async (tx: PoolClient, model: Model, position: bigint): Promise<string> => {
  const { rows } = await tx.query<{ stream: string; first: string }>(
    `select p.stream_id as stream, (
       select min(q.position)::text from es.parked q
       where q.processor = $1 and q.model_version = $2 and q.status = 'parked' and q.stream_id = p.stream_id) as first
     from es.parked p where processor = $1 and model_version = $2 and status = 'parked' and position = $3`,
    [...keyOf(model), String(position)],
  )
  const [row] = rows
  if (!row)
    throw new DomainError('NotFound', `processor "${model.processor}" has no event parked at position ${position}`)
  if (row.first !== String(position))
    throw new DomainError(
      'Conflict',
      `position ${position} waits for position ${row.first} of its stream "${row.stream}"; deal with that one first`,
    )
  return row.stream
}

const markSkipped = async (tx: PoolClient, model: Model, position: bigint) => {
  await tx.query(
    `update es.parked set status = 'skipped' where processor = $1 and model_version = $2 and position = $3`,
    [...keyOf(model), String(position)],
  )
  // A version that is being built may have passed it: as if other code had begun it, it is begun anew.
  await tx.query(`update es.checkpoint set fold = '' where processor = $1 and not active`, [model.processor])
}

/** The next events of a stream that are parked. */
const nextOf = async (tx: PoolClient, model: Model, stream: string) => {
  const { rows } = await tx.query<{ position: string }>(
    `select position::text from es.parked p where processor = $1 and model_version = $2 and status = 'parked' and stream_id = $3
     order by p.position limit ${replayedAtOnce}`,
    [...keyOf(model), stream],
  )
  return eventsAt(
    tx,
    rows.map(({ position }) => BigInt(position)),
  )
}

const unpark = (tx: PoolClient, model: Model, events: ProjectedEvent[]) =>
  tx.query('delete from es.parked where processor = $1 and model_version = $2 and position = any ($3)', [
    ...keyOf(model),
    events.map(({ position }) => String(position)),
  ])

const writeError = (tx: PoolClient, model: Model, { event, error }: Poison) =>
  tx.query('update es.parked set error = $4 where processor = $1 and model_version = $2 and position = $3', [
    ...keyOf(model),
    String(event.position),
    error,
  ])
