import type { PoolClient } from 'pg'
import type { RebuildableModel } from './model'

/** Above `deadlock_timeout`, so that a vacuum gives way. Nobody waits behind us: nobody reads these tables any more. */
const patience = '1500ms'

/**
 * Drops the tables of versions that were replaced. Not part of the swap, in which readers would wait for the files to go. Throws with
 * code 55P03 when somebody still looks at them, a verification for example.
 */
export const dropLeftovers = async (tx: PoolClient, model: RebuildableModel): Promise<void> => {
  await tx.query(`begin isolation level read committed; set local lock_timeout = '${patience}'`)
  // Before the checkpoints: what is made in between has its checkpoint by then.
  const versions = await model.versions(tx)
  const { rows } = await tx.query<{ model_version: number; active: boolean }>(
    'select model_version, active from es.checkpoint where processor = $1',
    [model.name],
  )
  const active = rows.find((row) => row.active)?.model_version ?? 0
  const known = new Set(rows.map((row) => row.model_version))
  for (const version of versions) if (version < active && !known.has(version)) await model.drop(tx, version)
  await tx.query('commit')
}
