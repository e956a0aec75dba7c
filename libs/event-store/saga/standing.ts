import type { PoolClient } from 'pg'
import { DomainError } from '@mcpctl/contracts'
import type { Json } from '../types'

/** Where a saga stands. Its checkpoint is locked by this transaction, so it stays like that. */
export interface Standing {
  /** Names this run through the log: states of others, before a restore or a reset, are not gone on with. */
  generation: string
  /** Nothing is done about events up to here. */
  liveFrom: bigint
}

export const standingOf = async (tx: PoolClient, saga: string): Promise<Standing> => {
  const { rows } = await tx.query<{ generation: string; from: string }>({
    name: 'es-saga-standing',
    text: `select s.epoch || '.' || c.model_version as generation, greatest(c.live_from, s.live_from)::text as from
      from es.checkpoint c, es.store s where c.processor = $1 and c.active`,
    values: [saga],
  })
  const [row] = rows
  if (!row) throw new DomainError('Conflict', `saga "${saga}" has no checkpoint: start it first`)
  return { generation: row.generation, liveFrom: BigInt(row.from) }
}

/** The state of an instance as its stream keeps it. A type, since JSON has no interfaces. */
export type StoredState = {
  generation: string
  /** The last event that it has seen. */
  source: string
  state: Json
}

export interface StateRow extends StoredState {
  stream: string
  version: number
}

/** The last state in each of these streams; those that are empty are left out. */
export const statesIn = async (tx: PoolClient, streams: readonly string[]): Promise<StateRow[]> => {
  const { rows } = await tx.query<{ stream: string; version: string; data: StoredState }>({
    name: 'es-saga-states',
    text: `select s.id as stream, e.version::text, e.data from unnest($1::text[]) s (id), lateral (
      select e.version, e.data from es.event e where e.stream_id = s.id order by e.version desc limit 1) e`,
    values: [streams],
  })
  return rows.map(({ stream, version, data }) => ({ ...data, stream, version: Number(version) }))
}

interface Entry {
  saga: string
  version: number
}

/**
 * Makes the checkpoint of a saga that is new to this log, from where on it acts: from the beginning, or from now. One that a lower version
 * has left is set back to learn anew.
 */
export const enter = async (tx: PoolClient, { saga, version }: Entry, actsOnHistory: boolean): Promise<void> => {
  await tx.query(
    `insert into es.checkpoint (processor, model_version, fold, live_from)
     select $1, 1, $2, case when $3 then 0 else coalesce((select max(position) from es.event), 0) end
     where not exists (select from es.checkpoint where processor = $1 and active) on conflict do nothing`,
    [saga, String(version), actsOnHistory],
  )
  if ((await lockedVersion(tx, saga)) < version) await setBack(tx, { saga, version })
}

/** Sets the saga back, unless a higher version has left its checkpoint: what that one folds, a lower one does not understand. */
export const reset = async (tx: PoolClient, { saga, version }: Entry): Promise<void> => {
  const stored = await lockedVersion(tx, saga)
  if (stored > version)
    throw new DomainError(
      'Conflict',
      `saga "${saga}" runs in version ${stored}, and this program has version ${version}: reset it with the newer program`,
    )
  await setBack(tx, { saga, version })
}

/** The version that has left the checkpoint, which is locked; NaN when there is none. */
const lockedVersion = async (tx: PoolClient, saga: string): Promise<number> => {
  const { rows } = await tx.query<{ fold: string }>(
    'select fold from es.checkpoint where processor = $1 and active for update',
    [saga],
  )
  return Number(rows[0]?.fold)
}

/**
 * Sends a saga back to the beginning of the log, to learn its state anew. What it has done it does not do again: live_from is where it stood, so
 * that events that it had not yet come to still have their effects. Throws Conflict while events are parked, whose effects would be lost.
 */
const setBack = async (tx: PoolClient, { saga, version }: Entry): Promise<void> => {
  const { rows } = await tx.query<{ position: string }>(
    `select position::text from es.parked where processor = $1 and status = 'parked' order by position limit 1`,
    [saga],
  )
  if (rows[0])
    throw new DomainError(
      'Conflict',
      `saga "${saga}" has the event at ${rows[0].position} parked: retry or skip it first`,
    )
  // Whoever follows the checkpoint learns that it is behind them.
  await tx.query(
    `with old as (delete from es.checkpoint where processor = $1 and active returning *),
       fresh as (
         insert into es.checkpoint (processor, model_version, fold, live_from)
         select processor, model_version + 1, $2, greatest(live_from, position) from old returning *)
     select pg_notify('es_checkpoint', '0 ' || model_version || ' ' || processor) from fresh`,
    [saga, String(version)],
  )
}
