import { DomainError } from '@mcpctl/contracts'
import { answered } from '../database-errors'
import type { Pool, PoolClient } from 'pg'
import { toBuild, type Build, type BuildRow } from './build-row'
import type { RebuildableModel } from './model'

/** A build that has failed so often in a row, other than for want of the database, waits for somebody to ask again. */
export const maxAttempts = 5

/** How a model stands, and how far its next version is when one is being built. */
export interface ModelStatus {
  name: string
  /** The version that readers see; 0 before the first event was processed. */
  version: number
  /** Identity of the code that has folded it. */
  fold: string
  position: bigint
  /** Position of the last event of the log. */
  head: bigint
  status: string
  lastError?: string
  /** How fast its builder loaded it; absent for a version that was never rebuilt. */
  eventsPerSecond?: number
  rebuild?: RebuildStatus
}

export interface RebuildStatus {
  version: number
  state: 'building' | 'indexing' | 'swapping' | 'failed'
  position: bigint
  /** How fast its builder loads it, from the beginning on. */
  eventsPerSecond?: number
  lastError?: string
}

/**
 * Asks for a model to be folded anew: makes the tables of its next version, which a `Builder`, in whatever process, then fills. Part of
 * the caller's transaction. Answers the version. A build that has failed is taken up again. Throws `Conflict` while one is under way,
 * `Unavailable` when the database is away.
 */
export const requestRebuild = (tx: PoolClient, model: RebuildableModel): Promise<number> =>
  answered(`the request to rebuild model "${model.name}"`, request(tx, model))

const request = async (tx: PoolClient, model: RebuildableModel): Promise<number> => {
  const { rows } = await tx.query<{ model_version: number }>(
    `insert into es.checkpoint (processor, model_version, active, fold, status)
     select $1, coalesce(max(model_version), 1) + 1, false, $2, 'building'
     from es.checkpoint where processor = $1
     on conflict do nothing returning model_version`,
    [model.name, model.fold],
  )
  if (rows[0]) {
    await model.create(tx, rows[0].model_version)
    return rows[0].model_version
  }
  const resumed = await tx.query<{ model_version: number; position: string }>(
    `update es.checkpoint set attempts = 0, last_error = null
     where processor = $1 and not active and attempts >= $2 returning model_version, position`,
    [model.name, maxAttempts],
  )
  const [again] = resumed.rows
  if (again) {
    // One that was given up has no tables any more.
    if (again.position === '0') await model.create(tx, again.model_version)
    return again.model_version
  }
  throw new DomainError('Conflict', `model "${model.name}" is being rebuilt already; wait until that is done`)
}

const toRebuild = (build: Build): RebuildStatus => ({
  version: build.modelVersion,
  state: build.attempts >= maxAttempts ? 'failed' : build.phase,
  position: build.position,
  ...(build.eventsPerSecond !== undefined && { eventsPerSecond: build.eventsPerSecond }),
  ...(build.lastError !== undefined && { lastError: build.lastError }),
})

interface StatusRow {
  version: number
  fold: string
  position: string
  head: string
  status: string
  last_error: string | null
  events_per_second: number | null
  build: (Omit<BuildRow, 'position'> & { position: string }) | null
}

// One statement: a swap in between would show neither the old version with its successor nor the new one.
const statusText = `
  select coalesce(a.model_version, 0) as version, coalesce(a.fold, '') as fold, coalesce(a.position, 0)::text as position,
    coalesce((select max(position) from es.event), 0)::text as head, coalesce(a.status, 'running') as status, a.last_error, a.events_per_second,
    case when b.processor is not null then json_build_object('model_version', b.model_version, 'position', b.position::text,
      'status', b.status, 'fold', b.fold, 'events_per_second', b.events_per_second, 'attempts', b.attempts, 'last_error', b.last_error)
    end as build
  from (select $1::text as processor) asked
  left join es.checkpoint a on a.processor = asked.processor and a.active
  left join es.checkpoint b on b.processor = asked.processor and not b.active`

/** How a model stands, as the database has it: the same in every process. Throws `Unavailable` when the database is away. */
export const modelStatus = async (db: Pool | PoolClient, name: string): Promise<ModelStatus> => {
  const { rows } = await answered(`the look at model "${name}"`, db.query<StatusRow>(statusText, [name]))
  const { version, fold, position, head, status, last_error, events_per_second, build } = rows[0] as StatusRow
  return {
    name,
    version,
    fold,
    position: BigInt(position),
    head: BigInt(head),
    status,
    ...(last_error !== null && { lastError: last_error }),
    ...(events_per_second !== null && { eventsPerSecond: events_per_second }),
    ...(build && { rebuild: toRebuild(toBuild(build)) }),
  }
}
