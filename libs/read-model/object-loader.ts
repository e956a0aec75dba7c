import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { RecordedEvent } from '@mcpctl/event-store'
import type { ClientBase } from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { objectColumns, type ModelTables } from './model-tables'
import { nextVersion, uidOf, type ProjectedKind } from './object-fold'
import { currentVersions, endVersions, writeReferences, type EndedVersion, type Referrer } from './object-rows'
import type { ObjectVersion } from './version'

/** Of JSON text; in memory the objects are several times as large. */
const keptBytes = 16 * 1024 * 1024

interface Kept {
  kind: ProjectedKind
  version: ObjectVersion
  /** As it is stored. */
  text: string
  specText: string
  isStored: boolean
}

export interface LoaderOptions {
  tables: ModelTables
  kinds: ProjectedKind[]
  epoch: number
}

/**
 * Folds events into tables that nobody reads yet. A version is written once, when it has ended; current ones are kept in memory, those
 * that have not changed for long in the table. When a transaction is taken back the loader is of no use any more.
 */
export class ObjectLoader {
  private readonly kinds: ReadonlyMap<string, ProjectedKind>
  /** In the order in which they were last changed. */
  private readonly kept = new Map<string, Kept>()
  private bytes = 0
  private rows: string[] = []
  private ended: EndedVersion[] = []
  private readonly changed = new Map<string, Referrer>()
  private writing: Promise<void> = Promise.resolve()

  constructor(private readonly options: LoaderOptions) {
    this.kinds = new Map(options.kinds.map((kind) => [kind.category, kind]))
  }

  /** Applies events. Their rows may be still on their way when it resolves: nobody else may use the transaction before `flush`. */
  async load(tx: ClientBase, events: RecordedEvent[]): Promise<void> {
    const relevant = events.filter(({ category }) => this.kinds.has(category))
    await this.fetch(tx, relevant)
    for (const event of relevant) this.apply(event)
    this.forget()
    // The fold of these has run while the rows of those before were written.
    await this.writing
    this.writing = this.write(tx)
    // Whoever waits for it hears of the error; until then it is nobody's.
    this.writing.catch(() => undefined)
  }

  /** Writes what is in memory only. */
  async flush(tx: ClientBase): Promise<void> {
    await this.writing
    for (const kept of this.kept.values()) this.store(kept)
    await this.write(tx)
    await endVersions(tx, this.options.tables, this.ended.splice(0))
    await writeReferences(tx, this.options.tables, [...this.changed.values()])
    this.changed.clear()
  }

  /** Makes sure that the current version of every object that has one is in memory. */
  private async fetch(tx: ClientBase, events: RecordedEvent[]): Promise<void> {
    const missing = new Map<string, RecordedEvent>()
    // The first event of a stream has nothing before it.
    for (const event of events) if (event.version > 1 && !this.kept.has(uidOf(event))) missing.set(uidOf(event), event)
    if (missing.size === 0) return
    await this.writing
    const found = await currentVersions(tx, this.options.tables, [...missing.keys()])
    for (const [uid, version] of found) {
      const kind = this.kinds.get(missing.get(uid)?.category ?? '')
      if (kind) this.keep({ kind, version, ...written(version), isStored: true })
    }
  }

  private apply(event: RecordedEvent): void {
    const kind = this.kinds.get(event.category)
    if (!kind) return
    const uid = uidOf(event)
    const before = this.kept.get(uid)
    const current = before?.version
    const next = nextVersion(kind, this.options.epoch, { current, event })
    if (next === current) return
    if (before) this.end(before, event.position)
    if (next) this.keep({ kind, version: next, ...written(next, before), isStored: false })
    if (kind.references) this.changed.set(uid, { kind, uid, current: next })
  }

  private keep(kept: Kept): void {
    this.kept.set(kept.version.uid, kept)
    this.bytes += kept.text.length
  }

  private end(kept: Kept, to: bigint): void {
    const { uid, from } = kept.version
    this.kept.delete(uid)
    this.bytes -= kept.text.length
    if (kept.isStored) this.ended.push({ uid, from, to })
    else this.rows.push(rowOf(kept, String(to)))
  }

  private store(kept: Kept): void {
    if (kept.isStored) return
    kept.isStored = true
    this.rows.push(rowOf(kept, '\\N'))
  }

  private forget(): void {
    for (const [uid, kept] of this.kept) {
      if (this.bytes <= keptBytes) return
      this.store(kept)
      this.kept.delete(uid)
      this.bytes -= kept.text.length
    }
  }

  private async write(tx: ClientBase): Promise<void> {
    const rows = this.rows.splice(0)
    if (rows.length === 0) return
    const into = tx.query(copyFrom(`copy ${this.options.tables.object} (${objectColumns}) from stdin`))
    await pipeline(Readable.from([rows.join('')]), into)
  }
}

/** What JSON.stringify would write. Most events leave the spec as it was, and it is the larger part. */
const written = ({ object }: ObjectVersion, before?: Kept): { text: string; specText: string } => {
  const { kind, metadata, spec, status } = object
  const specText = before && before.version.object.spec === spec ? before.specText : JSON.stringify(spec)
  const text = `{"kind":${JSON.stringify(kind)},"metadata":${JSON.stringify(metadata)},"spec":${specText},"status":${JSON.stringify(status)}}`
  return { text, specText }
}

// JSON has escaped everything else that means something in the text format of COPY.
const jsonField = (json: string) => (json.includes('\\') ? json.replaceAll('\\', '\\\\') : json)
const textField = (text: string) =>
  text.replace(/[\\\t\n\r]/g, (found) => ({ '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' })[found] ?? '')

const rowOf = ({ kind, version: { uid, from, object }, text }: Kept, to: string): string => {
  const { name, labels } = object.metadata
  return `${kind.kind}\t${uid}\t${textField(name)}\t${jsonField(JSON.stringify(labels))}\t${from}\t${to}\t${jsonField(text)}\n`
}
