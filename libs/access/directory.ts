import { DomainError } from '@mcpctl/contracts'
import pLimit from 'p-limit'
import { AccessFacts } from './facts'
import { accessEventTypes, type AccessEvent, type PlacedEvent } from './events'
import type { Rights } from './rights'

const PAGE = 1_000
/** Facts that were confirmed this long ago are as good as new: a burst of requests asks the database once. */
const CONFIRMED_MS = 500
/** Former facts are kept so long for others who ask for the same. Milliseconds. */
const FORMER_MS = 5_000
/** Moments that wait to be folded, or are kept. */
const MOST_FORMER = 16
/** Users whose rights are kept put together. */
const MOST_KNOWN = 10_000

interface LoggedEvent {
  position: bigint
  streamId: string
  type: string
  data: object
  recordedAt: string
  meta: { actor: { name: string } }
}

/** The part of the log that rights are read from. */
export interface AccessLog {
  /** Events of these types after a position, in order and in their current shape. Throws UnknownEvent for one that this program cannot read. */
  read(after: bigint, limit: number, filter: { types: string[] }): Promise<LoggedEvent[]>
}

export interface DirectoryOptions {
  log: AccessLog
  /** How long decisions go on with what is known while the database is away; 0 for never. Milliseconds, default 10 s. */
  graceMs?: number
}

/**
 * Who may do what, folded in memory from the log as Kubernetes' authorizer does from its watch cache. A decision is taken on facts that
 * were confirmed at most half a second ago, so a revoked right is refused everywhere within that time, whatever became of notifications.
 *
 * What it keeps is bounded by the log: facts of what exists, what each of its users and groups holds compiled once, and the position of each event.
 * What is kept on top to be quick is bounded by itself: the rights of 10,000 users since the latest change (a list of references each), and the
 * facts of 16 former moments for five seconds.
 */
export class Directory {
  private readonly facts = new AccessFacts()
  /** Of every event in the facts, in order. */
  private readonly positions: bigint[] = []
  private readonly former = new Map<bigint, Promise<AccessFacts>>()
  /** A fold of the whole log is much work: one at a time. */
  private readonly folding = pLimit(1)
  private readonly changing = pLimit(1)
  private readonly rights = new Map<string, Rights>()
  private readonly listeners = new Set<() => void>()
  private position = 0n
  private confirmedAt = -Infinity
  private notBefore = -Infinity
  private refreshing: Promise<void> | undefined
  private readonly log: AccessLog
  private readonly graceMs: number

  constructor({ log, graceMs = 10_000 }: DirectoryOptions) {
    this.log = log
    this.graceMs = graceMs
  }

  /** Facts that are current, and the position up to which they tell; for rules that the append is conditioned on. Throws Unavailable. */
  async current(): Promise<{ facts: AccessFacts; position: bigint }> {
    await this.confirm()
    return { facts: this.facts, position: this.position }
  }

  /** What a user may do; empty for one who is disabled or gone. Throws Unavailable when nobody can tell: deny, never allow. */
  async rightsOf(uid: string): Promise<Rights> {
    await this.confirm()
    const known = this.rights.get(uid)
    if (known) return known
    const rights = this.facts.rightsOfUser(uid)
    const [oldest] = this.rights.keys()
    if (oldest !== undefined && this.rights.size >= MOST_KNOWN) this.rights.delete(oldest)
    this.rights.set(uid, rights)
    return rights
  }

  /**
   * For a change of rights that is about to be decided: facts that are true now, and the position up to which they tell. Changes of this daemon
   * wait for each other until `end` is called, which makes the next decision look at the log. Throws Unavailable.
   */
  async beginChange(): Promise<{ facts: AccessFacts; position: bigint; end: () => void }> {
    const release = await this.turn()
    const end = () => {
      this.invalidate()
      release()
    }
    try {
      this.invalidate()
      return { ...(await this.current()), end }
    } catch (error) {
      end()
      throw error
    }
  }

  /**
   * The facts as they were at a position: folded from the start of the log, where they are no more those of now. Throws TooManyRequests when too
   * many other moments are asked for, and Unavailable.
   */
  async at(position: bigint): Promise<AccessFacts> {
    await this.confirm()
    const last = this.lastUntil(position)
    if (last === this.position) return this.facts
    const known = this.former.get(last)
    if (known) return known
    if (this.former.size >= MOST_FORMER)
      throw new DomainError('TooManyRequests', 'too many ask about former rights just now; try again in a moment', {
        retryAfter: 1,
      })
    const folded = this.folding(() => this.foldedUntil(last))
    this.former.set(last, folded)
    const forget = () => void this.former.delete(last)
    folded.then(() => setTimeout(forget, FORMER_MS).unref(), forget)
    return folded
  }

  /** Makes the next decision look at the log: after a write of one's own, or when somebody has said that there is more. */
  invalidate(): void {
    this.notBefore = performance.now()
  }

  /** Tells when rights have changed, after they are in force here. Returns the way to unsubscribe. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /**
   * Reads what is new, if facts are older than half a second or than the last word that there is more. Throws Unavailable: at once when there is an
   * event that cannot be read, after the grace when the database is away.
   */
  async confirm(): Promise<void> {
    // Fixed now: where reading takes longer than facts stay new, nobody would ever be answered else.
    const since = Math.max(this.notBefore, performance.now() - CONFIRMED_MS)
    try {
      // One that is under way may have looked too early for us: then we look again.
      while (this.confirmedAt < since) await (this.refreshing ??= this.refresh())
    } catch (error) {
      const isUnknown = error instanceof DomainError && error.code === 'UnknownEvent'
      // The database is there, and says that rights have changed in a way that is not understood here: what is known may be too much.
      if (!isUnknown && performance.now() - this.confirmedAt <= this.graceMs) return
      const why = isUnknown ? 'a newer daemon has changed them: upgrade this one' : 'nothing is allowed until they can'
      throw new DomainError('Unavailable', `rights cannot be read; ${why}`, { retryAfter: 1, cause: error })
    }
  }

  private turn(): Promise<() => void> {
    return new Promise((begin) => {
      void this.changing(() => new Promise<void>(begin))
    })
  }

  private async foldedUntil(position: bigint): Promise<AccessFacts> {
    const facts = new AccessFacts()
    await this.readAll(0n, (events) => {
      for (const event of events) if (event.position <= position) facts.apply(event)
      return (events.at(-1)?.position ?? position) < position
    })
    return facts
  }

  /** Position of the last event that facts followed from at a position; 0 before the first. */
  private lastUntil(position: bigint): bigint {
    let [low, high] = [0, this.positions.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.positions[middle] ?? 0n) <= position) low = middle + 1
      else high = middle
    }
    return this.positions[low - 1] ?? 0n
  }

  private async refresh(): Promise<void> {
    const asked = performance.now()
    const before = this.position
    try {
      // What belongs to one request may come in two pages: nobody must decide on half of it.
      const held: PlacedEvent[] = []
      const isFirst = this.confirmedAt === -Infinity
      await this.readAll(before, (events) => {
        if (isFirst) this.take(events)
        else held.push(...events)
        return true
      })
      this.take(held)
      this.confirmedAt = asked
    } finally {
      this.refreshing = undefined
      if (this.position !== before) {
        this.rights.clear()
        for (const listener of this.listeners) listener()
      }
    }
  }

  private take(events: readonly PlacedEvent[]): void {
    for (const event of events) {
      this.facts.apply(event)
      this.position = event.position
      this.positions.push(event.position)
    }
  }

  /** Reads page by page, as long as `take` wants more. */
  private async readAll(after: bigint, take: (events: PlacedEvent[]) => boolean): Promise<void> {
    for (;;) {
      const page = await this.log.read(after, PAGE, { types: accessEventTypes })
      const last = page.at(-1)
      if (!take(page.map(placed)) || !last || page.length < PAGE) return
      after = last.position
    }
  }
}

/** An event of the log as rights are folded from it. */
export const placed = ({ position, streamId, type, data, recordedAt, meta }: LoggedEvent): PlacedEvent => ({
  ...({ type, data } as AccessEvent),
  uid: streamId.slice(streamId.indexOf('-') + 1),
  position,
  at: recordedAt,
  by: meta.actor.name,
})
