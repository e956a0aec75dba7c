import {
  accessEventTypes,
  review,
  type AccessEvent,
  type AccessFacts,
  type PlacedEvent,
  type Rights,
} from '@mcpctl/access'
import { DomainError } from '@mcpctl/contracts'
import {
  Overtaken,
  UnitOfWork,
  type AlongsideWork,
  type AppendRequest,
  type EventLog,
  type EventMeta,
  type StreamAppend,
  type Verdict,
} from '@mcpctl/event-store'
import type { Store } from '../store/store'

/** What a change is decided on. */
export interface Situation {
  unit: UnitOfWork
  facts: AccessFacts
  /** Of the last event in the facts. */
  position: bigint
  /** RFC 3339. */
  now: string
}

/** What was decided: side rows, which are written in the transaction of the events, and what to answer. */
export interface Change<R> {
  rows?: AlongsideWork
  /** Events at the door that belong to it. */
  audit?: StreamAppend[]
  result: R
}

export interface Author {
  meta: EventMeta
  /** What the author may do as it follows from facts; absent for the daemon itself and its operator at the database, who are asked nothing. */
  rightsIn?: (facts: AccessFacts) => Rights
}

const ATTEMPTS = 20
const VISIBLE_WITHIN_MS = 5_000
const nothing = () => Promise.resolve()
const REVIEWED = new Set(['user', 'group', 'rbac'])

/** Changes credentials: the events that say so and the rows that the log must not hold commit together or not at all. */
export class CredentialChanges {
  private turn: Promise<unknown> = Promise.resolve()

  /** `waits`: until the read models show a change; there is nothing to wait for where none of them runs. */
  constructor(
    private readonly store: Store,
    private readonly waits = true,
  ) {}

  /**
   * Decides on current facts, reviews what would be handed out, and commits under the condition that no right has changed meanwhile; else it is
   * decided again, twenty times at most. Throws what `decide` and the review refuse, and Conflict.
   */
  async run<R>(author: Author, decide: (situation: Situation) => Promise<Change<R>>): Promise<R> {
    try {
      return await this.attempt(author, decide)
    } catch (error) {
      if (!(error instanceof Overtaken)) throw error
      return await this.inTurn(() => this.again(author, decide))
    }
  }

  /** Who was overtaken goes on alone: many at once would else overtake each other until all give up. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(work)
    this.turn = mine.catch(() => undefined)
    return mine
  }

  private async again<R>(author: Author, decide: (situation: Situation) => Promise<Change<R>>): Promise<R> {
    for (let attempt = 2; ; attempt++) {
      try {
        return await this.attempt(author, decide)
      } catch (error) {
        if (!(error instanceof Overtaken)) throw error
        if (attempt === ATTEMPTS)
          throw new DomainError('Conflict', 'users and rights are being changed by others; try again', { cause: error })
      }
    }
  }

  private async attempt<R>(author: Author, decide: (situation: Situation) => Promise<Change<R>>): Promise<R> {
    const { directory, projector } = this.store
    const { end, ...known } = await directory.beginChange()
    const { last, result } = await this.commit(author, decide, known).finally(end)
    if (last !== null && this.waits) await projector.waitFor(last, VISIBLE_WITHIN_MS)
    return result
  }

  private async commit<R>(
    author: Author,
    decide: (situation: Situation) => Promise<Change<R>>,
    { facts, position }: Pick<Situation, 'facts' | 'position'>,
  ): Promise<{ last: bigint | null; result: R }> {
    const { log } = this.store
    const now = new Date().toISOString()
    const decided: { change?: Change<R> } = {}
    const append = (request: AppendRequest): Promise<Verdict> => {
      reviewRequest(request, { author, facts, position, now })
      const { audit = [], rows } = decided.change ?? {}
      return log.appendAlongside({ ...request, streams: [...request.streams, ...audit] }, rows ?? nothing)
    }
    const unit = new UnitOfWork(Object.assign(Object.create(log) as EventLog, { append }), { meta: author.meta })
    const change = await decide({ unit, facts, position, now })
    decided.change = change
    await this.store.revived.tell(unit, author)
    unit.require({ after: position, types: accessEventTypes })
    const { last } = await unit.commit()
    // Without events of its own a unit stores nothing.
    if (last === null && (change.rows ?? change.audit)) await append({ streams: [] })
    return { last, result: change.result }
  }
}

const reviewRequest = (
  { streams }: AppendRequest,
  { author, facts, position, now }: { author: Author; facts: AccessFacts; position: bigint; now: string },
): void => {
  const { rightsIn, meta } = author
  if (!rightsIn) return
  const events = streams
    .filter(({ category }) => REVIEWED.has(category))
    .flatMap(({ streamId, events: appended }) =>
      appended.map(({ type, data }): PlacedEvent => ({
        ...({ type, data } as AccessEvent),
        uid: streamId.slice(streamId.indexOf('-') + 1),
        position: position + 1n,
        at: now,
        by: meta.actor.name,
      })),
    )
  review({ before: facts, events, author: { uid: meta.actor.uid, rights: rightsIn(facts) }, now })
}
