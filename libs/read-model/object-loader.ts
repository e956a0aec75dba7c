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
  /** What stands before and after resourceVersion and generation, the members of the metadata that change most. */
  frame: Frame | undefined
  size: number
  isStored: boolean
  /** Was changed since `forget` has last come by. */
  isRecent: boolean
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
  /** By stream. */
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
    for (const event of events)
      if (event.version > 1 && !this.kept.has(event.streamId)) missing.set(uidOf(event), event)
    if (missing.size === 0) return
    await this.endStored(tx)
    const found = await currentVersions(tx, this.options.tables, [...missing.keys()])
    for (const [uid, version] of found) {
      const { category = '', streamId = '' } = missing.get(uid) ?? {}
      const kind = this.kinds.get(category)
      if (kind) this.keep(streamId, { ...keptOf(kind, version), isStored: true })
    }
  }

  private apply(event: ProjectedEvent): void {
    const kind = this.kinds.get(event.category)
    if (!kind) return
    const { streamId } = event
    const kept = this.kept.get(streamId)
    const current = kept?.version
    const next = nextVersion(kind, this.options.epoch, { current, event })
    if (next === current) return
    if (kept) this.end(kept, event.position)
    if (!next) this.drop(streamId, kept)
    else if (kept) replace(kept, next)
    else this.keep(streamId, keptOf(kind, next))
    if (!kind.references) return
    const uid = uidOf(event)
    this.changed.set(uid, { kind, uid, current: next })
  }

  private keep(streamId: string, kept: Kept): void {
    this.kept.set(streamId, kept)
    this.size += kept.size
  }

  private drop(streamId: string, kept: Kept | undefined): void {
    this.kept.delete(streamId)
    this.size -= kept?.size ?? 0
  }

  /** What follows a version is about as long as its row: objects are not measured each time, which costs as much as to fold them. */
  private end(kept: Kept, to: bigint): void {
    const { uid, from } = kept.version
    if (kept.isStored) {
      this.ended.push({ uid, from, to })
      return
    }
    this.size -= kept.size
    kept.size = this.write(kept, to)
    this.size += kept.size
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

  /** Makes room, of what was not changed since it was last here, in turn: cheaper than to keep an order of all with every event. */
  private async forget(tx: ClientBase): Promise<void> {
    const { keptSize = 16 * 1024 * 1024, referrers = 5_000 } = this.options
    if (this.changed.size > referrers) {
      await this.endStored(tx)
      await this.writeReferences(tx)
    }
    if (this.size <= keptSize) return
    await this.endStored(tx)
    for (const [streamId, kept] of this.kept) {
      if (this.size <= keptSize) return
      this.drop(streamId, kept)
      if (kept.isRecent) this.keep(streamId, Object.assign(kept, { isRecent: false }))
      else this.store(kept)
    }
  }
}

/** Two positions and the lengths of three columns, beside the text. */
const mostOf = (text: string): number => 28 + text.length * widest

const keptOf = (kind: ProjectedKind, version: ObjectVersion): Kept => ({
  kind,
  version,
  head: headOf(kind, version),
  spec: undefined,
  status: undefined,
  frame: undefined,
  size: sizeOf(version.object),
  isStored: false,
  isRecent: true,
})

/** Puts the next version in place of one. What is still right needs not to be made again. */
const replace = (kept: Kept, next: ObjectVersion): void => {
  const past = kept.version.object
  const { metadata, spec, status } = next.object
  const isNamedAlike = past.metadata.labels === metadata.labels && past.metadata.name === metadata.name
  if (!isNamedAlike) kept.head = headOf(kept.kind, next)
  if (!isNamedAlike || !isFramedAlike(past.metadata, metadata)) kept.frame = undefined
  if (past.spec !== spec) kept.spec = undefined
  if (past.status !== status) kept.status = undefined
  kept.version = next
  kept.isStored = false
  kept.isRecent = true
}

const headOf = ({ kind }: ProjectedKind, { uid, object: { metadata } }: ObjectVersion): string =>
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
  one.annotations === other.annotations && one.deletionTimestamp === other.deletionTimestamp

/** The generation follows the resourceVersion, as `foldVersion` has it. */
const frameOf = (kind: string, metadata: Metadata): Frame => {
  const members = Object.entries(metadata).filter(([, value]) => value !== undefined)
  const at = members.findIndex(([key]) => key === 'resourceVersion')
  const texts = members.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
  const before = [...texts.slice(0, at), '"resourceVersion":"'].join(',')
  const after = ['', ...texts.slice(at + 2)].join(',')
  return { before: `{"kind":${JSON.stringify(kind)},"metadata":{${before}`, after: `${after}},"spec":` }
}

/** The object as JSON.stringify would write it, made only when the version is written: kept texts would be most of the garbage. */
const textOf = (kept: Kept): string => {
  const { kind, metadata, spec, status } = kept.version.object
  kept.spec ??= JSON.stringify(spec)
  kept.status ??= JSON.stringify(status)
  const { before, after } = (kept.frame ??= frameOf(kind, metadata))
  const { resourceVersion, generation } = metadata
  return `${before}${resourceVersion}","generation":${generation}${after}${kept.spec},"status":${kept.status}}`
}
