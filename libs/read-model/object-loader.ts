import { setImmediate as immediately } from 'node:timers/promises'
import type { ProjectedEvent } from '@mcpctl/event-store'
import type { ClientBase } from 'pg'
import { CopyRows, jsonField, textField } from './copy-rows'
import { objectColumns, type ModelTables } from './model-tables'
import { nextVersion, uidOf, type ProjectedKind } from './object-fold'
import { currentVersions, endVersions, writeReferences, type EndedVersion, type Referrer } from './object-rows'
import type { ObjectVersion } from './version'

interface Kept {
  kind: ProjectedKind
  version: ObjectVersion
  /** The spec as JSON. Most events leave it as it was, and it is the larger part of the object. */
  spec: string
  /** As a field of COPY. */
  labels: string
  size: number
  isStored: boolean
}

export interface LoaderOptions {
  tables: ModelTables
  kinds: ProjectedKind[]
  epoch: number
  /** Objects that are kept in memory, in characters of JSON, about; default 16 Mi. In memory they are several times as large. */
  keptSize?: number
}

/**
 * Folds events into tables that nobody reads yet. A version is written once, when it has ended; current ones are kept in memory, those
 * that have not changed for long in the table. When a transaction is taken back the loader is of no use any more.
 */
export class ObjectLoader {
  private readonly kinds: ReadonlyMap<string, ProjectedKind>
  /** In the order in which they were last changed. */
  private readonly kept = new Map<string, Kept>()
  private size = 0
  private readonly rows: CopyRows
  private ended: EndedVersion[] = []
  private readonly changed = new Map<string, Referrer>()

  constructor(private readonly options: LoaderOptions) {
    this.kinds = new Map(options.kinds.map((kind) => [kind.category, kind]))
    this.rows = new CopyRows(`${options.tables.object} (${objectColumns})`)
  }

  /** Applies events. Their rows may be still on their way when it resolves: nobody else may use the transaction before `flush`. */
  async load(tx: ClientBase, events: ProjectedEvent[]): Promise<void> {
    // Lets what was asked for and what is to be written be on its way, for folding keeps the process busy.
    await immediately()
    const relevant = events.filter(({ category }) => this.kinds.has(category))
    await this.fetch(tx, relevant)
    for (const event of relevant) this.apply(event)
    this.forget()
    await this.rows.send(tx)
  }

  /** Writes what is in memory only. */
  async flush(tx: ClientBase): Promise<void> {
    for (const kept of this.kept.values()) this.store(kept)
    await this.rows.send(tx)
    await this.rows.end()
    await endVersions(tx, this.options.tables, this.ended.splice(0))
    await writeReferences(tx, this.options.tables, [...this.changed.values()])
    this.changed.clear()
  }

  /** Lets go of the transaction, which can only be taken back then; the loader is of no use any more. */
  cancel(): Promise<void> {
    return this.rows.cancel()
  }

  /** Makes sure that the current version of every object that has one is in memory. */
  private async fetch(tx: ClientBase, events: ProjectedEvent[]): Promise<void> {
    const missing = new Map<string, ProjectedEvent>()
    // The first event of a stream has nothing before it.
    for (const event of events) if (event.version > 1 && !this.kept.has(uidOf(event))) missing.set(uidOf(event), event)
    if (missing.size === 0) return
    await this.rows.end()
    // What has ended must not be found as current.
    await endVersions(tx, this.options.tables, this.ended.splice(0))
    const found = await currentVersions(tx, this.options.tables, [...missing.keys()])
    for (const [uid, version] of found) {
      const kind = this.kinds.get(missing.get(uid)?.category ?? '')
      if (kind) this.keep({ kind, version, ...measured(version), isStored: true })
    }
  }

  private apply(event: ProjectedEvent): void {
    const kind = this.kinds.get(event.category)
    if (!kind) return
    const uid = uidOf(event)
    const before = this.kept.get(uid)
    const current = before?.version
    const next = nextVersion(kind, this.options.epoch, { current, event })
    if (next === current) return
    const size = before && this.end(before, event.position)
    if (next) this.keep({ kind, version: next, ...measured(next, before, size), isStored: false })
    if (kind.references) this.changed.set(uid, { kind, uid, current: next })
  }

  private keep(kept: Kept): void {
    this.kept.set(kept.version.uid, kept)
    this.size += kept.size
  }

  /** The length of its row, when it had to be written. */
  private end(kept: Kept, to: bigint): number | undefined {
    const { uid, from } = kept.version
    this.kept.delete(uid)
    this.size -= kept.size
    if (kept.isStored) {
      this.ended.push({ uid, from, to })
      return undefined
    }
    const row = rowOf(kept, String(to))
    this.rows.add(row)
    return row.length
  }

  private store(kept: Kept): void {
    if (kept.isStored) return
    kept.isStored = true
    this.rows.add(rowOf(kept, '\\N'))
  }

  private forget(): void {
    const { keptSize = 16 * 1024 * 1024 } = this.options
    for (const [uid, kept] of this.kept) {
      if (this.size <= keptSize) return
      this.store(kept)
      this.kept.delete(uid)
      this.size -= kept.size
    }
  }
}

/** With the size that the version before had as a row, where that is known: to measure each costs as much as to fold it. */
const measured = ({ object }: ObjectVersion, before?: Kept, size?: number): Pick<Kept, 'spec' | 'labels' | 'size'> => {
  const { metadata, spec, status } = object
  const past = before?.version.object
  const specText = before && past?.spec === spec ? before.spec : JSON.stringify(spec)
  const labels = before && past?.metadata.labels === metadata.labels ? before.labels : labelsField(metadata.labels)
  return { spec: specText, labels, size: size ?? specText.length + sizeOf(metadata) + sizeOf(status) }
}

const labelsField = (labels: object) => jsonField(JSON.stringify(labels))

/** About how long a value is as JSON, without making the text. */
const sizeOf = (value: unknown): number => {
  if (typeof value === 'string') return value.length
  if (typeof value !== 'object' || value === null) return 8
  let size = 8
  for (const key of Object.keys(value)) size += key.length + sizeOf((value as Record<string, unknown>)[key])
  return size
}

/** The object as JSON.stringify would write it, made only when the version is written: kept texts would be most of the garbage. */
const rowOf = ({ kind, version: { uid, from, object }, spec, labels }: Kept, to: string): string => {
  const { metadata, status } = object
  const text = `{"kind":${JSON.stringify(object.kind)},"metadata":${JSON.stringify(metadata)},"spec":${spec},"status":${JSON.stringify(status)}}`
  return `${kind.kind}\t${uid}\t${textField(metadata.name)}\t${labels}\t${from}\t${to}\t${jsonField(text)}\n`
}
