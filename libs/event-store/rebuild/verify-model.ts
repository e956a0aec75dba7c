import type { Pool, PoolClient } from 'pg'
import { asDomainError, isTransient } from '../database-errors'
import { textOf } from '../follow/parking'
import type { Difference, RebuildableModel } from './model'
import { pagesAfter } from './pages'
import { ParkedEvents } from './parked-events'

export interface VerifyModelOptions {
  /** Called after each page of events. */
  onProgress?: (progress: { position: bigint; to: bigint }) => void
  /** Ends the comparison; it throws the signal's reason. */
  signal?: AbortSignal
}

export interface ModelVerification {
  model: string
  /** Both were compared as of here. */
  position: bigint
  /** The first one; absent when there is none. */
  difference?: Difference
}

/**
 * Compares a model with a fold of the log from scratch, both as of one position, while appends and reads go on. What is parked or was
 * skipped is left out of both. The memory that it needs does not grow with the log; the database keeps the fold in temporary tables,
 * which end with the connection, so that nothing is left behind even by a crash. A rebuild waits with its swap until this is done.
 * Throws `Unavailable` when the database goes away.
 */
export const verifyModel = async (
  pool: Pool,
  model: RebuildableModel,
  options: VerifyModelOptions = {},
): Promise<ModelVerification> => {
  const client = await pool.connect()
  const lost = () => {}
  client.on('error', lost)
  try {
    await client.query('set statement_timeout = 0; begin isolation level repeatable read')
    // Before the snapshot: a swap in between would leave it with tables whose rows it cannot see.
    await model.hold(client)
    return { model: model.name, ...(await compare(pool, client, { model, options })) }
  } catch (error) {
    throw asDomainError(error)
  } finally {
    // Takes the temporary tables and the settings with it.
    client.release(true)
  }
}

interface Comparison {
  model: RebuildableModel
  options: VerifyModelOptions
}

const compare = async (pool: Pool, tx: PoolClient, comparison: Comparison) => {
  const { model } = comparison
  const { rows } = await tx.query<{ model_version: number; position: string; fold: string }>(
    'select model_version, position::text, fold from es.checkpoint where processor = $1 and active',
    [model.name],
  )
  const { model_version: modelVersion = 0, position: text = '0', fold = model.fold } = rows[0] ?? {}
  const position = BigInt(text)
  const about = (path: string, stored: string, expected: string): { position: bigint; difference: Difference } => ({
    position,
    difference: { subject: { model: model.name }, path, stored, expected },
  })
  if (fold !== model.fold) return about('fold', fold, model.fold)
  const unfolded = await foldFromScratch(pool, tx, { ...comparison, modelVersion, position })
  if (unfolded !== undefined) return about('events', unfolded, 'events that can be folded')
  const difference = await model.compare(tx)
  return { position, ...(difference && { difference }) }
}

/** What was thrown at an event that cannot be folded, if anything was. */
const foldFromScratch = async (
  pool: Pool,
  tx: PoolClient,
  { model, options, modelVersion, position }: Comparison & { modelVersion: number; position: bigint },
): Promise<string | undefined> => {
  await model.create(tx, 'scratch')
  const parked = await ParkedEvents.of(tx, { processor: model.name, modelVersion })
  const loader = model.loader('scratch')
  const { catalogue } = model
  for await (const page of pagesAfter(pool, 0n, position)) {
    const { ready } = parked.sortOut(page)
    try {
      await loader.load(tx, catalogue ? ready.map((event) => catalogue.toCurrent(event)) : ready)
    } catch (error) {
      await loader.cancel()
      if (isTransient(error)) throw error
      return textOf(error)
    }
    options.onProgress?.({ position: page.at(-1)?.position ?? position, to: position })
    options.signal?.throwIfAborted()
  }
  await loader.flush(tx)
  return undefined
}
