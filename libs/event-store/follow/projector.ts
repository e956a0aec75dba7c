import type { PoolClient, Pool } from 'pg'
import type { Follower } from './follower'
import { PositionWaiters } from './position-waiters'
import { eventsAfter } from '../rows'
import type { RecordedEvent } from '../types'

const firstRetryMs = 50
// Well below what a write waits for its view.
const slowestRetryMs = 1_000

export interface ProjectorOptions {
  /** Its connections act as `mcpd_app`. */
  pool: Pool
  follower: Follower
  name: string
  /** Another version of the model starts from the beginning, beside the older one. */
  modelVersion: number
  /** Events per transaction, default 500. */
  batchSize?: number
  /** Applies events to read models through `tx` only; commits together with the checkpoint. */
  project: (tx: PoolClient, events: RecordedEvent[]) => Promise<void>
}

export interface ProjectorStatus {
  name: string
  /** The last position known to be applied, by this process or another. */
  position: bigint
  status: 'running' | 'failing' | 'stopped'
  lastError?: string
}

/**
 * Feeds every event to `project`, in order and exactly once: the events' effects and the checkpoint commit together, and the
 * checkpoint's row lock lets one process at a time do so. A throw takes the batch back; it is tried again, later and later.
 */
export class Projector {
  private readonly waiters = new PositionWaiters()
  private running: Promise<void> | undefined
  private stopping = false
  private rouses = 0
  private wake: () => void = () => {}
  private failures = 0
  private lastError: string | undefined
  private unsubscribe: (() => void)[] = []

  constructor(private readonly options: ProjectorOptions) {}

  start(): void {
    if (this.running) return
    const { follower, name, modelVersion } = this.options
    this.stopping = false
    this.unsubscribe = [
      follower.onAdvance(() => this.rouse()),
      follower.onCheckpoint((moved) => {
        if (moved.processor === name && moved.modelVersion === modelVersion) this.waiters.reached(moved.position)
      }),
    ]
    this.running = this.run()
  }

  /** Resolves when the batch under way has been committed or taken back. */
  async stop(): Promise<void> {
    this.stopping = true
    this.unsubscribe.forEach((unsubscribe) => unsubscribe())
    this.rouse()
    await this.running
    this.running = undefined
    this.waiters.giveUp()
  }

  /** True as soon as everything up to `position` is applied, by whichever process; false after `timeoutMs`. */
  waitFor(position: bigint, timeoutMs: number): Promise<boolean> {
    return this.waiters.wait(position, timeoutMs)
  }

  status(): ProjectorStatus {
    const failing = this.failures > 0 ? 'failing' : 'running'
    return {
      name: this.options.name,
      position: this.waiters.position,
      status: this.running && !this.stopping ? failing : 'stopped',
      ...(this.lastError !== undefined && { lastError: this.lastError }),
    }
  }

  private rouse() {
    this.rouses++
    this.wake()
  }

  private async run() {
    while (!this.stopping) {
      const rouses = this.rouses
      const more = await this.tryStep()
      if (this.failures > 0) await this.pause(Math.min(firstRetryMs * 2 ** (this.failures - 1), slowestRetryMs))
      // Roused while the step ran: the step may have read too early.
      else if (!more && rouses === this.rouses) await this.sleep()
    }
  }

  /** Until roused. */
  private sleep(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve
    })
  }

  /** For so long, unless stopped before; news do not make a failing projector hurry. */
  private async pause(ms: number): Promise<void> {
    if (this.stopping) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.wake = () => {
        if (!this.stopping) return
        clearTimeout(timer)
        resolve()
      }
    })
  }

  private async tryStep(): Promise<boolean> {
    try {
      const more = await this.step()
      this.failures = 0
      this.lastError = undefined
      return more
    } catch (error) {
      this.failures++
      this.lastError = error instanceof Error ? error.message : String(error)
      await this.recordFailure(this.lastError)
      return false
    }
  }

  /** One batch in one transaction. True if there may be more. */
  private async step(): Promise<boolean> {
    return withClient(this.options.pool, async (tx) => {
      // A process that freezes here loses its transaction, and with it the checkpoint, to another one.
      await tx.query(`begin; set local idle_in_transaction_session_timeout = '1s'`)
      const position = await this.lockCheckpoint(tx)
      if (position === undefined) {
        await tx.query('rollback')
        return await this.learnPosition(tx)
      }
      const { batchSize = 500, project } = this.options
      const events = await eventsAfter(tx, position, batchSize)
      const last = events.at(-1)?.position ?? position
      if (events.length > 0) {
        await project(tx, events)
        await this.moveCheckpoint(tx, last)
      }
      await tx.query('commit')
      this.waiters.reached(last)
      return events.length === batchSize
    })
  }

  private get key() {
    return [this.options.name, this.options.modelVersion]
  }

  private async lockCheckpoint(tx: PoolClient): Promise<bigint | undefined> {
    const { rows } = await tx.query<{ position: string }>({
      name: 'es-checkpoint-lock',
      text: `select position::text from es.checkpoint where processor = $1 and model_version = $2 for update skip locked`,
      values: this.key,
    })
    return rows[0] && BigInt(rows[0].position)
  }

  private async moveCheckpoint(tx: PoolClient, position: bigint) {
    const { name, modelVersion } = this.options
    await tx.query({
      name: 'es-checkpoint-move',
      text: `with moved as (
        update es.checkpoint set position = $3, status = 'running', attempts = 0, last_error = null
        where processor = $1 and model_version = $2)
        select pg_notify('es_checkpoint', $4)`,
      values: [...this.key, String(position), `${position} ${modelVersion} ${name}`],
    })
  }

  /** Another process holds the checkpoint, or it does not exist yet. */
  private async learnPosition(tx: PoolClient): Promise<boolean> {
    const created = await tx.query(
      'insert into es.checkpoint (processor, model_version) values ($1, $2) on conflict do nothing',
      this.key,
    )
    if (created.rowCount === 1) return true
    const { rows } = await tx.query<{ position: string }>(
      'select position::text from es.checkpoint where processor = $1 and model_version = $2',
      this.key,
    )
    this.waiters.reached(BigInt(rows[0]?.position ?? 0))
    return false
  }

  private async recordFailure(message: string) {
    try {
      await this.options.pool.query(
        `update es.checkpoint set status = 'failing', attempts = attempts + 1, last_error = $3
         where processor = $1 and model_version = $2`,
        [...this.key, message],
      )
    } catch {
      // The database may be what failed; `status` tells it in this process.
    }
  }
}

const withClient = async <T>(pool: Pool, use: (client: PoolClient) => Promise<T>): Promise<T> => {
  const client = await pool.connect()
  // A connection that is lost between two statements would otherwise end the process.
  const lost = () => {}
  client.on('error', lost)
  try {
    const result = await use(client)
    client.off('error', lost)
    client.release()
    return result
  } catch (error) {
    // Closing it takes the transaction back, whatever state the connection is in.
    client.release(true)
    throw error
  }
}
