import type { KeyObject } from 'node:crypto'
import type { Pool } from 'pg'
import { answered } from '../database-errors'
import { decrypt, encrypt, fingerprint } from './cipher'

/** A key-encryption key, as far as the database knows it. */
export interface WrappingKey {
  id: string
  /** RFC 3339, UTC, microseconds: when it was announced. */
  createdAt: string
  /** Keys of subjects that it wraps. */
  dataKeys: number
  /** Whether a key is the one of this id: the canary opens with it. */
  isHeldBy(key: KeyObject): boolean
}

const known = Buffer.from('canary')
const canaryPlace = (id: string) => ['key-encryption-key', id]

/** Which key-encryption keys the store's keys are wrapped with, in the order in which they were announced: the last one is current. */
export class WrappingKeys {
  constructor(private readonly pool: Pool) {}

  /** Throws `Unavailable`. */
  async list(): Promise<WrappingKey[]> {
    const { rows } = await this.query<{ id: string; canary: Buffer; createdAt: string; dataKeys: number }>(
      `select e.kek_id as id, e.canary, to_char(e.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "createdAt",
        (select count(*) from es.subject_key k where k.kek_id = e.kek_id)::int as "dataKeys"
       from es.key_encryption_key e order by e.ordinal`,
    )
    return rows.map(({ canary, ...row }) => ({
      ...row,
      isHeldBy: (key) => fingerprint(key) === row.id && decrypt(key, canary, canaryPlace(row.id)) !== undefined,
    }))
  }

  /** Makes a key the current one. `first`: only if there is none yet; false, and nothing done, when there is. Throws `Unavailable`. */
  async announce(key: KeyObject, { first = false } = {}): Promise<boolean> {
    const id = fingerprint(key)
    const { rowCount } = await this.query(
      `with held as (select pg_advisory_xact_lock(hashtext('es.key_encryption_key')))
       insert into es.key_encryption_key (kek_id, canary)
       select $1, $2 from held where not $3 or not exists (select from es.key_encryption_key) on conflict (kek_id) do nothing`,
      [id, encrypt(key, known, canaryPlace(id)), first],
    )
    return rowCount === 1
  }

  /** Takes a key that wraps nothing and is not the current one off the list; false when it is in use. Throws `Unavailable`. */
  async retire(id: string): Promise<boolean> {
    const { rowCount } = await this.query(
      `delete from es.key_encryption_key e where kek_id = $1 and ordinal < (select max(ordinal) from es.key_encryption_key)
       and not exists (select from es.subject_key k where k.kek_id = e.kek_id)`,
      [id],
    )
    return rowCount === 1
  }

  private query<Row extends object>(text: string, values: unknown[] = []) {
    return answered('what was asked of the key-encryption keys', this.pool.query<Row>(text, values))
  }
}
