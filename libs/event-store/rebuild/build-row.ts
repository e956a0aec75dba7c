import type { Pool, PoolClient } from 'pg'

/** What a rebuild is at; kept as the `status` of the version that is being built. */
export type Phase = 'building' | 'indexing' | 'swapping'

/** The version of a model that is being built. */
export interface Build {
  modelVersion: number
  position: bigint
  phase: Phase
  fold: string
  eventsPerSecond: number | undefined
  /** Tries that failed in a row. */
  attempts: number
  lastError: string | undefined
}

export interface BuildRow {
  model_version: number
  position: string
  status: Phase
  fold: string
  events_per_second: number | null
  attempts: number
  last_error: string | null
}

const columns = 'model_version, position::text, status, fold, events_per_second, attempts, last_error'

export const toBuild = (row: BuildRow): Build => ({
  modelVersion: row.model_version,
  position: BigInt(row.position),
  phase: row.status,
  fold: row.fold,
  eventsPerSecond: row.events_per_second ?? undefined,
  attempts: row.attempts,
  lastError: row.last_error ?? undefined,
})

export const findBuild = async (db: Pool | PoolClient, processor: string): Promise<Build | undefined> => {
  const { rows } = await db.query<BuildRow>(
    `select ${columns} from es.checkpoint where processor = $1 and not active`,
    [processor],
  )
  return rows[0] && toBuild(rows[0])
}

/** Begins a transaction that holds the build, so that one process at a time works at it. Undefined when there is none any more. */
export const lockBuild = async (tx: PoolClient, processor: string): Promise<Build | undefined> => {
  await tx.query(`begin isolation level read committed;
    set local lock_timeout = '10s';
    set local idle_in_transaction_session_timeout = '10s';
    set local synchronous_commit = off`)
  const { rows } = await tx.query<BuildRow>(
    `select ${columns} from es.checkpoint where processor = $1 and not active for update`,
    [processor],
  )
  return rows[0] && toBuild(rows[0])
}

export interface Advance {
  position: bigint
  phase: Phase
  /** What the way from where it stood has taken. */
  seconds?: number
}

// Over all that was folded so far: the last few events alone say nothing.
const overall = `case when $4::float is null then events_per_second
  else least($2::bigint / (coalesce(position / nullif(events_per_second, 0)::float, 0) + $4), 2147483647)::integer end`

/** Writes down how far the build is, in the transaction that has brought it there. */
export const advance = async (tx: PoolClient, processor: string, to: Advance): Promise<void> => {
  await tx.query(
    `update es.checkpoint set position = $2, status = $3, events_per_second = ${overall}, attempts = 0, last_error = null
     where processor = $1 and not active`,
    [processor, String(to.position), to.phase, to.seconds ?? null],
  )
}

/** Unless somebody else holds the build: his attempt is the one that counts then. */
export const recordAttempt = async (
  db: Pool,
  processor: string,
  { error, counts }: { error: string; counts: boolean },
): Promise<void> => {
  await db.query(
    `update es.checkpoint set last_error = $2, attempts = attempts + $3 where processor = $1 and not active and model_version in (
       select model_version from es.checkpoint where processor = $1 and not active for update skip locked)`,
    [processor, error, counts ? 1 : 0],
  )
}
