import pg from 'pg'
import type { Pool } from 'pg'

type Wake = () => void
type CheckpointMoved = (checkpoint: { processor: string; modelVersion: number; position: bigint }) => void

const answerWithinMs = 2_000
const channels = ['es_event', 'es_checkpoint']
// Position, model version, processor; see the projector.
const checkpointPayload = /^(\d+) (\d+) (.+)$/s

export interface FollowerOptions {
  /** Tells where the database is. The follower opens one connection of its own beside it. */
  pool: Pool
  /** How often listeners are called without any notification; default 1000. */
  pollMs?: number
}

/**
 * Tells its listeners that the log or a checkpoint may have moved: at once by NOTIFY, and every second in any case, so that a lost
 * notification costs a second and nothing else. Survives restarts of PostgreSQL.
 */
export class Follower {
  private readonly wakes = new Set<Wake>()
  private readonly checkpointListeners = new Set<CheckpointMoved>()
  private readonly pool: Pool
  private readonly pollMs: number
  private client: pg.Client | undefined
  private timer: NodeJS.Timeout | undefined
  private checking: Promise<void> | undefined

  constructor({ pool, pollMs = 1_000 }: FollowerOptions) {
    this.pool = pool
    this.pollMs = pollMs
  }

  /** Resolves after the first try to connect, whether or not it worked; trying goes on. */
  async start(): Promise<void> {
    if (this.timer) return
    this.timer = setInterval(() => {
      this.wakeAll()
      this.check()
    }, this.pollMs)
    this.check()
    await this.checking
  }

  /** Resolves within seconds, also when the database does not answer. */
  async stop(): Promise<void> {
    clearInterval(this.timer)
    this.timer = undefined
    await this.checking
    await this.drop()
  }

  /** Calls back whenever there may be new events. A hint: the listener reads the log. Returns the way to stop. */
  onAdvance(listener: Wake): () => void {
    this.wakes.add(listener)
    return () => this.wakes.delete(listener)
  }

  /** Calls back when a projector, here or in another process, has moved its checkpoint. A hint, as above. */
  onCheckpoint(listener: CheckpointMoved): () => void {
    this.checkpointListeners.add(listener)
    return () => this.checkpointListeners.delete(listener)
  }

  private wakeAll() {
    for (const wake of this.wakes) wake()
  }

  /** Makes sure that notifications would arrive; one check at a time. */
  private check() {
    this.checking ??= (this.client ? this.heartbeat(this.client) : this.listen())
      // What failed is tried again at the next tick.
      .catch(() => this.drop())
      .finally(() => {
        this.checking = undefined
      })
  }

  private async listen() {
    // The pool's own options, so that addresses and credentials stay in one place; a spread leaves the password out.
    const { options } = this.pool
    const client = new pg.Client({ ...options, password: options.password, connectionTimeoutMillis: answerWithinMs })
    client.on('error', () => void this.drop(client))
    client.on('end', () => void this.drop(client))
    client.on('notification', ({ channel, payload }) => this.notified(channel, payload ?? ''))
    this.client = client
    await client.connect()
    await this.ask(client, channels.map((channel) => `listen ${channel}`).join(';'))
    // Whatever was committed while nobody listened.
    this.wakeAll()
  }

  private async heartbeat(client: pg.Client) {
    const { rows } = await this.ask<{ open: number }>(
      client,
      'select count(*)::int as open from pg_listening_channels()',
    )
    if (rows[0]?.open !== channels.length) throw new Error('the connection no longer listens')
  }

  private ask<Row extends object>(client: pg.Client, text: string) {
    const query: pg.QueryConfig & { query_timeout: number } = { text, query_timeout: answerWithinMs }
    return client.query<Row>(query)
  }

  private async drop(client = this.client) {
    if (!client) return
    if (this.client === client) this.client = undefined
    // A connection that hangs would never finish saying goodbye.
    const goodbye = client.end().catch(() => {})
    await Promise.race([goodbye, new Promise((resolve) => setTimeout(resolve, answerWithinMs).unref())])
  }

  private notified(channel: string, payload: string) {
    if (channel === 'es_event') return this.wakeAll()
    const [, position, modelVersion, processor] = checkpointPayload.exec(payload) ?? []
    // Anybody who may connect may send on the channel.
    if (position === undefined || processor === undefined) return
    const moved = { processor, modelVersion: Number(modelVersion), position: BigInt(position) }
    for (const listener of this.checkpointListeners) listener(moved)
  }
}
