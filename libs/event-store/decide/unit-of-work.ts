import { DomainError } from '@mcpctl/contracts'
import { v5 as uuidv5, v7 as uuidv7 } from 'uuid'
import { schemaVersionOf, toCurrent } from './catalogue'
import type {
  AppendCondition,
  ClaimChange,
  CommandRecord,
  Decider,
  DomainEvent,
  EventLog,
  EventMeta,
  Fence,
  JsonObject,
  NewEvent,
  RecordedEvent,
  StreamAppend,
  Verdict,
} from '../types'

interface StagedStream {
  category: string
  /** As stored. */
  stored: RecordedEvent[]
  staged: StagedEvent[]
}

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
  /** Seed of the event ids. With a stable id a retried append is recognised. */
  commandId?: string
}

/**
 * One all-or-nothing append in the making. Later decisions see what earlier ones staged, names included;
 * nothing is stored before `commit`.
 */
export class UnitOfWork {
  private readonly streams = new Map<string, StagedStream>()
  private readonly claims = new Map<string, string | undefined>()
  private readonly conditions: AppendCondition[] = []

  constructor(
    private readonly log: EventLog,
    private readonly options: UnitOptions,
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
    const past: DomainEvent[] = [
      ...stream.stored.map((event) => toCurrent(decider, event)),
      ...stream.staged.map(({ event }) => event),
    ]
    const state = (past as Event[]).reduce((current, event) => decider.evolve(current, event), decider.initial)
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
    const { stored } = await this.load(category, streamId)
    return stored.findLast(({ type }) => !except.includes(type))?.position ?? 0n
  }

  /** Makes the append fail when one of these types is stored after `after`: for rules that span streams. */
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
      ...mergedCondition(this.conditions),
    })
    return accepted(verdict)
  }

  private async load(category: string, streamId: string): Promise<StagedStream> {
    const known = this.streams.get(streamId)
    if (known) return known
    const stream = { category, stored: await this.log.readStream(streamId), staged: [] }
    this.streams.set(streamId, stream)
    return stream
  }

  private overlay(streamId: string, claim: ClaimChange): void {
    this.claims.set(`${claim.scope}\n${claim.key}`, claim.op === 'take' ? streamId : undefined)
  }

  private appends(): StreamAppend[] {
    let ordinal = 0
    const { commandId, meta } = this.options
    const record = ({ event, schemaVersion }: StagedEvent): NewEvent => ({
      id: commandId === undefined ? uuidv7() : uuidv5(String(ordinal++), commandId),
      type: event.type,
      schemaVersion,
      data: event.data as JsonObject,
      meta,
      ...(event.claims && { claims: event.claims }),
    })
    return [...this.streams]
      .filter(([, stream]) => stream.staged.length > 0)
      .map(([streamId, { category, stored, staged }]) => ({
        streamId,
        category,
        expected: stored.at(-1)?.version ?? 0,
        events: staged.map(record),
      }))
  }
}

const mergedCondition = (conditions: AppendCondition[]): { condition?: AppendCondition } => {
  const [first, ...rest] = conditions
  if (!first) return {}
  if (rest.length > 0) throw new Error('a unit of work carries one append condition at most')
  return { condition: first }
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
