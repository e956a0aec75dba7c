import { randomUUID } from 'node:crypto'
import type { Client, ClientBase, Pool } from 'pg'

/** First half of the lock's key: keeps apart what else takes advisory locks in this database. */
const LOCK_SPACE = 1_296_257_092

const lockIsHeld = `select from pg_locks
  where locktype = 'advisory' and granted and objsubid = 2 and classid = ${LOCK_SPACE} and objid = hashtext($1)::oid
    and database = (select oid from pg_database where datname = current_database())`

const pooled =
  'the connection goes through a pooler that shares sessions between clients; leadership needs a direct connection or a pooler in session mode'

interface Session {
  backend: number
  marker: string | null
  held: boolean
  /** bigint, as text. */
  term: string | null
}

const inTime = async <T>(milliseconds: number, work: Promise<T>): Promise<T> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`the database did not answer within ${milliseconds} ms`))
    }, milliseconds)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The connection that a leader's lock lives on. Every doubt about whose session it is counts against leadership. */
export class LeaderConnection {
  private readonly marker = randomUUID()
  private backend = 0

  private constructor(
    private readonly client: Client,
    private readonly name: string,
    private readonly lease: number,
  ) {}

  /** Throws when the database cannot be reached or its sessions are shared. */
  static async open(
    connect: () => Promise<Client>,
    { name, lease }: { name: string; lease: number },
  ): Promise<LeaderConnection> {
    const client = await connect()
    const connection = new LeaderConnection(client, name, lease)
    try {
      await connection.claimSession(connect)
      return connection
    } catch (error) {
      await connection.close()
      throw error
    }
  }

  /** Who holds the lock of this name, by the address recorded with the newest term. */
  static async addressOf(pool: Pool | ClientBase, name: string): Promise<string | undefined> {
    const { rows } = await pool.query<{ holder: string }>(
      `select holder from es.fence where name = $1 and exists (${lockIsHeld})`,
      [name],
    )
    return rows[0]?.holder
  }

  /** Whether the lock is ours now. Throws when the session is not what it was. */
  async tryLock(): Promise<boolean> {
    const problem = await this.sessionProblem()
    if (problem !== undefined) throw new Error(problem)
    const { rows } = await this.ask<{ locked: boolean }>('select pg_try_advisory_lock($1, hashtext($2)) as locked', [
      LOCK_SPACE,
      this.name,
    ])
    return rows[0]?.locked === true
  }

  /** Records us as the holder; whoever acts under an older term can append no more. */
  async nextTerm(address: string): Promise<number> {
    const { rows } = await this.ask<{ term: string }>('select es.next_term($1, $2)::text as term', [this.name, address])
    return Number(rows[0]?.term)
  }

  /** Why leadership cannot be relied on any more; undefined while it can. Never throws. */
  async check(term: number): Promise<string | undefined> {
    try {
      const session = await this.session()
      const problem = this.problemOf(session)
      if (problem !== undefined) return problem
      if (!session.held) return 'the lock was lost'
      return Number(session.term) === term ? undefined : `another daemon was elected for term ${session.term ?? '?'}`
    } catch (error) {
      return `the lock's connection failed: ${error instanceof Error ? error.message : String(error)}`
    }
  }

  /** Ends the session, and with it the lock. A connection that hangs is cut. */
  async close(): Promise<void> {
    // Behind a pooler the session may outlive our connection.
    await this.ask('select pg_advisory_unlock_all()').catch(() => undefined)
    await inTime(this.lease / 10, this.client.end()).catch(() => undefined)
    // `end` of a hung connection waits for the other side.
    const { connection } = this.client as unknown as { connection?: { stream: { destroy(): void } } }
    connection?.stream.destroy()
  }

  private ask<Row extends object>(sql: string, values: unknown[] = []) {
    return inTime(this.lease * 0.3, this.client.query<Row>(sql, values))
  }

  private async claimSession(connect: () => Promise<Client>): Promise<void> {
    const { rows } = await this.ask<{ backend: number }>(
      `select pg_backend_pid() as backend, set_config('mcpctl.leader', $1, false), set_config('idle_session_timeout', $2, false)`,
      [this.marker, String(this.lease)],
    )
    this.backend = rows[0]?.backend ?? 0
    const { processID } = this.client as unknown as { processID?: number | null }
    // A pooler answers with a process id of its own. Whether it shares sessions shows when a second client gets ours.
    if (processID !== this.backend) await this.refuseShared(connect)
  }

  private async refuseShared(connect: () => Promise<Client>): Promise<void> {
    const second = await connect()
    try {
      await second.query('begin')
      const { rows } = await second.query<{ backend: number }>('select pg_backend_pid() as backend')
      const problem = rows[0]?.backend === this.backend ? pooled : await this.sessionProblem()
      if (problem !== undefined) throw new Error(problem)
    } finally {
      await second.end()
    }
  }

  private async session(): Promise<Session> {
    const { rows } = await this.ask<Session>(
      `select pg_backend_pid() as backend, current_setting('mcpctl.leader', true) as marker,
         exists (${lockIsHeld} and pid = pg_backend_pid()) as held,
         (select term::text from es.fence where name = $1) as term`,
      [this.name],
    )
    const session = rows[0]
    if (!session) throw new Error('no answer')
    return session
  }

  private problemOf({ backend, marker }: Session): string | undefined {
    return backend === this.backend && marker === this.marker ? undefined : pooled
  }

  /** Asked before the lock is taken too: a shared session would grant a lock that it holds for somebody else. */
  private async sessionProblem(): Promise<string | undefined> {
    return this.problemOf(await this.session())
  }
}
