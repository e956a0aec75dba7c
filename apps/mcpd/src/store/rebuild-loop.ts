import { setTimeout as delay } from 'node:timers/promises'
import { DomainError } from '@mcpctl/contracts'
import { Builder, modelStatus, requestRebuild, type RebuildableModel } from '@mcpctl/event-store'
import { inTransaction } from '@mcpctl/postgres'
import type { Logger } from 'pino'
import { OperatorLog } from '../admin/operator-log'
import { processorEvents, type ProcessorEvent } from '../admin/processor-events'
import type { Store } from './store'

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 2_000
const leader = { uid: '00000000-0000-0000-0000-000000000000', name: 'system:leader' }

/** Rebuilds the read models that somebody has asked for, and those that were folded by other code. The leader runs it. */
export class RebuildLoop {
  private readonly ending = new AbortController()
  private readonly unsubscribe: () => void
  private readonly ended: Promise<unknown>
  private wake: () => void = () => undefined
  private roused = false

  constructor(
    private readonly store: Store,
    private readonly logger: Logger,
  ) {
    // A request is an event, and every other poll wakes too.
    this.unsubscribe = store.follower.onAdvance(() => {
      this.rouse()
    })
    this.ended = Promise.all(store.models.map((model) => this.run(model)))
  }

  /** Resolves when the step under way has been committed or taken back. */
  async stop(): Promise<void> {
    this.ending.abort()
    this.unsubscribe()
    this.rouse()
    await this.ended
  }

  private rouse(): void {
    this.roused = true
    this.wake()
  }

  private async run(model: RebuildableModel): Promise<void> {
    const builder = new Builder({
      pool: this.store.pool,
      model,
      onParked: ({ event, error }) => {
        this.logger.warn(
          { model: model.name, position: String(event.position), error },
          'the rebuilt model cannot hold an event, which is parked',
        )
      },
      onDone: (version) => {
        this.logger.info({ model: model.name, version }, 'a read model was rebuilt')
      },
    })
    let pause = FIRST_PAUSE_MS
    let isCurrent = false
    while (!this.ending.signal.aborted) {
      this.roused = false
      try {
        if (!isCurrent) await this.renew(model)
        isCurrent = true
        const more = await builder.step()
        pause = FIRST_PAUSE_MS
        if (!more) await this.sleep()
      } catch (error) {
        this.logger.warn({ model: model.name, error }, 'a step of a rebuild failed; it will be tried again')
        await delay(pause, undefined, { signal: this.ending.signal }).catch(() => undefined)
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
      }
    }
  }

  /** Asks for a rebuild when the code that folded the model is still the one that we found when we came, and not ours. */
  private async renew(model: RebuildableModel): Promise<void> {
    const { pool, outdated, log } = this.store
    const found = outdated.get(model.name)
    const status = await modelStatus(pool, model.name)
    if (found === undefined || status.fold !== found || status.rebuild) return
    const meta = { actor: leader, reason: 'the code that folds it has changed' }
    try {
      await inTransaction(pool, async (tx) => {
        const version = await requestRebuild(tx, model)
        const done = {
          to: model.name,
          type: 'RebuildRequested',
          data: { processor: model.name, version },
          answer: { version },
        } as const
        await new OperatorLog<ProcessorEvent>(log, processorEvents).record(tx, { meta }, done)
      })
    } catch (error) {
      // Somebody was faster.
      if (!(error instanceof DomainError && error.code === 'Conflict')) throw error
    }
  }

  private async sleep(): Promise<void> {
    if (this.roused) return
    await new Promise<void>((resolve) => {
      this.wake = resolve
    })
  }
}
