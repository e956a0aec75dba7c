import type { ClientBase, Pool } from 'pg'
import { DomainError } from '@mcpctl/contracts'
import { asDomainError, storeLost } from '../database-errors'

export type Queryable = ClientBase | Pool

/** What es.subject_key knows of a subject: a wrapped key, or since when the subject is forgotten. */
export type KeyRow = LiveKey | { subject: string; key: null; forgottenAt: string }

/** A key under its new wrap, and the name of the key-encryption key that wrapped it before. */
export type Rewrap = LiveKey & { from: string }

/** A key as it is wrapped. */
export interface LiveKey {
  subject: string
  key: string
  kek: string
  wrapped: Buffer
  forgottenAt: null
}

/** `store` is who the database is now, `origin` where its log began. */
export interface StoredKeys {
  store: string
  origin: string
  /** The database's clock: RFC 3339, UTC, microseconds. */
  now: string
  rows: KeyRow[]
}

const timeText = (time: string) => `to_char(${time} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
const columns = `k.subject, k.key_id::text as key, k.kek_id as kek, k.wrapped, ${timeText('k.forgotten_at')} as "forgottenAt"`

/** The rows of these subjects, or of all, in the order of their names. */
export const keysOf = async (db: Queryable, subjects: readonly string[] | null): Promise<StoredKeys> => {
  const rows = await run<KeyRow & { store: string; origin: string; now: string }>(db, {
    name: 'es-subject-keys',
    text: `select s.id::text as store, s.origin_id::text as origin, ${timeText('now()')} as now, ${columns}
      from es.store s left join es.subject_key k on $1::text[] is null or k.subject = any ($1) order by k.subject`,
    values: [subjects],
  })
  const [first] = rows
  if (!first) throw storeLost()
  // Without any key there is still the store's row.
  const { store, origin, now } = first
  return { store, origin, now, rows: rows.filter(({ subject }) => (subject as unknown) !== null) }
}

/**
 * Stores rows beside those that are there: a key that is known already stays, a tombstone destroys a key, and nothing replaces a
 * tombstone. Throws Conflict where a subject has another key.
 */
export const storeKeys = async (db: Queryable, rows: readonly KeyRow[]): Promise<void> => {
  await run(db, {
    name: 'es-store-subject-keys',
    text: `insert into es.subject_key as k (subject, key_id, kek_id, wrapped, forgotten_at)
      select * from unnest($1::text[], $2::uuid[], $3::text[], $4::bytea[], $5::timestamptz[]) order by 1
      on conflict (subject) do update set key_id = excluded.key_id, kek_id = excluded.kek_id, wrapped = excluded.wrapped,
        forgotten_at = excluded.forgotten_at
      where k.forgotten_at is null and k.key_id is distinct from excluded.key_id`,
    values: [
      rows.map(({ subject }) => subject),
      rows.map(({ key }) => key),
      rows.map((row) => (row.key === null ? null : row.kek)),
      rows.map((row) => (row.key === null ? null : row.wrapped)),
      rows.map(({ forgottenAt }) => forgottenAt),
    ],
  })
}

/** Stores a subject's first key; false, and nothing done, when it has one or is forgotten. */
export const createKey = async (db: Queryable, row: LiveKey): Promise<boolean> => {
  const stored = await run(db, {
    name: 'es-create-subject-key',
    text: `insert into es.subject_key (subject, key_id, kek_id, wrapped) values ($1, $2, $3, $4)
      on conflict (subject) do nothing returning 1`,
    values: [row.subject, row.key, row.kek, row.wrapped],
  })
  return stored.length > 0
}

/** Keys that the key-encryption key `kek` does not wrap, in the order of their subjects. */
export const staleKeysOf = async (
  db: Queryable,
  { kek, after, limit }: { kek: string; after: string; limit: number },
): Promise<{ store: string; rows: LiveKey[] }> => {
  const rows = await run<LiveKey & { store: string }>(db, {
    name: 'es-stale-subject-keys',
    text: `select s.id::text as store, ${columns} from es.store s, es.subject_key k
      where k.kek_id <> $1 and k.subject > $2 order by k.subject limit $3`,
    values: [kek, after, limit],
  })
  return { store: rows[0]?.store ?? '', rows }
}

/** Puts other wraps of the same keys in place of those under the key-encryption key `from`; what was forgotten or replaced meanwhile stays so. */
export const replaceWraps = async (db: Queryable, rows: readonly Rewrap[]): Promise<number> => {
  const replaced = await run(db, {
    name: 'es-replace-wraps',
    text: `update es.subject_key k set kek_id = n.kek, wrapped = n.wrapped
      from unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::bytea[]) n (subject, key, was, kek, wrapped)
      where k.subject = n.subject and k.key_id = n.key and k.kek_id = n.was returning 1`,
    values: [
      rows.map(({ subject }) => subject),
      rows.map(({ key }) => key),
      rows.map(({ from }) => from),
      rows.map(({ kek }) => kek),
      rows.map(({ wrapped }) => wrapped),
    ],
  })
  return replaced.length
}

/** Puts a tombstone in the place of the subject's key, if it has one. */
export const destroyKey = async (db: Queryable, subject: string): Promise<void> => {
  await run(db, {
    name: 'es-destroy-subject-key',
    text: `insert into es.subject_key as k (subject, forgotten_at) values ($1, clock_timestamp())
      on conflict (subject) do update set key_id = null, kek_id = null, wrapped = null, forgotten_at = excluded.forgotten_at
      where k.forgotten_at is null`,
    values: [subject],
  })
}

const run = async <Row extends object>(
  db: Queryable,
  query: { name: string; text: string; values: unknown[] },
): Promise<Row[]> => {
  try {
    return (await db.query<Row>(query)).rows
  } catch (error) {
    // restrict_violation: the table's own rule, which names the subject.
    if (error instanceof Error && 'code' in error && error.code === '23001')
      throw new DomainError('Conflict', error.message, { cause: error })
    throw asDomainError(error, 'what was asked of the keys of subjects')
  }
}
