import { tcpUserTimeout } from '@mcpctl/postgres/tcp-user-timeout'
import type { PoolClient, QueryResult } from 'pg'

/** Where the active model of a processor stands; held by this transaction. */
export interface Checkpoint {
  modelVersion: number
  position: bigint
  stopped: boolean
  lastError: string
  /** Throws at this position so far, by whichever process. */
  attempts: number
  /** Whether any event of this processor is parked or skipped. */
  parks: boolean
}

export interface Owner {
  processor: string
  /** After which a statement of the transaction is cancelled. */
  statementTimeoutMs: number
  /** Folding code whose model may be gone on with. */
  folds: readonly string[]
}

interface Row {
  model_version: number
  position: string
  status: string
  attempts: number
  last_error: string | null
}

// In one round trip, and each statement with a snapshot of its own: what is parked is looked for after the lock was taken.
// A lost tail of commits is folded again from the log, so nobody waits for the disk. WAL keeps the order of commits: no
// checkpoint survives a crash that its events did not survive. A process that freezes while a batch is on its way to it is not idle
// for the database, which would wait for it as long as its machine answers: hence the limit on what TCP has not delivered. The limit on
// waiting for locks tells a statement that is held up, which is nobody's fault, from one that is slow.
export const beginText = `begin isolation level read committed;
    set local idle_in_transaction_session_timeout = '1s';
    ${tcpUserTimeout('1s', 'transaction')};
    set local lock_timeout = '5s';
    set local synchronous_commit = off`

const lockText = (tx: PoolClient, { processor, statementTimeoutMs, folds }: Owner) => {
  const name = tx.escapeLiteral(processor)
  return `${beginText};
    set local statement_timeout = ${statementTimeoutMs};
    select model_version, position::text, status, attempts, last_error from es.checkpoint
    where processor = ${name} and active and fold in (${folds.map((fold) => tx.escapeLiteral(fold)).join(', ')})
    for update skip locked;
    select exists (select from es.parked where processor = ${name}) as parks`
}

/**
 * Opens a transaction and locks the active checkpoint for it. Undefined when another process holds it, other code folds the active
 * model, or there is none yet; the transaction is closed then. A holder that freezes loses its transaction after a second.
 */
export const lockCheckpoint = async (tx: PoolClient, owner: Owner): Promise<Checkpoint | undefined> => {
  const results = (await tx.query(lockText(tx, owner))) as unknown as QueryResult<object>[]
  const [row] = (results.at(-2)?.rows ?? []) as Row[]
  const [parked] = (results.at(-1)?.rows ?? []) as { parks: boolean }[]
  if (!row) {
    await tx.query('rollback')
    return undefined
  }
  return {
    modelVersion: row.model_version,
    position: BigInt(row.position),
    stopped: row.status === 'stopped',
    lastError: row.last_error ?? '',
    attempts: row.attempts,
    parks: parked?.parks ?? false,
  }
}

export interface Move {
  processor: string
  modelVersion: number
  position: bigint
}

/** Moves the checkpoint and commits. */
export const commitAt = async (tx: PoolClient, { processor, modelVersion, position }: Move): Promise<void> => {
  const name = tx.escapeLiteral(processor)
  const payload = tx.escapeLiteral(`${position} ${modelVersion} ${processor}`)
  await tx.query(`update es.checkpoint set position = ${position}, status = 'running', attempts = 0, last_error = null
    where processor = ${name} and model_version = ${modelVersion};
    select pg_notify('es_checkpoint', ${payload});
    commit`)
}

/** Moves the checkpoint to just before an event that must not be passed, and commits. */
export const commitStopped = async (tx: PoolClient, move: Move, error: string): Promise<void> => {
  await tx.query(
    `update es.checkpoint set position = $3, status = 'stopped', last_error = $4
     where processor = $1 and model_version = $2`,
    [move.processor, move.modelVersion, String(move.position), error],
  )
  await tx.query('commit')
}

/** Lets a stopped processor try again from where it stopped. */
export const resume = async (tx: PoolClient, { processor, modelVersion, position }: Move): Promise<void> => {
  await tx.query(
    `delete from es.parked where processor = $1 and model_version = $2 and status = 'parked' and position > $3`,
    [processor, modelVersion, String(position)],
  )
  await tx.query(
    `update es.checkpoint set status = 'running', attempts = 0, last_error = null
     where processor = $1 and model_version = $2`,
    [processor, modelVersion],
  )
  // Whoever sleeps because of the stop looks again.
  await tx.query(`select pg_notify('es_event', $1)`, [String(position)])
}

/** What is known of a checkpoint that this process could not lock. */
export interface Elsewhere {
  position: bigint
  /** The folding code of the active model. */
  fold: string
  /** Made just now: there was none. */
  created: boolean
}

/** Reads the active checkpoint without locking it; makes it when there is none. */
export const findCheckpoint = async (
  db: PoolClient,
  { processor, modelVersion, fold }: { processor: string; modelVersion: number; fold: string },
): Promise<Elsewhere | undefined> => {
  const { rowCount } = await db.query(
    `insert into es.checkpoint (processor, model_version, fold)
     select $1, $2, $3 where not exists (select from es.checkpoint where processor = $1 and active)
     on conflict do nothing`,
    [processor, modelVersion, fold],
  )
  const { rows } = await db.query<{ position: string; fold: string }>(
    'select position::text, fold from es.checkpoint where processor = $1 and active',
    [processor],
  )
  return rows[0] && { position: BigInt(rows[0].position), fold: rows[0].fold, created: rowCount === 1 }
}

/** Where the active model stands, as committed. */
export const readCheckpoint = async (
  db: PoolClient,
  processor: string,
): Promise<{ modelVersion: number; position: bigint } | undefined> => {
  const { rows } = await db.query<{ model_version: number; position: string }>({
    name: 'es-checkpoint',
    text: 'select model_version, position::text from es.checkpoint where processor = $1 and active',
    values: [processor],
  })
  return rows[0] && { modelVersion: rows[0].model_version, position: BigInt(rows[0].position) }
}

/** Writes a failure down for everybody to see, if nobody has got past that position meanwhile. */
export const recordFailure = async (
  db: PoolClient,
  { processor, modelVersion, position }: Move,
  { error, counts }: { error: string; counts: boolean },
): Promise<void> => {
  await db.query(
    `update es.checkpoint set status = 'failing', last_error = $4, attempts = attempts + $5
     where processor = $1 and model_version = $2 and position = $3 and status <> 'stopped'`,
    [processor, modelVersion, String(position), error, counts ? 1 : 0],
  )
}
