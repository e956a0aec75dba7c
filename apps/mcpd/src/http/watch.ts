import { DomainError, type Kind, type ResourceObject } from '@mcpctl/contracts'
import type { ChangePage, ObjectChange, ObjectChanges, ObjectFeed, Objects } from '@mcpctl/read-model'
import { asDomainError } from './problem.filter'
import { bookmark, changed, failure, goodbye, heartbeat, opening, present, type Told } from './watch-frames'
import type { WatchQuery } from './watch-query'
import type { WatchReader } from './watch-reader'

/** What waits for a reader at most; one that is slower comes back and goes on from where it was. */
const MOST_EVENTS = 1_000
const MOST_BYTES = 1024 * 1024
/** Written at once, once somebody reads. */
const CHUNK = 64 * 1024

export interface Watched {
  kind: Kind
  objects: Objects
  changes: ObjectChanges
  /** Of the kind, shared by all who watch it. */
  feed: ObjectFeed
  query: WatchQuery
  /** Whether the selectors choose an object. */
  isChosen: (object: ResourceObject) => boolean
  reader: WatchReader
  requestId: string
}

/**
 * One client's view of a kind as it changes. First it is told what it does not know, at its own pace; from then on what happens waits for
 * it, up to a limit. Every event is told once and in order of positions; whoever comes back with the last id misses none.
 */
export class Watch {
  private position = 0n
  private readonly waiting: string[] = []
  private bytes = 0
  private final: string | undefined
  private wake: () => void = () => undefined
  private isLive = false

  constructor(
    private readonly watched: Watched,
    /** Told once, when the last word waits for the reader. */
    private readonly onEnd: () => void,
  ) {}

  get tokenId(): string {
    return this.watched.reader.tokenId
  }

  /** What goes over the wire, until the end of the watch. */
  async *frames(): AsyncGenerator<string> {
    const { feed } = this.watched
    try {
      // Who has the answer's head is told whatever happens from then on.
      if (this.beginsNow()) this.position = BigInt(await this.watched.objects.position())
      yield opening
      yield* this.whileOpen(this.start())
      while (this.final === undefined && !feed.join(this.take, this.position)) yield* this.whileOpen(this.catchUp())
      this.isLive = true
      while (this.final === undefined) yield* this.next()
    } catch (error) {
      this.end(asDomainError(error))
    } finally {
      this.isLive = false
      feed.leave(this.take)
    }
    if (this.final) yield this.final
  }

  /** Ends the watch with what is wrong, or because the daemon ends. What waits is not told any more: it may not be for these eyes. */
  end(error?: DomainError): void {
    if (this.final !== undefined) return
    this.final = error ? failure(error, this.watched.requestId) : goodbye
    this.waiting.length = 0
    this.wake()
    this.onEnd()
  }

  /** The reader has gone. */
  abandon(): void {
    this.final ??= ''
    this.wake()
  }

  /** Shows that the connection lives, and with `isBookmark` up to where all has been told. Not to one who has enough to read. */
  beat(isBookmark: boolean): void {
    if (!this.isLive || this.waiting.length > 0) return
    this.add(isBookmark ? bookmark(this.watched.kind, this.version()) : heartbeat)
  }

  private async *start(): AsyncGenerator<string> {
    const { query, reader } = this.watched
    if (query.initial) yield* this.state()
    else if (query.from !== undefined) {
      await reader.confirmSince(query.from)
      this.position = query.from
    }
  }

  private beginsNow(): boolean {
    const { initial, from } = this.watched.query
    return !initial && from === undefined
  }

  /** What is there, as of one position. */
  private async *state(): AsyncGenerator<string> {
    const { kind, objects, reader, query } = this.watched
    const { labelSelector, fieldSelector } = query
    const selectors = {
      ...(labelSelector !== undefined && { labelSelector }),
      ...(fieldSelector !== undefined && { fieldSelector }),
    }
    let next: string | undefined
    do {
      const page = { ...selectors, ...(next !== undefined && { continue: next }) }
      const { items, metadata } = await objects.list(kind, page, { uid: reader.uid, scopes: reader.scopes })
      await reader.confirm()
      if (next === undefined) this.position = positionIn(metadata.resourceVersion)
      for (const object of items) if (reader.maySee(object)) yield present(object)
      next = metadata.continue
    } while (next !== undefined)
    yield bookmark(kind, this.version(), true)
  }

  /** One portion of what has happened since. */
  private async *catchUp(): AsyncGenerator<string> {
    const { changes, kind, reader } = this.watched
    const page = await changes.after(kind, this.position)
    await reader.confirm()
    for (const change of page.changes) {
      const text = this.textOf(change)
      if (text !== undefined) yield text
    }
    this.position = page.upTo
  }

  private async *whileOpen(frames: AsyncGenerator<string>): AsyncGenerator<string> {
    for await (const text of frames) {
      if (this.final !== undefined) return
      yield text
    }
  }

  /** What waits, as soon as something does. */
  private async *next(): AsyncGenerator<string> {
    if (this.waiting.length === 0) await new Promise<void>((resolve) => (this.wake = resolve))
    await this.watched.reader.confirm()
    const text = this.chunk()
    if (text !== '') yield text
  }

  private chunk(): string {
    let text = ''
    while (this.waiting.length > 0 && text.length < CHUNK) text += this.waiting.shift() ?? ''
    this.bytes = this.waiting.length === 0 ? 0 : Math.max(0, this.bytes - Buffer.byteLength(text))
    return text
  }

  private readonly take = ({ changes, upTo }: ChangePage): void => {
    for (const change of changes) {
      if (change.position <= this.position || this.final !== undefined) continue
      const text = this.textOf(change)
      if (text !== undefined) this.add(text)
    }
    if (upTo > this.position) this.position = upTo
  }

  private add(text: string): void {
    this.waiting.push(text)
    this.bytes += Buffer.byteLength(text)
    if (this.waiting.length > MOST_EVENTS || this.bytes > MOST_BYTES) return this.end(tooSlow())
    this.wake()
  }

  /** How a change is told to this reader: an object that is none of his any more is gone for him. */
  private textOf(change: ObjectChange): string | undefined {
    const told = toldAs(this.isShown(change.before), this.isShown(change.after))
    return told && changed(told, change, this.watched.objects.epoch)
  }

  private isShown(object: ResourceObject | undefined): boolean {
    const { isChosen, reader } = this.watched
    return object !== undefined && isChosen(object) && reader.maySee(object)
  }

  private version(): string {
    return `${String(this.watched.objects.epoch)}.${String(this.position)}`
  }
}

const toldAs = (before: boolean, after: boolean): Told | undefined => {
  if (after) return before ? 'MODIFIED' : 'ADDED'
  return before ? 'DELETED' : undefined
}

const tooSlow = () =>
  new DomainError(
    'SlowConsumer',
    'events come faster than they are read; come back with the last id to go on from there',
  )

const positionIn = (version: string): bigint => BigInt(version.slice(version.indexOf('.') + 1))
