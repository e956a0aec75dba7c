import type { Pool, PoolClient } from 'pg'
import { forgetParked } from './build-failure'
import { advance, lockBuild } from './build-row'
import type { RebuildableModel } from './model'

/** Readers queue behind us while we wait for one of them: each of the locks of a model costs them so much at most. */
const patience = '50ms'

/** Further behind than this it catches up without holding up the processor. */
export const nearlyThere = 1_000n

export interface Swap {
  model: RebuildableModel
  /** Applies the log after a position up to another one to the version that is being built, in this transaction. */
  catchUp: (tx: PoolClient, span: { after: bigint; upTo: bigint }) => Promise<void>
}

interface Active {
  model_version: number
  position: string
}

/**
 * Brings the version that is being built to where the active one is and makes it the active one, all in one transaction, in which the
 * processor cannot move. False when there was too much to catch up with, or no build. Throws with code 55P03 when readers did not let
 * go in time.
 */
export const swap = async (tx: PoolClient, { model, catchUp }: Swap): Promise<boolean> => {
  const build = await lockBuild(tx, model.name)
  if (build?.phase !== 'swapping') return rollback(tx)
  // Who freezes while the processor waits loses the transaction at once, as the processor itself does.
  await tx.query(`set local idle_in_transaction_session_timeout = '1s'`)
  const { rows } = await tx.query<Active>(
    'select model_version, position::text from es.checkpoint where processor = $1 and active for update',
    [model.name],
  )
  const active = rows[0]
  const upTo = BigInt(active?.position ?? 0)
  if (upTo - build.position > nearlyThere) return rollback(tx)
  const { modelVersion } = build
  if (upTo > build.position) await catchUp(tx, { after: build.position, upTo })
  if (active) await retire(tx, model.name, active.model_version)
  const position = upTo > build.position ? upTo : build.position
  await advance(tx, model.name, { position, phase: 'swapping' })
  await tx.query(
    `update es.checkpoint set active = true, status = 'running' where processor = $1 and model_version = $2`,
    [model.name, modelVersion],
  )
  await tx.query(`select pg_notify('es_checkpoint', $1), pg_notify('es_event', $2)`, [
    `${position} ${modelVersion} ${model.name}`,
    String(position),
  ])
  await tx.query(`set local synchronous_commit = on; set local lock_timeout = '${patience}'`)
  // Last, for from here on readers wait.
  await model.show(tx, modelVersion)
  await tx.query('commit')
  return true
}

const rollback = async (tx: PoolClient): Promise<false> => {
  await tx.query('rollback')
  return false
}

/** What was parked is judged anew by the new version; what was skipped stays so. */
const retire = async (tx: PoolClient, processor: string, modelVersion: number): Promise<void> => {
  await forgetParked(tx, processor, modelVersion)
  await tx.query('delete from es.checkpoint where processor = $1 and model_version = $2', [processor, modelVersion])
}

/** By how many events the processor is ahead. */
export const distance = async (db: Pool, processor: string): Promise<bigint> => {
  const { rows } = await db.query<{ distance: string }>(
    `select (a.position - b.position)::text as distance from es.checkpoint a, es.checkpoint b
     where a.processor = $1 and a.active and b.processor = $1 and not b.active`,
    [processor],
  )
  return BigInt(rows[0]?.distance ?? 0)
}
