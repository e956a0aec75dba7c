import { setImmediate as immediately } from 'node:timers/promises'
import type { ProjectedEvent } from '@mcpctl/event-store'
import type { ClientBase } from 'pg'
import { CopyRows, jsonbField, rowStart, textField, uuidField, widest } from './copy-rows'
import { objectColumnCount, objectColumns, type ModelTables } from './model-tables'
import { nextVersion, uidOf, type ProjectedKind } from './object-fold'
import { currentVersions, endVersions, writeReferences, type EndedVersion, type Referrer } from './object-rows'
import type { ObjectVersion } from './version'

interface Frame {
  before: string
  after: string
}

interface Kept {
  kind: ProjectedKind
  version: ObjectVersion
  /** The columns before the positions, as COPY takes them. */
  head: string
  /** As JSON, once they were written. Most events change one of them only. */
  spec: string | undefined
  status: string | undefined
  /** What stands before and after the resourceVersion, the one member of the metadata that changes each time. */
  frame: Frame | undefined
  size: number
  isStored: boolean
}

export interface LoaderOptions {
  tables: ModelTables
  kinds: ProjectedKind[]
  epoch: number
  /** Objects that are kept in memory, in characters of JSON, about; default 16 Mi. In memory they are several times as large. */
  keptSize?: number
  /** Objects whose references wait to be written, default 5,000. */
  referrers?: number
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
    await this.forget(tx)
    await this.rows.send(tx)
  }

  /** Writes what is in memory only. */
  async flush(tx: ClientBase): Promise<void> {
    await this.endStored(tx)
    for (const kept of this.kept.values()) this.store(kept)
    await this.rows.send(tx)
    await this.rows.end()
    await this.writeReferences(tx)
  }

  /** Ends versions in the table. Before others of the same objects come there: only one of each is current. */
  private async endStored(tx: ClientBase): Promise<void> {
    await this.rows.send(tx)
    await this.rows.end()
    await endVersions(tx, this.options.tables, this.ended.splice(0))
  }

  private async writeReferences(tx: ClientBase): Promise<void> {
    const changed = [...this.changed.values()]
    this.changed.clear()
    await writeReferences(tx, this.options.tables, changed)
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
    await this.endStored(tx)
    const found = await currentVersions(tx, this.options.tables, [...missing.keys()])
    for (const [uid, version] of found) {
      const kind = this.kinds.get(missing.get(uid)?.category ?? '')
      if (kind) this.keep({ ...keptOf(kind, version), isStored: true })
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
    if (before) this.end(before, event.position)
    if (next) this.keep(keptOf(kind, next, before))
    if (kind.references) this.changed.set(uid, { kind, uid, current: next })
  }

  private keep(kept: Kept): void {
    this.kept.set(kept.version.uid, kept)
    this.size += kept.size
  }

  private end(kept: Kept, to: bigint): void {
    const { uid, from } = kept.version
    this.kept.delete(uid)
    this.size -= kept.size
    if (kept.isStored) this.ended.push({ uid, from, to })
    else kept.size = this.write(kept, to)
  }

  private store(kept: Kept): void {
    if (kept.isStored) return
    kept.isStored = true
    this.write(kept, null)
  }

  /** Answers the length of the row. */
  private write(kept: Kept, to: bigint | null): number {
    const text = textOf(kept)
    this.rows.begin(kept.head, mostOf(text))
    this.rows.bigint(kept.version.from)
    this.rows.bigint(to)
    this.rows.text(text)
    return kept.head.length + text.length
  }

  /** Makes room. */
  private async forget(tx: ClientBase): Promise<void> {
    const { keptSize = 16 * 1024 * 1024, referrers = 5_000 } = this.options
    if (this.changed.size > referrers) {
      await this.endStored(tx)
      await this.writeReferences(tx)
    }
    if (this.size <= keptSize) return
    await this.endStored(tx)
    for (const [uid, kept] of this.kept) {
      if (this.size <= keptSize) return
      this.store(kept)
      this.kept.delete(uid)
      this.size -= kept.size
    }
  }
}

/** Two positions and the lengths of three columns, beside the text. */
const mostOf = (text: string): number => 28 + text.length * widest

/**
 * What of the version before is still right needs not to be made again. Nor is an object measured each time, which costs as much as to
 * fold it: the row of the version before is about as long.
 */
const keptOf = (kind: ProjectedKind, version: ObjectVersion, before?: Kept): Kept => {
  const { uid, object } = version
  if (!before) {
    const head = headOf(kind, uid, object)
    return {
      kind,
      version,
      head,
      spec: undefined,
      status: undefined,
      frame: undefined,
      size: sizeOf(object),
      isStored: false,
    }
  }
  const past = before.version.object
  const isSame = past.metadata.labels === object.metadata.labels && past.metadata.name === object.metadata.name
  return {
    kind,
    version,
    head: isSame ? before.head : headOf(kind, uid, object),
    spec: past.spec === object.spec ? before.spec : undefined,
    status: past.status === object.status ? before.status : undefined,
    frame: isSame && isFramedAlike(past.metadata, object.metadata) ? before.frame : undefined,
    size: before.size,
    isStored: false,
  }
}

const headOf = ({ kind }: ProjectedKind, uid: string, { metadata }: ObjectVersion['object']): string =>
  rowStart(objectColumnCount) +
  textField(kind) +
  uuidField(uid) +
  textField(metadata.name) +
  jsonbField(JSON.stringify(metadata.labels))

/** About how long a value is as JSON, without making the text. */
const sizeOf = (value: unknown): number => {
  if (typeof value === 'string') return value.length
  if (typeof value !== 'object' || value === null) return 8
  let size = 8
  for (const key of Object.keys(value)) size += key.length + sizeOf((value as Record<string, unknown>)[key])
  return size
}

type Metadata = ObjectVersion['object']['metadata']

/** Who made it when stays as it is; name and labels are known to be the same. */
const isFramedAlike = (one: Metadata, other: Metadata): boolean =>
  one.annotations === other.annotations &&
  one.generation === other.generation &&
  one.deletionTimestamp === other.deletionTimestamp

const frameOf = (kind: string, metadata: Metadata): Frame => {
  const members = Object.entries(metadata).filter(([, value]) => value !== undefined)
  const at = members.findIndex(([key]) => key === 'resourceVersion')
  const texts = members.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
  const before = [...texts.slice(0, at), '"resourceVersion":"'].join(',')
  const after = ['"', ...texts.slice(at + 1)].join(',')
  return { before: `{"kind":${JSON.stringify(kind)},"metadata":{${before}`, after: `${after}},"spec":` }
}

/** The object as JSON.stringify would write it, made only when the version is written: kept texts would be most of the garbage. */
const textOf = (kept: Kept): string => {
  const { kind, metadata, spec, status } = kept.version.object
  kept.spec ??= JSON.stringify(spec)
  kept.status ??= JSON.stringify(status)
  const { before, after } = (kept.frame ??= frameOf(kind, metadata))
  return `${before}${metadata.resourceVersion}${after}${kept.spec},"status":${kept.status}}`
}
