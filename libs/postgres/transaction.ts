import type { Pool, PoolClient } from 'pg'

export interface Loan {
  /**
   * How long the connection may go without an answer before it is thrown away, and with it those of the pool that are idle: they would be
   * found dead one by one. Milliseconds; no limit unless told.
   */
  silentMs?: number
  /** Throws the connection away when it aborts. */
  signal?: AbortSignal | undefined
}

/**
 * Lends a connection to `use`, which opens and ends transactions on it as it likes. Whatever it leaves open when it throws is taken
 * back. The process outlives a connection that breaks in between; then the error is why it broke. With a limit it throws
 * `connection terminated: …` when that is reached, whatever `use` still waits for: nothing that was not committed will be.
 */
export const withClient = async <T>(
  pool: Pool,
  use: (client: PoolClient) => Promise<T>,
  loan: Loan = {},
): Promise<T> => {
  const limit = new Limit(loan)
  try {
    const client = await limit.connect(pool)
    return await lend(client, use, limit)
  } catch (error) {
    if (limit.isSilent) await dropIdle(pool)
    throw error
  } finally {
    limit.end()
  }
}

/** Runs `work` in a READ COMMITTED transaction and commits; a throw takes it back. A process that freezes in it loses it after a second. */
export const inTransaction = <T>(pool: Pool, work: (tx: PoolClient) => Promise<T>): Promise<T> =>
  withClient(pool, async (tx) => {
    await tx.query(`begin isolation level read committed; set local idle_in_transaction_session_timeout = '1s'`)
    const answer = await work(tx)
    await tx.query('commit')
    return answer
  })

const lend = async <T>(client: PoolClient, use: (client: PoolClient) => Promise<T>, limit: Limit): Promise<T> => {
  let brokenBy: Error | undefined
  const lost = (error: Error) => (brokenBy ??= error)
  const answered = () => limit.renew()
  client.on('error', lost)
  client.on('drain', answered)
  let broken = false
  try {
    return await limit.guard(use(client))
  } catch (error) {
    broken = await limit.guard(client.query('rollback')).then(
      () => false,
      () => true,
    )
    // What fails on a broken connection says only that it is broken.
    throw brokenBy ?? error
  } finally {
    client.off('drain', answered)
    // Given back before nobody listens any more: the pool puts its own ear to it, or ends it.
    client.release(broken)
    client.off('error', lost)
  }
}

/** Closes the idle connections of a pool, which opens others as they are needed. */
export const dropIdle = async (pool: Pool): Promise<void> => {
  for (let left = pool.idleCount; left > 0 && pool.idleCount > 0; left--) {
    const client = await pool.connect()
    client.release(true)
  }
}

/** Tells when a connection has been silent for too long, or is not wanted any more. */
class Limit {
  isSilent = false
  private readonly reached: Promise<never>
  private readonly timer: NodeJS.Timeout | undefined
  private reach: (reason: string) => void = () => {}
  private readonly aborted = () => this.reach('it was told to stop')

  constructor(private readonly loan: Loan) {
    this.reached = new Promise((_, reject) => {
      this.reach = (reason) => reject(new Error(`connection terminated: ${reason}`))
    })
    // Nobody may be waiting when it is reached.
    this.reached.catch(() => {})
    const { silentMs, signal } = loan
    if (silentMs !== undefined)
      this.timer = setTimeout(() => {
        this.isSilent = true
        this.reach(`no answer within ${silentMs} ms`)
      }, silentMs)
    if (signal?.aborted) this.aborted()
    signal?.addEventListener('abort', this.aborted, { once: true })
  }

  async connect(pool: Pool): Promise<PoolClient> {
    const connecting = pool.connect()
    try {
      return await this.guard(connecting)
    } catch (error) {
      // One that comes later is for others.
      connecting.then(
        (client) => client.release(),
        () => {},
      )
      throw error
    }
  }

  guard<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.reached])
  }

  renew(): void {
    this.timer?.refresh()
  }

  end(): void {
    clearTimeout(this.timer)
    this.loan.signal?.removeEventListener('abort', this.aborted)
  }
}
