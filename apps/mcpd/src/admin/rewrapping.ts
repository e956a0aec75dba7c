import { setTimeout as delay } from 'node:timers/promises'
import type { RewrapStatus } from '@mcpctl/contracts'
import type { EventMeta } from '@mcpctl/event-store'
import { inTransaction } from '@mcpctl/postgres'
import type { KekUse } from '@mcpctl/vault'
import type { Logger } from 'pino'
import type { Store } from '../store/store'
import { keyEvents, keyStream, type KeyEvent } from './key-events'
import { OperatorLog } from './operator-log'

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5_000
/** As many are named of those that could not be wrapped. */
const NAMED = 20
const daemon = { uid: '00000000-0000-0000-0000-000000000000', name: 'system:mcpd' }

/** Wraps data keys anew in the background, a hundred at a time, and half of the time at most. */
export class Rewrapping {
  private readonly ending = new AbortController()
  private readonly operators: OperatorLog<KeyEvent>
  private going: Promise<void> | undefined
  private again = false
  private progress: RewrapStatus | undefined

  constructor(
    private readonly store: Pick<Store, 'log' | 'pool' | 'vault'>,
    private readonly logger: Logger,
  ) {
    this.operators = new OperatorLog(store.log, keyEvents)
  }

  /** How it stands, or how the last one has ended; undefined when there was none yet. */
  status(): RewrapStatus | undefined {
    return this.progress
  }

  /** Begins unless it is going on; then what is left is looked for once more at its end. */
  begin(meta: EventMeta): void {
    this.again = true
    if (this.going || this.ending.signal.aborted) return
    this.progress = { running: true, done: 0, failed: 0, failing: [] }
    this.going = this.run(meta).finally(() => {
      this.going = undefined
    })
  }

  /** Goes on with what a daemon that was ended has left. Never throws. */
  async resume(): Promise<void> {
    try {
      const { state, stale } = await this.store.vault.status()
      if (state.status === 'ready' && stale > 0) this.begin({ actor: daemon, reason: 'it was not finished' })
    } catch (error) {
      this.logger.warn({ error }, 'it could not be told whether data keys are left to be wrapped anew')
    }
  }

  /** Resolves when the step under way has ended. */
  async stop(): Promise<void> {
    this.ending.abort()
    await this.going
  }

  private async run(meta: EventMeta): Promise<void> {
    let pause = FIRST_PAUSE_MS
    while (this.again && !this.ending.signal.aborted) {
      this.again = false
      try {
        await this.round(meta)
        pause = FIRST_PAUSE_MS
      } catch (error) {
        this.again = true
        this.tell({ lastError: (error as Error).message })
        this.logger.warn({ error }, 'data keys could not be wrapped anew; it will be tried again')
        await this.rest(pause)
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
      }
    }
    this.tell({ running: false })
  }

  private async round(meta: EventMeta): Promise<void> {
    const { done: before } = this.progress ?? { done: 0 }
    let began = performance.now()
    for await (const { done, failed } of this.store.vault.rewrap()) {
      const failing = failed.slice(0, NAMED).map(({ subject }) => subject)
      this.tell({ done: before + done, failed: failed.length, failing })
      await this.rest(performance.now() - began)
      if (this.ending.signal.aborted) return
      began = performance.now()
    }
    const { lastError: _, ...progress } = this.progress as RewrapStatus
    this.progress = progress
    const { keks, stale } = await this.store.vault.status()
    if (progress.done > before || progress.failed > 0) await this.record(meta, progress.done - before, keks)
    // Somebody slow may have stored a key that he had wrapped before.
    if (stale > progress.failed) this.again = true
  }

  private async record(meta: EventMeta, count: number, keks: readonly KekUse[]): Promise<void> {
    const { failed = 0, failing = [] } = this.progress ?? {}
    const data = { kek: keks.at(-1)?.id ?? '', count, failed }
    await inTransaction(this.store.pool, (tx) =>
      this.operators.record(tx, { meta }, { to: keyStream, type: 'KeysRewrapped', data, answer: {} }),
    )
    this.logger.info(data, 'data keys were wrapped anew')
    if (failed > 0) this.logger.warn({ failing }, 'data keys cannot be opened, and stay as they are')
  }

  private tell(news: Partial<RewrapStatus>): void {
    this.progress = { ...(this.progress as RewrapStatus), ...news }
  }

  private async rest(milliseconds: number): Promise<void> {
    await delay(milliseconds, undefined, { signal: this.ending.signal }).catch(() => undefined)
  }
}
