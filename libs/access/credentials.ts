import type { Pool, PoolClient } from 'pg'
import { hashCode, isCode } from './codes'

/** The hash of a user's password, if there is one. */
export const passwordOf = async (pool: Pool, uid: string): Promise<string | undefined> => {
  const { rows } = await pool.query<{ hash: string }>('select hash from access.password where user_uid = $1', [uid])
  return rows[0]?.hash
}

/** Sets or replaces a password's hash, beside the event that says so. */
export const storePassword = async (transaction: PoolClient | Pool, uid: string, hash: string): Promise<void> => {
  await transaction.query(
    `insert into access.password (user_uid, hash) values ($1, $2)
     on conflict (user_uid) do update set hash = excluded.hash, set_at = now()`,
    [uid, hash],
  )
}

/** Puts another hash of the same password in the place of one. False when that is not there any more. */
export const rehashPassword = async (
  pool: Pool,
  uid: string,
  { from, to }: { from: string; to: string },
): Promise<boolean> => {
  const { rowCount } = await pool.query('update access.password set hash = $3 where user_uid = $1 and hash = $2', [
    uid,
    from,
    to,
  ])
  return rowCount === 1
}

/** Whether this is still the hash of the user's password; until the caller's transaction ends nobody replaces it. */
export const isStillPassword = async (transaction: PoolClient, uid: string, hash: string): Promise<boolean> => {
  const { rows } = await transaction.query<{ hash: string }>(
    'select hash from access.password where user_uid = $1 for share',
    [uid],
  )
  return rows[0]?.hash === hash
}

/** Drops passwords of users who are gone. `present`: who was there at some time of the last hour. */
export const purgePasswords = async (pool: Pool, present: readonly string[]): Promise<void> => {
  await pool.query(`delete from access.password where user_uid <> all($1) and set_at < now() - interval '1 hour'`, [
    present,
  ])
}

/** A code that was issued. */
export interface IssuedCode {
  id: string
  uid: string
  code: string
  expiresAt: Date
}

/** Stores a code's hash; those that the user had before are void. */
export const storeCode = async (transaction: PoolClient, { id, uid, code, expiresAt }: IssuedCode): Promise<void> => {
  await transaction.query('delete from access.setup_code where user_uid = $1', [uid])
  await transaction.query(
    'insert into access.setup_code (code_id, user_uid, code_hash, expires_at) values ($1, $2, $3, $4)',
    [id, uid, hashCode(code), expiresAt],
  )
}

/** The id of the user's code, when this is it and it is still good. */
export const findCode = async (pool: Pool, uid: string, code: string): Promise<string | undefined> => {
  const { rows } = await pool.query<{ code_id: string; code_hash: Buffer }>(
    'select code_id, code_hash from access.setup_code where user_uid = $1 and expires_at > now()',
    [uid],
  )
  return rows.find((row) => isCode(code, row.code_hash))?.code_id
}

/** Uses a code up. False when somebody else was faster. */
export const takeCode = async (transaction: PoolClient, id: string): Promise<boolean> => {
  const { rowCount } = await transaction.query('delete from access.setup_code where code_id = $1', [id])
  return rowCount === 1
}

/** Drops codes that have expired. */
export const purgeCodes = async (pool: Pool): Promise<void> => {
  await pool.query('delete from access.setup_code where expires_at < now()')
}
