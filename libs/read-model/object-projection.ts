import { DomainError } from '@mcpctl/contracts'
import type { ProjectedEvent } from '@mcpctl/event-store'
import type { ClientBase } from 'pg'
import { live, type ModelTables } from './model-tables'
import { nextVersion, uidOf, type ProjectedKind } from './object-fold'
import { currentVersions, endVersions, writeReferences } from './object-rows'
import type { ObjectVersion } from './version'

interface Folded {
  uid: string
  kind: ProjectedKind
  /** The stored version that the batch starts from. */
  stored: ObjectVersion | undefined
  current: ObjectVersion | undefined
  /** Versions that the batch adds, oldest first. */
  added: ObjectVersion[]
  /** Where the stored version ends, if it does. */
  storedEnd: bigint | undefined
}

/**
 * Folds events of every kind into the tables of objects and of references: one load, one fold in memory, one write per batch. In the
 * model that is read unless other tables are given.
 */
export const objectProjection = (kinds: ProjectedKind[], epoch: number, tables: ModelTables = live) => {
  const byCategory = new Map(kinds.map((kind) => [kind.category, kind]))
  return async (tx: ClientBase, events: ProjectedEvent[]): Promise<void> => {
    const relevant = events.filter(({ category }) => byCategory.has(category))
    if (relevant.length === 0) return
    const stored = await currentVersions(tx, tables, [...new Set(relevant.map(uidOf))])
    const folded = new Map<string, Folded>()
    for (const event of relevant) {
      const kind = byCategory.get(event.category)
      if (!kind) continue
      const uid = uidOf(event)
      const version = stored.get(uid)
      const state = folded.get(uid) ?? { uid, kind, stored: version, current: version, added: [], storedEnd: undefined }
      folded.set(uid, state)
      step(state, epoch, event)
    }
    await write(tx, tables, [...folded.values()])
  }
}

const step = (state: Folded, epoch: number, event: ProjectedEvent): void => {
  const next = nextVersion(state.kind, epoch, { current: state.current, event })
  if (next === state.current) return
  if (state.current === state.stored && state.stored) state.storedEnd = event.position
  else if (state.current) state.current.to = event.position
  state.current = next
  if (next) state.added.push(next)
}

const write = async (tx: ClientBase, tables: ModelTables, folded: Folded[]): Promise<void> => {
  const ended = folded.flatMap(({ uid, stored, storedEnd }) =>
    stored && storedEnd !== undefined ? [{ uid, from: stored.from, to: storedEnd }] : [],
  )
  await endVersions(tx, tables, ended)
  const added = folded.flatMap(({ added: versions, kind }) => versions.map((version) => asRow(kind, version)))
  if (added.length > 0) await insert(tx, tables, JSON.stringify(added), added.length)
  await writeReferences(
    tx,
    tables,
    folded.filter(({ stored, current }) => current !== stored),
  )
}

const insert = async (tx: ClientBase, tables: ModelTables, added: string, count: number): Promise<void> => {
  const { rowCount } = await tx.query(
    `insert into ${tables.object} (kind, uid, name, labels, from_position, to_position, object)
     select r.kind, r.uid, r.object #>> '{metadata,name}', (r.object #> '{metadata,labels}')::jsonb, r.from_position, r.to_position, r.object
       from json_to_recordset($1::json) as r (kind text, uid uuid, from_position bigint, to_position bigint, object json)
     on conflict (kind, name) where to_position is null do nothing`,
    [added],
  )
  if (rowCount !== count) throw await nameTaken(tx, tables, added)
}

/** Claims keep names apart, so that somebody has changed the log or what follows from it. */
const nameTaken = async (tx: ClientBase, tables: ModelTables, added: string): Promise<DomainError> => {
  const { rows } = await tx.query<{ kind: string; name: string; uid: string; holder: string }>(
    `select o.kind, o.name, r.uid, o.uid as holder
       from json_to_recordset($1::json) as r (kind text, uid uuid, to_position bigint, object json)
       join ${tables.object} o on o.kind = r.kind and o.name = r.object #>> '{metadata,name}' and o.uid <> r.uid
      where o.to_position is null and r.to_position is null limit 1`,
    [added],
  )
  const { kind = 'object', name = '', uid = '', holder = '' } = rows[0] ?? {}
  const what = `two ${kind} objects are named "${name}": ${holder}, which is shown, and ${uid}, which cannot be`
  return new DomainError('Conflict', `${what}; verify the log, delete one of them, then retry or skip the event`)
}

const asRow = ({ kind }: ProjectedKind, { uid, from, to, object }: ObjectVersion) => ({
  kind,
  uid,
  from_position: String(from),
  to_position: to === null ? null : String(to),
  object,
})
