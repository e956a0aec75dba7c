import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, Pool } from 'pg'
import { createClient, type Logger } from '@mcpctl/postgres'
import { LeaderConnection } from './leader-connection'

export interface LeaderOptions {
  /** Database of its own connection; a direct one, because a transaction pooler cannot hold the lock. */
  url: string
  /** For looking up who leads. */
  pool: Pool
  /** What is led: the name of the lock and of the fence. */
  name: string
  /** Where other daemons reach this one while it leads. */
  address: string
  logger: Logger
  /** Milliseconds after which a leader that cannot be heard has lost; 10 s unless told. */
  lease?: number
}

type Elected = (term: number, signal: AbortSignal) => void | Promise<void>
type Lost = (reason: string) => void | Promise<void>

interface Reign {
  term: number
  confirmedAt: number
  ending: AbortController
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

/**
 * One daemon among many that acts. Holds a session lock on a connection of its own, and a term that fences its appends.
 *
 * contending: tries for the lock every tenth of the lease → elected: next term, onElected.
 * leading: confirms lock and term every tenth of the lease; steps down when that fails, when the backend is another one, when
 * a higher term exists, or when more than half a lease went by unnoticed, as in a frozen process.
 * → lost: current() is undefined, the signal is aborted, onLost; waits for onElected's work, lets go of the lock, contends again.
 *
 * The server ends the connection when it is silent for a lease, so a frozen leader loses the lock without its own doing.
 */
export class Leader {
  private readonly lease: number
  private readonly elected: Elected[] = []
  private readonly lost: Lost[] = []
  private reign: Reign | undefined
  private running: Promise<void> | undefined
  private readonly stopping = new AbortController()

  constructor(private readonly options: LeaderOptions) {
    this.lease = options.lease ?? 10_000
  }

  /** Begins to contend; never throws for a database that is away. */
  start(): void {
    this.running ??= this.run()
  }

  /** Steps down, waits for the work of the term, and lets go of the lock. */
  async stop(): Promise<void> {
    this.stopping.abort()
    await this.running
  }

  /** The term while this process leads. Undefined as soon as leadership cannot be relied on, even before onLost. */
  current(): { term: number } | undefined {
    const { reign } = this
    const over = this.stopping.signal.aborted || reign?.ending.signal.aborted === true
    if (!reign || over || this.isStale(reign)) return undefined
    return { term: reign.term }
  }

  /** Calls with each new term; the signal ends with it. A promise is waited for before the lock is let go; a throw steps down. */
  onElected(listener: Elected): void {
    this.elected.push(listener)
  }

  /** Calls when a term ends, with the reason. */
  onLost(listener: Lost): void {
    this.lost.push(listener)
  }

  /** Address of the daemon that leads, this one or another; undefined when nobody does. Throws when the database is away. */
  async leaderAddress(): Promise<string | undefined> {
    if (this.current()) return this.options.address
    return LeaderConnection.addressOf(this.options.pool, this.options.name)
  }

  private get beat(): number {
    return this.lease / 10
  }

  private isStale({ confirmedAt }: Reign): boolean {
    return performance.now() - confirmedAt > this.lease / 2
  }

  private pause(): Promise<void> {
    return sleep(this.beat, undefined, { signal: this.stopping.signal }).catch(() => undefined)
  }

  private async run(): Promise<void> {
    let complaint = ''
    while (!this.stopping.signal.aborted) {
      try {
        await this.contend()
        complaint = ''
      } catch (error) {
        // Said once, not every second for as long as the database is away.
        if (messageOf(error) !== complaint)
          this.options.logger.warn(`cannot contend for leadership: ${messageOf(error)}`)
        complaint = messageOf(error)
      }
      await this.pause()
    }
  }

  private async contend(): Promise<void> {
    const { url, name, address } = this.options
    const connect = (): Promise<Client> =>
      createClient(url, { applicationName: `mcpd leader ${name}`, role: 'mcpd_app', statementTimeout: this.lease })
    const connection = await LeaderConnection.open(connect, { name, lease: this.lease })
    try {
      while (!(await connection.tryLock())) {
        await this.pause()
        if (this.stopping.signal.aborted) return
      }
      const confirmedAt = performance.now()
      const term = await connection.nextTerm(address)
      await this.lead(connection, { term, confirmedAt, ending: new AbortController() })
    } finally {
      await connection.close()
    }
  }

  private async lead(connection: LeaderConnection, reign: Reign): Promise<void> {
    this.reign = reign
    this.options.logger.info(`elected leader for term ${reign.term}`)
    const failed = { reason: undefined as string | undefined }
    const work = this.elected.map(async (listener) => {
      try {
        await listener(reign.term, reign.ending.signal)
      } catch (error) {
        failed.reason ??= `what the leader does failed: ${messageOf(error)}`
      }
    })
    const reason = await this.hold(connection, reign, failed)
    reign.ending.abort(new Error(reason))
    this.options.logger.warn(`no longer leader for term ${reign.term}: ${reason}`)
    await Promise.allSettled(this.lost.map(async (listener) => listener(reason)))
    await Promise.all(work)
    this.reign = undefined
  }

  /** Confirms leadership again and again; resolves with the reason why it ended. */
  private async hold(
    connection: LeaderConnection,
    reign: Reign,
    failed: { reason: string | undefined },
  ): Promise<string> {
    for (;;) {
      await this.pause()
      if (this.stopping.signal.aborted) return 'this daemon stops'
      if (failed.reason !== undefined) return failed.reason
      const began = performance.now()
      // Asked before the database is: after a pause of the whole process, its answer may still be on the wire from before.
      if (this.isStale(reign)) return `this process was frozen for ${Math.round(began - reign.confirmedAt)} ms`
      const problem = await connection.check(reign.term)
      if (problem !== undefined) return problem
      if (this.isStale(reign)) return `this process was frozen for ${Math.round(performance.now() - began)} ms`
      reign.confirmedAt = began
    }
  }
}
