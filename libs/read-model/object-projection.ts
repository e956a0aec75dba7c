import type { ResourceObject } from '@mcpctl/contracts'
import type { RecordedEvent } from '@mcpctl/event-store'
import type { PoolClient } from 'pg'
import { foldVersion, type ObjectVersion } from './version'
import type { ObjectView, ReferencesOf } from './view'

/** What the projection has to know of a kind. */
export interface ProjectedKind {
  /** `Server` */
  kind: string
  /** First part of its streams' ids. */
  category: string
  view: ObjectView
  references?: ReferencesOf
}

interface Folded {
  kind: ProjectedKind
  /** The stored version that the batch starts from. */
  stored: ObjectVersion | undefined
  current: ObjectVersion | undefined
  /** Versions that the batch adds, oldest first. */
  added: ObjectVersion[]
  /** Where the stored version ends, if it does. */
  storedEnd: bigint | undefined
}

/** Folds events of every kind into `rm.object` and `rm.reference`: one load, one fold in memory, one write per batch. */
export const objectProjection = (kinds: ProjectedKind[], epoch: number) => {
  const byCategory = new Map(kinds.map((kind) => [kind.category, kind]))
  return async (transaction: PoolClient, events: RecordedEvent[]): Promise<void> => {
    const relevant = events.filter(({ category }) => byCategory.has(category))
    if (relevant.length === 0) return
    const stored = await load(transaction, [...new Set(relevant.map(uidOf))])
    const folded = new Map<string, Folded>()
    for (const event of relevant) {
      const kind = byCategory.get(event.category)
      if (kind) step(folded, { kind, epoch, stored }, event)
    }
    await write(transaction, [...folded.values()])
  }
}

const uidOf = (event: RecordedEvent) => event.streamId.slice(event.category.length + 1)

const step = (
  folded: Map<string, Folded>,
  { kind, epoch, stored }: { kind: ProjectedKind; epoch: number; stored: Map<string, ObjectVersion> },
  event: RecordedEvent,
): void => {
  const uid = uidOf(event)
  const version = stored.get(uid)
  const state = folded.get(uid) ?? { kind, stored: version, current: version, added: [], storedEnd: undefined }
  folded.set(uid, state)
  const before = state.current?.object
  const next = foldVersion({ kind: kind.kind, view: kind.view, epoch }, before, event)
  if (next === before) return
  if (state.current === state.stored && state.stored) state.storedEnd = event.position
  else if (state.current) state.current.to = event.position
  state.current = next && { uid, from: event.position, to: null, object: next }
  if (state.current) state.added.push(state.current)
}

const load = async (transaction: PoolClient, uids: string[]): Promise<Map<string, ObjectVersion>> => {
  const { rows } = await transaction.query<{ uid: string; from_position: string; object: ResourceObject }>(
    'select uid, from_position::text, object from rm.object where uid = any($1) and to_position is null',
    [uids],
  )
  return new Map(
    rows.map(({ uid, from_position, object }) => [uid, { uid, from: BigInt(from_position), to: null, object }]),
  )
}

const write = async (transaction: PoolClient, folded: Folded[]): Promise<void> => {
  const ended = folded.filter(({ storedEnd }) => storedEnd !== undefined)
  if (ended.length > 0)
    await transaction.query(
      `update rm.object o set to_position = e.position
         from unnest($1::uuid[], $2::bigint[]) as e (uid, position) where o.uid = e.uid and o.to_position is null`,
      [ended.map(({ stored }) => stored?.uid), ended.map(({ storedEnd }) => String(storedEnd))],
    )
  const added = folded.flatMap(({ added: versions, kind }) =>
    versions.map((version) => ({ ...version, kind: kind.kind })),
  )
  if (added.length > 0)
    await transaction.query(
      `insert into rm.object (kind, uid, name, labels, from_position, to_position, object)
       select r.kind, r.uid, r.object #>> '{metadata,name}', (r.object #> '{metadata,labels}')::jsonb, r.from_position, r.to_position, r.object
         from json_to_recordset($1::json) as r (kind text, uid uuid, from_position bigint, to_position bigint, object json)`,
      [JSON.stringify(added.map(asRow))],
    )
  await writeReferences(
    transaction,
    folded.filter(({ kind, stored, current }) => kind.references && current !== stored),
  )
}

const asRow = ({ kind, uid, from, to, object }: ObjectVersion & { kind: string }) => ({
  kind,
  uid,
  from_position: String(from),
  to_position: to === null ? null : String(to),
  object,
})

const writeReferences = async (transaction: PoolClient, folded: Folded[]): Promise<void> => {
  if (folded.length === 0) return
  const uids = folded.flatMap(({ stored, added }) => [stored?.uid, added[0]?.uid]).filter((uid) => uid !== undefined)
  await transaction.query('delete from rm.reference where from_uid = any($1)', [uids])
  const rows = folded.flatMap(({ kind, current }) => {
    if (!current) return []
    const references = (kind.references as (object: unknown) => { kind: string; name: string }[])(current.object)
    return references.map((to) => ({
      from_kind: kind.kind,
      from_uid: current.uid,
      from_name: current.object.metadata.name,
      to_kind: to.kind,
      to_name: to.name,
    }))
  })
  await transaction.query(
    `insert into rm.reference
     select * from jsonb_to_recordset($1::jsonb) as r (from_kind text, from_uid uuid, from_name text, to_kind text, to_name text)
     on conflict do nothing`,
    [JSON.stringify(rows)],
  )
}
