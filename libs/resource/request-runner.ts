import { DomainError } from '@mcpctl/contracts'
import {
  Overtaken,
  UnitOfWork,
  type EventLog,
  type EventMeta,
  type Fence,
  type JsonObject,
  type Snapshots,
} from '@mcpctl/event-store'
import type { AccessFacts, Rights } from '@mcpctl/access'
import type { CommandContext } from './requests'

export interface Asked {
  meta: EventMeta
  /** Present when the client sent an idempotency key. */
  command?: { id: string; requestHash: string }
  fence?: Fence
  /** Decide, append nothing. */
  dryRun?: boolean
  /** Take what looks like a credential, wherever it stands. */
  allowCredentialLike?: boolean
  /** What the author may do; absent for the daemon itself, which is asked nothing. */
  rights?: Rights
  /** The same, as it follows from other facts: throws Forbidden when he may not act as he does any more. */
  rightsIn?: (facts: AccessFacts) => Rights
}

/**
 * Judges what a request is about to append, dry runs included: throws to refuse it. May put conditions on the append, and tell of it in the log.
 */
export type Review = (unit: UnitOfWork, asked: Asked, now: string) => Promise<Reviewed>

export interface Reviewed {
  /** What is to be done once it is committed, overtaken or only tried. */
  end?: () => void
  /** What who asks should know of it. */
  warnings: readonly string[]
}

export interface Answered<R> {
  result: R
  /** Position of the last event of the request; undefined when nothing changed. */
  position: bigint | undefined
  replayed: boolean
  /** What was noticed while it was decided; an answer that is given again does not repeat it. */
  warnings: readonly string[]
}

export interface Visibility {
  /** Whether the read models have passed the position, waiting for it within a bound. */
  waitFor(position: bigint): Promise<boolean>
}

const ATTEMPTS = 20

/** Runs one request: decide, append once, wait until its own view shows it. */
export class RequestRunner {
  private turn: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly log: EventLog,
    private readonly visibility: Visibility,
    private readonly snapshots?: Snapshots,
    private readonly review: Review = () => Promise.resolve({ warnings: [] }),
  ) {}

  /**
   * Runs `body` in a unit of work and commits it. Overtaken by another writer, it runs again on fresh facts, twenty times at most, then throws Conflict.
   * A command that was answered before is answered again, not executed. Throws CommittedNotVisible when the view lags.
   */
  async run<R extends JsonObject>(asked: Asked, body: (context: CommandContext) => Promise<R>): Promise<Answered<R>> {
    const answered = (await this.replay<R>(asked)) ?? (await this.settle(asked, body))
    await this.show(answered.position)
    return answered
  }

  /** Works something out from the log alone; appends nothing, and nobody is asked. */
  look<R>(read: (unit: UnitOfWork) => Promise<R>): Promise<R> {
    return read(new UnitOfWork(this.log, { meta: { actor: nobody } }, this.snapshots))
  }

  private async settle<R extends JsonObject>(
    asked: Asked,
    body: (context: CommandContext) => Promise<R>,
  ): Promise<Answered<R>> {
    try {
      return await this.attempt(asked, body)
    } catch (error) {
      if (!(error instanceof Overtaken)) throw error
      return await this.inTurn(() => this.again(asked, body))
    }
  }

  /** Who was overtaken goes on alone: many writers of one object would else overtake each other until all give up. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(work)
    this.turn = mine.catch(() => undefined)
    return mine
  }

  private async again<R extends JsonObject>(
    asked: Asked,
    body: (context: CommandContext) => Promise<R>,
  ): Promise<Answered<R>> {
    for (let attempt = 2; ; attempt++) {
      try {
        return await this.attempt(asked, body)
      } catch (error) {
        if (!(error instanceof Overtaken)) throw error
        if (attempt === ATTEMPTS)
          throw new DomainError('Conflict', `other writers were faster ${String(ATTEMPTS)} times; try again`, {
            cause: error,
          })
      }
    }
  }

  private async attempt<R extends JsonObject>(
    asked: Asked,
    body: (context: CommandContext) => Promise<R>,
  ): Promise<Answered<R>> {
    try {
      return await this.decide(asked, body)
    } catch (error) {
      // Its twin may have been answered meanwhile; what it has done is no reason to refuse this one.
      const replay = error instanceof DomainError ? await this.replay<R>(asked) : undefined
      if (replay) return replay
      throw error
    }
  }

  private async decide<R extends JsonObject>(
    asked: Asked,
    body: (context: CommandContext) => Promise<R>,
  ): Promise<Answered<R>> {
    const meta = asked.command ? { ...asked.meta, commandId: asked.command.id } : asked.meta
    const unit = new UnitOfWork(this.log, { meta, ...(asked.fence && { fence: asked.fence }) }, this.snapshots)
    const now = new Date().toISOString()
    const result = await body({ meta: asked.meta, unit, now, ...rightsOn(asked) })
    const { end, warnings } = await this.review(unit, asked, now)
    try {
      if (asked.dryRun) return { result, position: undefined, replayed: false, warnings }
      const verdict = await unit.commit(asked.command && { ...asked.command, result })
      const position = verdict.last ?? undefined
      if (verdict.status === 'duplicate')
        return { result: (verdict.result ?? result) as R, position, replayed: true, warnings: [] }
      return { result, position, replayed: false, warnings }
    } finally {
      end?.()
    }
  }

  private async replay<R extends JsonObject>({ command, dryRun }: Asked): Promise<Answered<R> | undefined> {
    if (!command || dryRun) return undefined
    const stored = await this.log.command(command.id)
    if (!stored) return undefined
    if (stored.requestHash !== command.requestHash)
      throw new DomainError('IdempotencyKeyReused', 'this idempotency key was used for another request; send a new key')
    return { result: stored.result as R, position: stored.last ?? undefined, replayed: true, warnings: [] }
  }

  private async show(position: bigint | undefined): Promise<void> {
    if (position === undefined || (await this.visibility.waitFor(position))) return
    throw new DomainError(
      'CommittedNotVisible',
      `committed at position ${String(position)}, not visible yet; do not send it again`,
      {
        position: String(position),
        retryAfter: 1,
      },
    )
  }
}

const nobody = { uid: '', name: '' }

const rightsOn = ({ rights }: Asked): Pick<CommandContext, 'mayRun' | 'mayView'> =>
  rights
    ? {
        mayRun: (kind, name) => rights.allows({ role: 'run', kind, name }),
        mayView: (kind, name) => rights.allows({ role: 'view', kind, name }),
      }
    : {}
