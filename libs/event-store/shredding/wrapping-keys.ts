import type { KeyObject } from 'node:crypto'
import { inTransaction } from '@mcpctl/postgres/transaction'
import type { Pool, PoolClient } from 'pg'
import { answered } from '../database-errors'
import { decrypt, encrypt, fingerprint } from './cipher'
import type { Queryable } from './key-rows'

/** A key-encryption key, as far as the database knows it. */
export interface WrappingKey {
  id: string
  /** RFC 3339, UTC, microseconds: when it was announced. */
  createdAt: string
  /** Whether a key is the one of this id: the canary opens with it. */
  isHeldBy(key: KeyObject): boolean
}

/** The list while nobody else can change it; all of it commits with `transaction` or not at all. */
export interface WrappingKeyChange {
  transaction: PoolClient
  list(): Promise<WrappingKey[]>
  /** Makes a key the current one. */
  announce(key: KeyObject): Promise<void>
  /** Takes the keys that wrap nothing and are not current off the list, for ever. Waits for who is about to wrap with one of them. Answers their ids. */
  retire(): Promise<string[]>
  /** Ids of all that were ever retired. */
  retired(): Promise<string[]>
}

const what = 'what was asked of the key-encryption keys'
const known = Buffer.from('canary')
const canaryPlace = (id: string) => ['key-encryption-key', id]

/** Which key-encryption keys the store's keys are wrapped with, in the order in which they were announced: the last one is current. */
export class WrappingKeys {
  constructor(private readonly pool: Pool) {}

  /** Without those that were retired. Throws `Unavailable`. */
  list(): Promise<WrappingKey[]> {
    return list(this.pool)
  }

  /** How many keys of subjects each of them wraps, by id. Throws `Unavailable`. */
  async uses(): Promise<Map<string, number>> {
    const text = 'select kek_id as id, count(*)::int as uses from es.subject_key where kek_id is not null group by 1'
    const { rows } = await answered(what, this.pool.query<{ id: string; uses: number }>(text))
    return new Map(rows.map(({ id, uses }) => [id, uses]))
  }

  /** Runs `work` when nobody else changes the list, on this daemon or another one. It may take half a minute between two statements. */
  change<R>(work: (change: WrappingKeyChange) => Promise<R>): Promise<R> {
    return inTransaction(this.pool, async (transaction) => {
      await transaction.query(`set local idle_in_transaction_session_timeout = '30s'`)
      await answered(what, transaction.query(`select pg_advisory_xact_lock(hashtext('es.key_encryption_key'))`))
      return work({
        transaction,
        list: () => list(transaction),
        announce: (key) => announce(transaction, key),
        retire: () => retire(transaction),
        retired: () => retired(transaction),
      })
    })
  }
}

const list = async (db: Queryable): Promise<WrappingKey[]> => {
  const text = `select kek_id as id, canary, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "createdAt"
    from es.key_encryption_key where retired_at is null order by ordinal`
  const { rows } = await answered(what, db.query<{ id: string; canary: Buffer; createdAt: string }>(text))
  return rows.map(({ canary, ...row }) => ({
    ...row,
    isHeldBy: (key) => fingerprint(key) === row.id && decrypt(key, canary, canaryPlace(row.id)) !== undefined,
  }))
}

const announce = async (db: PoolClient, key: KeyObject): Promise<void> => {
  const id = fingerprint(key)
  const text = 'insert into es.key_encryption_key (kek_id, canary) values ($1, $2)'
  await answered(what, db.query(text, [id, encrypt(key, known, canaryPlace(id))]))
}

const retire = async (db: PoolClient): Promise<string[]> => {
  const older = 'retired_at is null and ordinal < (select max(ordinal) from es.key_encryption_key)'
  // Of those who wrap with one of them just now the next statement sees what they have committed.
  await answered(what, db.query(`select from es.key_encryption_key where ${older} order by ordinal for update`))
  const text = `update es.key_encryption_key e set retired_at = clock_timestamp() where ${older}
    and not exists (select from es.subject_key k where k.kek_id = e.kek_id) returning kek_id as id`
  const { rows } = await answered(what, db.query<{ id: string }>(text))
  return rows.map(({ id }) => id)
}

const retired = async (db: PoolClient): Promise<string[]> => {
  const text = 'select kek_id as id from es.key_encryption_key where retired_at is not null'
  const { rows } = await answered(what, db.query<{ id: string }>(text))
  return rows.map(({ id }) => id)
}
