import type { ResourceObject } from '@mcpctl/contracts'
import type { ClientBase } from 'pg'
import { referenceRows, type ProjectedKind } from './object-fold'
import type { ModelTables } from './model-tables'
import type { ObjectVersion } from './version'

/** The current versions of these objects, by uid. */
export const currentVersions = async (
  tx: ClientBase,
  tables: ModelTables,
  uids: string[],
): Promise<Map<string, ObjectVersion>> => {
  if (uids.length === 0) return new Map()
  const { rows } = await tx.query<{ uid: string; from_position: string; object: ResourceObject }>(
    `select uid, from_position::text, object from ${tables.object} where uid = any($1) and to_position is null`,
    [uids],
  )
  return new Map(
    rows.map(({ uid, from_position, object }) => [uid, { uid, from: BigInt(from_position), to: null, object }]),
  )
}

/** A version that is stored, and where it ends. */
export interface EndedVersion {
  uid: string
  from: bigint
  to: bigint
}

export const endVersions = async (tx: ClientBase, tables: ModelTables, ended: EndedVersion[]): Promise<void> => {
  if (ended.length === 0) return
  await tx.query(
    `update ${tables.object} o set to_position = e.ends
       from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as e (uid, begins, ends)
      where o.uid = e.uid and o.to_position is null and o.from_position = e.begins`,
    [ended.map(({ uid }) => uid), ended.map(({ from }) => String(from)), ended.map(({ to }) => String(to))],
  )
}

/** An object whose references may have changed, and its current version, if it has one. */
export interface Referrer {
  kind: ProjectedKind
  uid: string
  current: ObjectVersion | undefined
}

/** Replaces what these objects refer to. */
export const writeReferences = async (tx: ClientBase, tables: ModelTables, changed: Referrer[]): Promise<void> => {
  const referrers = changed.filter(({ kind }) => kind.references)
  if (referrers.length === 0) return
  await tx.query(`delete from ${tables.reference} where from_uid = any($1)`, [referrers.map(({ uid }) => uid)])
  const rows = referrers.flatMap(({ kind, current }) => (current ? referenceRows(kind, current) : []))
  await tx.query(
    `insert into ${tables.reference}
     select * from jsonb_to_recordset($1::jsonb) as r (from_kind text, from_uid uuid, from_name text, to_kind text, to_name text)
     on conflict do nothing`,
    [JSON.stringify(rows)],
  )
}
