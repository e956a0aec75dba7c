import { DomainError } from '@mcpctl/contracts'
import { v7 as uuidv7 } from 'uuid'
import { schemaVersionOf, toCurrent } from './catalogue'
import { lastPositionOf, loadPast, snapshotOf, versionOf, type Past } from './past'
import type { Snapshots } from './snapshots'
import type {
  AppendCondition,
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
  RecordedEvent,
  StreamAppend,
  Verdict,
} from '../types'

interface StagedStream {
  category: string
  /** As stored. */
  past: Past
  staged: StagedEvent[]
}

const factsPerRead = 1_000

/** Which events of a category; all types of it unless told. */
export type FactsWanted = Partial<Omit<AppendCondition, 'after'>>

interface StagedEvent {
  event: DomainEvent
  schemaVersion: number
}

/** Thrown inside a unit of work whose facts were overtaken; the request is decided again on fresh ones. */
export class Overtaken extends Error {
  override readonly name = 'Overtaken'
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
    const stored = this.fold(decider, streamId, stream.past)
    const staged = stream.staged.map(({ event }) => event as Event)
    const state = staged.reduce((now, event) => decider.evolve(now, event), stored)
    const events = decider.decide(command, state)
    for (const event of events) {
      stream.staged.push({ event, schemaVersion: schemaVersionOf(decider, event.type) })
      for (const claim of event.claims ?? []) this.overlay(streamId, claim)
    }
    return events
  }

  /** The stream that holds a key, with what this unit has staged taken into account. */
  async owner(scope: string, key: string): Promise<string | undefined> {
    const id = `${scope}\n${key}`
    return this.claims.has(id) ? this.claims.get(id) : this.log.claimOwner(scope, key)
  }

  /** Position of the stream's last stored event, those of the types `except` aside; 0 when there is none. */
  async lastPosition(category: string, streamId: string, except: readonly string[]): Promise<bigint> {
    return lastPositionOf((await this.load(category, streamId)).past, except)
  }

  /**
   * What is stored of some types of a category, in these streams where given, in order and in its current shape; and the append fails when
   * another such event is stored before it: for rules that span streams. Reads all of them, so it is for what is rare. Throws UnknownEvent.
   */
  async facts(
    of: EventTypes,
    { types = Object.keys(of.events), streams }: FactsWanted = {},
  ): Promise<ProjectedEvent[]> {
    const stored = await this.everyEvent(types)
    this.require({ after: stored.at(-1)?.position ?? 0n, types, ...(streams && { streams }) })
    const wanted = streams ? stored.filter(({ streamId }) => streams.includes(streamId)) : stored
    return wanted.map((event) => toCurrent(of, event))
  }

  /** As `facts`, for what was read elsewhere, at the position `after`. Several conditions must all hold. */
  require(condition: AppendCondition): void {
    this.conditions.push(condition)
  }

  /** Appends everything at once. A unit without events is stored only to keep a command's answer. Throws Overtaken when it must be decided again. */
  async commit(command?: CommandRecord): Promise<Verdict & { status: 'ok' | 'duplicate' }> {
    const streams = this.appends()
    if (streams.length === 0 && !command) return { status: 'ok', first: null, last: null, versions: {} }
    const verdict = await this.log.append({
      streams,
      ...(this.options.fence && { fence: this.options.fence }),
      ...(command && { command }),
      ...(this.conditions.length > 0 && { condition: this.conditions }),
    })
    return accepted(verdict)
  }

  private async everyEvent(types: string[]): Promise<RecordedEvent[]> {
    const stored: RecordedEvent[] = []
    for (let more = true; more;) {
      const page = await this.log.read(stored.at(-1)?.position ?? 0n, factsPerRead, { types })
      for (const event of page) stored.push(event)
      more = page.length === factsPerRead
    }
    return stored
  }

  private async load(category: string, streamId: string): Promise<StagedStream> {
    this.loading.set(streamId, this.loading.get(streamId) ?? loadPast(this.log, this.snapshots, streamId))
    const past = (await this.loading.get(streamId)) as Past
    // Decisions may run side by side: whoever comes second goes on with what the first has staged.
    const stream = this.streams.get(streamId) ?? { category, past, staged: [] }
    this.streams.set(streamId, stream)
    return stream
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
    this.claims.set(`${claim.scope}\n${claim.key}`, claim.op === 'take' ? streamId : undefined)
  }

  private appends(): StreamAppend[] {
    const { meta } = this.options
    const record = ({ event, schemaVersion }: StagedEvent): NewEvent => ({
      id: uuidv7(),
      type: event.type,
      schemaVersion,
      data: event.data as JsonObject,
      meta,
      ...(event.claims && { claims: event.claims }),
    })
    return [...this.streams]
      .filter(([, stream]) => stream.staged.length > 0)
      .map(([streamId, { category, past, staged }]) => ({
        streamId,
        category,
        expected: versionOf(past),
        events: staged.map(record),
      }))
  }
}

const accepted = (verdict: Verdict): Verdict & { status: 'ok' | 'duplicate' } => {
  switch (verdict.status) {
    case 'ok':
    case 'duplicate':
      return verdict
    case 'conflict':
      throw new Overtaken(`stream ${verdict.streamId} is at version ${String(verdict.actual)}`)
    case 'claim-taken':
      throw new Overtaken(`${verdict.scope} "${verdict.key}" is held by ${verdict.owner}`)
    case 'condition-failed':
      throw new Overtaken(`position ${String(verdict.position)} broke the append condition`)
    case 'fenced':
      throw new DomainError('Unavailable', `another daemon leads now (term ${String(verdict.term)})`, { retryAfter: 1 })
    case 'command-mismatch':
      throw new DomainError('IdempotencyKeyReused', 'this idempotency key was used for another request; send a new key')
  }
}
