import { tcpUserTimeout } from '@mcpctl/postgres/tcp-user-timeout'
import type { Pool, PoolClient } from 'pg'
import { asDomainError, isTransient } from '../database-errors'
import { textOf } from '../follow/parking'
import { currentEvents, parkedIn } from './folding'
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

/** A statement is one step of the fold, then one comparison of two tables. */
const longestStep = '1min'
const longestComparison = '30min'
const eventsPerStatement = 50_000
/** A version may be replaced and dropped just before it is held. */
const tries = 3

/**
 * Compares a model with a fold of the log from scratch, both as of one position, while appends and reads go on. What is parked or was
 * skipped is left out of both. The memory that it needs does not grow with the log; the database keeps the fold in temporary tables,
 * which end with the connection, so that nothing is left behind even by a crash. A rebuild does not wait for it: what it replaces
 * meanwhile is dropped when this is done.
 * Throws the signal's reason at once when that is aborted, and `Unavailable` when the database goes away or is too slow.
 */
export const verifyModel = async (
  pool: Pool,
  model: RebuildableModel,
  options: VerifyModelOptions = {},
): Promise<ModelVerification> => {
  for (let left = tries - 1; ; left--) {
    try {
      return { model: model.name, ...(await once(pool, { model, options })) }
    } catch (error) {
      if (left === 0 || !isGone(error)) throw asDomainError(error, `the verification of model "${model.name}"`)
    }
  }
}

/** 42P01: undefined table. */
const isGone = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === '42P01'

const once = async (pool: Pool, comparison: Comparison) => {
  const { signal } = comparison.options
  signal?.throwIfAborted()
  const client = await pool.connect()
  client.on('error', () => {})
  // Takes the temporary tables and the settings with it. The database notices when a statement is under way.
  const end = memoized(() => {
    client.release(true)
  })
  signal?.addEventListener('abort', end)
  try {
    // Servers on some systems do not know how.
    await client.query(`set client_connection_check_interval = '1s'`).catch(() => undefined)
    await client.query(sessionText)
    await client.query('begin isolation level repeatable read')
    return await compare(pool, client, comparison)
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', end)
    end()
  }
}

const memoized = (act: () => void) => {
  let isDone = false
  return () => {
    if (!isDone) act()
    isDone = true
  }
}

const sessionText = `set statement_timeout = '${longestStep}'; set idle_in_transaction_session_timeout = '${longestStep}';
  set lock_timeout = '10s'; ${tcpUserTimeout(longestStep, 'session')}`

interface Comparison {
  model: RebuildableModel
  options: VerifyModelOptions
}

/** How the model stands; as it is made when nothing was processed yet. */
const standing = async (tx: PoolClient, { name, fold }: RebuildableModel) => {
  const { rows } = await tx.query<{ model_version: number; position: string; fold: string }>(
    'select model_version, position::text, fold from es.checkpoint where processor = $1 and active',
    [name],
  )
  const { model_version: modelVersion, position, ...found } = rows[0] ?? { model_version: 1, position: '0', fold }
  return { modelVersion, position: BigInt(position), fold: found.fold }
}

const compare = async (pool: Pool, tx: PoolClient, comparison: Comparison) => {
  const { model } = comparison
  const { modelVersion, position, fold } = await standing(tx, model)
  const about = (path: string, stored: string, expected: string): { position: bigint; difference: Difference } => ({
    position,
    difference: { subject: { model: model.name }, path, stored, expected },
  })
  // After the snapshot: a version that is replaced from here on is still there to be read, and as the snapshot has it.
  await model.hold(tx, modelVersion)
  if (fold !== model.fold) return about('fold', fold, model.fold)
  const unfolded = await foldFromScratch(pool, tx, { ...comparison, modelVersion, position })
  if (unfolded !== undefined) return about('events', unfolded, 'events that can be folded')
  await tx.query(`set statement_timeout = '${longestComparison}'`)
  const difference = await model.compare(tx, modelVersion)
  return { position, ...(difference && { difference }) }
}

/** What was thrown at an event that cannot be folded, if anything was. */
const foldFromScratch = async (
  pool: Pool,
  tx: PoolClient,
  { model, options, modelVersion, position }: Comparison & { modelVersion: number; position: bigint },
): Promise<string | undefined> => {
  await model.create(tx, 'scratch')
  const parked = await ParkedEvents.of(tx, parkedIn(model, modelVersion))
  const loader = model.loader('scratch')
  let loaded = 0
  for await (const page of pagesAfter(pool, 0n, position)) {
    const { ready } = parked.sortOut(page)
    loaded += page.length
    try {
      await loader.load(tx, currentEvents(model, ready))
      // Ends the statement, whose time is limited.
      if (loaded >= eventsPerStatement) await loader.flush(tx)
      loaded %= eventsPerStatement
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
