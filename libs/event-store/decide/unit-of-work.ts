import { DomainError } from '@mcpctl/contracts'
import type { PoolClient } from 'pg'
import { v7 as uuidv7 } from 'uuid'
import { schemaVersionOf, toCurrent } from './catalogue'
import { accepted } from './overtaken'
import { lastPositionOf, loadPast, snapshotOf, versionOf, type Past } from './past'
import type { Snapshots } from './snapshots'
import type {
  AlongsideWork,
  AppendCondition,
  AppendRequest,
  ClaimChange,
  CommandRecord,
  Decider,
  DomainEvent,
  EventLog,
  EventMeta,
  EventTypes,
  Fence,
  JsonObject,
  NewEvent,
  ProjectedEvent,
  StreamAppend,
  Verdict,
} from '../types'

interface StagedStream {
  category: string
  /** As stored. */
  past: Past
  staged: StagedEvent[]
  /** The state that the last decision was taken on, with as many of the staged events in it; good for the same decider only. */
  folded?: { decider: object; state: unknown; staged: number }
}

const mebibyte = 1024 * 1024
const firstFactsPerRead = 128
const mostFactsPerRead = 1_024
const factsBytesPerRead = 4 * mebibyte
const maxFactsBytes = 64 * mebibyte

/** Which events of a category; all types of it unless told. */
export type FactsWanted = Partial<Omit<AppendCondition, 'after'>>

/** What is made of facts, one after the other. */
export interface FactsFold<State> {
  initial: State
  evolve(state: State, fact: ProjectedEvent): State
}

interface StagedEvent {
  event: DomainEvent
  schemaVersion: number
}

/** What a unit of work would append to one stream. */
export interface StagedEvents {
  category: string
  streamId: string
  events: readonly DomainEvent[]
}

export interface UnitOptions {
  meta: EventMeta
  /** Leader work always carries one. */
  fence?: Fence
}

/**
 * One all-or-nothing append in the making. Later decisions see what earlier ones staged, names included;
 * nothing is stored before `commit`.
 */
export class UnitOfWork {
  private readonly loading = new Map<string, Promise<Past>>()
  private readonly streams = new Map<string, StagedStream>()
  private readonly claims = new Map<string, string | undefined>()
  private readonly conditions: AppendCondition[] = []
  private readonly works: AlongsideWork[] = []
  private readonly told: StreamAppend[] = []

  constructor(
    private readonly log: EventLog,
    private readonly options: UnitOptions,
    /** Without them every decision folds the whole stream. */
    private readonly snapshots?: Snapshots,
  ) {}

  /**
   * Decides on the stream's state, staged events included, and stages what follows. Returns the new events. Throws UnknownEvent when the
   * stream holds an event that a newer version of the program has stored.
   */
  async decide<State, Command, Event extends DomainEvent>(
    decider: Decider<State, Command, Event>,
    streamId: string,
    command: Command,
  ): Promise<Event[]> {
    const stream = await this.load(decider.category, streamId)
    const events = decider.decide(command, this.stateOf(decider, streamId, stream))
    const staged = events.map((event) => ({ event, schemaVersion: schemaVersionOf(decider, event.type) }))
    for (const each of staged) {
      stream.staged.push(each)
      for (const claim of each.event.claims ?? []) this.overlay(streamId, claim)
    }
    return events
  }

  /** The stream's state, staged events included: for what is worked out before a command can be given. Throws UnknownEvent. */
  async state<State, Event extends DomainEvent>(
    decider: Decider<State, never, Event>,
    streamId: string,
  ): Promise<State> {
    return this.stateOf(decider, streamId, await this.load(decider.category, streamId))
  }

  /** The stream that holds a key, with what this unit has staged taken into account. */
  async owner(scope: string, key: string): Promise<string | undefined> {
    const id = claimId(scope, key)
    return this.claims.has(id) ? this.claims.get(id) : this.log.claimOwner(scope, key)
  }

  /** Position of the stream's last stored event, those of the types `except` aside; 0 when there is none. */
  async lastPosition(category: string, streamId: string, except: readonly string[]): Promise<bigint> {
    return lastPositionOf((await this.load(category, streamId)).past, except)
  }

  /**
   * What is stored of some types of a category, in these streams where given, in order and in its current shape; and the append fails when
   * another such event is stored before it: for rules that span streams. Reads all of them, so it is for what is rare. Throws UnknownEvent,
   * and `TooLarge` over 64 MiB of data: `foldFacts` keeps no more than its state.
   */
  async facts(of: EventTypes, wanted: FactsWanted = {}): Promise<ProjectedEvent[]> {
    let bytes = 0
    const keep = (facts: ProjectedEvent[], fact: ProjectedEvent) => {
      bytes += JSON.stringify(fact.data).length
      if (bytes > maxFactsBytes)
        throw new DomainError('TooLarge', `the facts of "${of.category}" are more than fit into memory; fold them`)
      facts.push(fact)
      return facts
    }
    return this.foldFacts(of, { initial: [], evolve: keep }, wanted)
  }

  /** As `facts`, folded as they are read: whatever there is, a few MiB of it are in memory at a time. Throws UnknownEvent. */
  async foldFacts<State>(
    of: EventTypes,
    fold: FactsFold<State>,
    { types = Object.keys(of.events), streams }: FactsWanted = {},
  ): Promise<State> {
    const wanted = streams && new Set(streams)
    let { initial: state } = fold
    let after = 0n
    let limit = firstFactsPerRead
    for (;;) {
      const page = await this.log.read(after, limit, { types, maxBytes: factsBytesPerRead })
      for (const event of page)
        if (!wanted || wanted.has(event.streamId)) state = fold.evolve(state, toCurrent(of, event))
      const last = page.at(-1)
      if (!last) break
      after = last.position
      // The database looks at the size of as many events as it is asked for: no more than will fit, give or take.
      limit = Math.min(page.length * 2, mostFactsPerRead)
    }
    this.require({ after, types, ...(streams && { streams }) })
    return state
  }

  /** What `commit` would append, stream by stream: for rules over a whole request. */
  staged(): StagedEvents[] {
    return [...this.streams]
      .filter(([, stream]) => stream.staged.length > 0)
      .map(([streamId, { category, staged }]) => ({ category, streamId, events: staged.map(({ event }) => event) }))
  }

  /** Has events appended after those of the decisions, to a stream of whose past nothing is read: whoever else appends to it is no conflict. */
  tell(of: EventTypes, streamId: string, events: readonly DomainEvent[]): void {
    const staged = events.map((event) => ({ event, schemaVersion: schemaVersionOf(of, event.type) }))
    this.told.push({
      streamId,
      category: of.category,
      expected: 'any',
      events: staged.map((each) => this.record(each)),
    })
  }

  /** As `facts`, for what was read elsewhere, at the position `after`. Several conditions must all hold. */
  require(condition: AppendCondition): void {
    this.conditions.push(condition)
  }

  /** Has rows written in the transaction of the append: there with the events, or not at all. What it throws is thrown by `commit`. */
  alongside(work: AlongsideWork): void {
    this.works.push(work)
  }

  /** Appends everything at once. A unit without events is stored only to keep a command's answer. Throws Overtaken when it must be decided again. */
  async commit(command?: CommandRecord): Promise<Verdict & { status: 'ok' | 'duplicate' }> {
    const request: AppendRequest = {
      streams: [...this.appends(), ...this.told],
      ...(this.options.fence && { fence: this.options.fence }),
      ...(command && { command }),
      ...(this.conditions.length > 0 && { condition: this.conditions }),
    }
    if (this.works.length > 0) return accepted(await this.log.appendAlongside(request, (tx) => this.work(tx)))
    if (request.streams.length === 0 && !command) return { status: 'ok', first: null, last: null, versions: {} }
    return accepted(await this.log.append(request))
  }

  private async work(transaction: PoolClient): Promise<void> {
    for (const work of this.works) await work(transaction)
  }

  private async load(category: string, streamId: string): Promise<StagedStream> {
    this.loading.set(streamId, this.loading.get(streamId) ?? loadPast(this.log, this.snapshots, streamId))
    const past = (await this.loading.get(streamId)) as Past
    // Decisions may run side by side: whoever comes second goes on with what the first has staged.
    const stream = this.streams.get(streamId) ?? { category, past, staged: [] }
    this.streams.set(streamId, stream)
    return stream
  }

  /** The past is folded once for the decisions that one decider takes on a stream; each goes on with what the ones before have staged. */
  private stateOf<State, Event extends DomainEvent>(
    decider: Decider<State, never, Event>,
    streamId: string,
    stream: StagedStream,
  ): State {
    const before =
      stream.folded?.decider === decider
        ? stream.folded
        : { state: this.fold(decider, streamId, stream.past), staged: 0 }
    const state = stream.staged
      .slice(before.staged)
      .reduce((now, { event }) => decider.evolve(now, event as Event), before.state as State)
    stream.folded = { decider, state, staged: stream.staged.length }
    return state
  }

  private fold<State, Event extends DomainEvent>(
    decider: Decider<State, never, Event>,
    streamId: string,
    past: Past,
  ): State {
    const initial = past.snapshot ? (past.snapshot.state as State) : decider.initial
    const events = past.events.map((event) => toCurrent(decider, event) as DomainEvent as Event)
    const state = events.reduce((current, event) => decider.evolve(current, event), initial)
    const snapshot = snapshotOf(past, state)
    // Nobody waits for it, and without it the next one folds again.
    if (snapshot) this.snapshots?.keep(streamId, snapshot).catch(() => {})
    return state
  }

  private overlay(streamId: string, claim: ClaimChange): void {
    this.claims.set(claimId(claim.scope, claim.key), claim.op === 'take' ? streamId : undefined)
  }

  private appends(): StreamAppend[] {
    return [...this.streams]
      .filter(([, stream]) => stream.staged.length > 0)
      .map(([streamId, { category, past, staged }]) => ({
        streamId,
        category,
        expected: versionOf(past),
        events: staged.map((each) => this.record(each)),
      }))
  }

  private record({ event, schemaVersion }: StagedEvent): NewEvent {
    return {
      id: uuidv7(),
      type: event.type,
      schemaVersion,
      data: event.data as JsonObject,
      meta: this.options.meta,
      ...(event.claims && { claims: event.claims }),
    }
  }
}

// As JSON, so that no two keys are taken for one another.
const claimId = (scope: string, key: string): string => JSON.stringify([scope, key])
