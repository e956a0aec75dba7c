import { DomainError } from '@mcpctl/contracts'
import { withClient } from '@mcpctl/postgres/transaction'
import type { Pool, PoolClient } from 'pg'
import { asDomainError } from '../database-errors'
import { textOf } from '../follow/parking'
import { lockBuild } from './build-row'
import type { RebuildableModel } from './model'
import { maxAttempts } from './request'

/** With the key that PostgreSQL names apart, for example of a row that is there twice. */
export const reasonOf = (error: unknown): string => {
  const { detail } = Object(error) as { detail?: unknown }
  return typeof detail === 'string' ? `${textOf(error)}: ${textOf(detail)}` : textOf(error)
}

/** What to tell whoever runs the builder. */
export const buildFailed = (error: unknown, { model, isFinal }: { model: string; isFinal: boolean }): unknown => {
  const known = asDomainError(error)
  if (known instanceof DomainError && known.code === 'Unavailable') return known
  const next = isFinal
    ? 'what was built is dropped; verify the log, then ask for the rebuild again'
    : 'it will be tried again, one event at a time'
  const message = `the rebuild of model "${model}" failed: ${reasonOf(error)}; ${next}`
  return new DomainError('Conflict', message, { cause: error })
}

/** Leaves the build as one that has failed and holds nothing. Whoever asks for it again begins from the beginning. */
export const giveUp = (pool: Pool, model: RebuildableModel, error: string): Promise<void> =>
  withClient(pool, async (tx) => {
    const build = await lockBuild(tx, model.name)
    if (build?.phase === 'indexing') {
      await model.drop(tx, build.modelVersion)
      await forgetParked(tx, model.name, build.modelVersion)
      await tx.query(
        `update es.checkpoint set position = 0, status = 'building', attempts = $2, last_error = $3
         where processor = $1 and not active`,
        [model.name, maxAttempts, error],
      )
    }
    await tx.query('commit')
  })

/** What is parked in a version is judged anew when it is folded anew. */
export const forgetParked = async (tx: PoolClient, processor: string, modelVersion: number): Promise<void> => {
  await tx.query(`delete from es.parked where processor = $1 and model_version = $2 and status = 'parked'`, [
    processor,
    modelVersion,
  ])
}
