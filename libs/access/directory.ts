import { DomainError } from '@mcpctl/contracts'
import { AccessFacts } from './facts'
import { accessEventTypes, type AccessEvent, type PlacedEvent } from './events'
import type { Rights } from './rights'

const PAGE = 1_000
/** Facts that were confirmed this long ago are as good as new: a burst of requests asks the database once. */
const CONFIRMED_MS = 500

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
  /** Events of these types after a position, in order. */
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
 */
export class Directory {
  private readonly facts = new AccessFacts()
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
    this.rights.set(uid, rights)
    return rights
  }

  /** The facts as they were at a position: folded from the start of the log. */
  async at(position: bigint): Promise<AccessFacts> {
    const facts = new AccessFacts()
    await this.readAll(0n, (event) => {
      if (event.position <= position) facts.apply(event)
    })
    return facts
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

  /** Reads what is new, if facts are older than half a second or than the last word that there is more. */
  async confirm(): Promise<void> {
    try {
      // One that is under way may have looked too early for us: then we look again.
      while (!this.isConfirmed()) await (this.refreshing ??= this.refresh())
    } catch (error) {
      if (performance.now() - this.confirmedAt <= this.graceMs) return
      throw new DomainError('Unavailable', 'rights cannot be read; nothing is allowed until they can', {
        retryAfter: 1,
        cause: error,
      })
    }
  }

  private isConfirmed(): boolean {
    return this.confirmedAt >= this.notBefore && performance.now() - this.confirmedAt <= CONFIRMED_MS
  }

  private async refresh(): Promise<void> {
    const asked = performance.now()
    const before = this.position
    try {
      await this.readAll(before, (event) => {
        this.facts.apply(event)
        this.position = event.position
      })
      this.confirmedAt = asked
    } finally {
      this.refreshing = undefined
      if (this.position !== before) {
        this.rights.clear()
        for (const listener of this.listeners) listener()
      }
    }
  }

  private async readAll(after: bigint, take: (event: PlacedEvent) => void): Promise<void> {
    for (;;) {
      const page = await this.log.read(after, PAGE, { types: accessEventTypes })
      for (const event of page) take(placed(event))
      const last = page.at(-1)
      if (!last || page.length < PAGE) return
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
