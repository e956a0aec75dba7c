import type { ResourceObject } from '@mcpctl/contracts'
import { sql, type Kysely } from 'kysely'
import type { Objects } from './objects'
import type { ReadModel } from './tables'

/** Positions that one query looks at: a burst comes in portions, between which readers can take what they have got. */
const WINDOW = 500n
/** A lost notification costs so much, and nothing else. Milliseconds. */
const LOOK_MS = 1_000

/** A kind as its changes are found. */
export interface WatchedKind {
  /** `Server` */
  name: string
  /** `server`: the category of its streams. */
  singular: string
}

/** What one event made of one object: none before when it was created, none after when it is gone. */
export interface ObjectChange {
  position: bigint
  before?: ResourceObject
  after?: ResourceObject
}

/** All changes after a position up to another one, in order. */
export interface ChangePage {
  changes: ObjectChange[]
  /** Where to go on from. */
  upTo: bigint
  /** There is more after it already. */
  more: boolean
}

interface VersionRow {
  uid: string
  from_position: string
  to_position: string | null
  object: ResourceObject
}

/** What happened to objects, read from their versions: complete from the first event on, and the same however often it is read. */
export class ObjectChanges {
  constructor(
    private readonly database: Kysely<ReadModel>,
    private readonly objects: Objects,
  ) {}

  /** What happened to objects of a kind after a position, as far as the object table has come. Throws when the database is away. */
  async after(kind: WatchedKind, position: bigint): Promise<ChangePage> {
    const reached = BigInt(await this.objects.position())
    if (reached <= position) return { changes: [], upTo: position, more: false }
    const upTo = reached - position > WINDOW ? position + WINDOW : reached
    const versions = await this.versions(kind, position, upTo)
    return { changes: await this.shown(kind, changesIn(versions, position, upTo)), upTo, more: upTo < reached }
  }

  /** Every version that a window touches. Found by the log: an index on positions would have to be kept by every write. */
  private async versions({ singular, name }: WatchedKind, after: bigint, upTo: bigint): Promise<VersionRow[]> {
    const { rows } = await sql<VersionRow>`
      select o.uid, o.from_position::text, o.to_position::text, o.object
        from (select distinct substring(stream_id from ${singular.length + 2}::int)::uuid as uid from es.event
               where position > ${String(after)}::bigint and position <= ${String(upTo)}::bigint and category = ${singular}
                 and stream_id ~ '-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$') touched
        join rm.object o on o.uid = touched.uid and o.kind = ${name}
       where o.from_position <= ${String(upTo)}::bigint
         and (o.to_position is null or o.to_position > ${String(after)}::bigint)
       order by o.uid, o.from_position`.execute(this.database)
    return rows
  }

  private async shown(kind: WatchedKind, changes: ObjectChange[]): Promise<ObjectChange[]> {
    const objects = changes.flatMap(({ before, after }) => [before, after]).filter((object) => object !== undefined)
    const shown = await this.objects.withJoins(kind.name, objects)
    const as = new Map(objects.map((object, index) => [object, shown[index] ?? object]))
    return changes.map(({ position, before, after }) => ({
      position,
      ...(before && { before: as.get(before) ?? before }),
      ...(after && { after: as.get(after) ?? after }),
    }))
  }
}

/** Pure. The versions come by uid and age. */
const changesIn = (versions: readonly VersionRow[], after: bigint, upTo: bigint): ObjectChange[] => {
  const isIn = (position: bigint) => position > after && position <= upTo
  const changes: ObjectChange[] = []
  versions.forEach(({ uid, from_position, to_position, object }, index) => {
    const from = BigInt(from_position)
    const previous = versions[index - 1]
    const follows = previous?.uid === uid && previous.to_position === from_position
    if (isIn(from)) changes.push({ position: from, after: object, ...(follows && { before: previous.object }) })
    const next = versions[index + 1]
    const isLast = next?.uid !== uid || next.from_position !== to_position
    if (to_position !== null && isLast && isIn(BigInt(to_position)))
      changes.push({ position: BigInt(to_position), before: object })
  })
  return changes.toSorted((a, b) => (a.position < b.position ? -1 : 1))
}

/** Told of all changes after the position at which it joined, once each and in order. Must not throw. */
export type ChangeListener = (page: ChangePage) => void

/** The changes of one kind as they happen, read once for all who listen. Goes on where it was after the database has been away. */
export class ObjectFeed {
  private readonly listeners = new Set<ChangeListener>()
  private position = 0n
  private asked = 0
  private isRunning = false
  private timer: NodeJS.Timeout | undefined

  constructor(
    private readonly changes: ObjectChanges,
    private readonly kind: WatchedKind,
  ) {}

  /** Listens from now on; false for one who knows less than has been told already, and has to catch up first. */
  join(listener: ChangeListener, position: bigint): boolean {
    if (this.listeners.size === 0) this.position = position
    if (position < this.position) return false
    this.listeners.add(listener)
    this.timer ??= setInterval(() => this.wake(), LOOK_MS).unref()
    this.wake()
    return true
  }

  leave(listener: ChangeListener): void {
    this.listeners.delete(listener)
    if (this.listeners.size > 0) return
    clearInterval(this.timer)
    this.timer = undefined
  }

  /** There may be more. Costs a query at a time, however often it is said. */
  wake(): void {
    this.asked++
    if (!this.isRunning) void this.run()
  }

  private async run(): Promise<void> {
    this.isRunning = true
    let seen: number
    do {
      seen = this.asked
      // What failed is tried again at the next look.
      await this.pull().catch(() => undefined)
    } while (seen !== this.asked)
    this.isRunning = false
  }

  private async pull(): Promise<void> {
    let more = true
    while (more && this.listeners.size > 0) {
      const { position } = this
      const page = await this.changes.after(this.kind, position)
      // Everybody has left meanwhile, and somebody has come who knows less.
      if (this.position !== position) continue
      this.position = page.upTo
      more = page.more
      for (const listener of this.listeners) listener(page)
    }
  }
}
