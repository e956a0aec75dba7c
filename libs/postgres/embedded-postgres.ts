import { mkdir, realpath } from 'node:fs/promises'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { clusterUser, openCluster, type Cluster } from './cluster'
import { lockDirectory } from './directory-lock'
import { silent, type Logger } from './logger'
import { adopt, freePort, launch, shutDown, urlOf, type Postmaster } from './postmaster'
import { processesIn, signal } from './processes'

export interface EmbeddedPostgresOptions {
  /** Holds the cluster, its password and its log. Made when missing. */
  dataDirectory: string
  logger?: Logger
  /** Server settings beyond our own, for example `{ fsync: 'off' }` in tests. */
  settings?: Record<string, string>
}

const PORTS_TRIED = 20
/** Sessions of a killed postmaster mostly end by themselves; those that do not are asked, then killed. */
const LEFTOVERS_MS = { ask: 5_000, kill: 10_000, patience: 30_000 }

const createDatabase = async (cluster: Cluster, port: number) => {
  const client = new pg.Client({ connectionString: urlOf(cluster, port, 'postgres') })
  await client.connect()
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [clusterUser])
    if (rowCount === 0) await client.query(`create database ${clusterUser}`)
  } finally {
    await client.end()
  }
}

/** Ends what a killed postmaster left running. Without one they serve nobody, and they block the next server. */
const signalAll = async (cluster: Cluster, name: 'SIGQUIT' | 'SIGKILL') => {
  for (const pid of await processesIn(cluster.directory)) signal(pid, name)
}

/**
 * A PostgreSQL server of our own, on 127.0.0.1 and a port that it keeps.
 *
 * stopped → start() → running: an own postmaster, or an adopted one that an earlier process left behind.
 * running, postmaster dies → restarting: tries until it runs again, on the same port, so that pools reconnect by themselves.
 * any → stop() → stopped. The directory's lock is held from start() to stop(), so there is never a second postmaster.
 * If this process is killed, the postmaster lives on, and the next start() adopts it.
 */
export class EmbeddedPostgres {
  private readonly logger: Logger
  private readonly settings: Record<string, string>
  private readonly restartListeners: (() => void)[] = []
  private lock: { release(): Promise<void> } | undefined
  private server: Postmaster | undefined
  private supervision: Promise<void> = Promise.resolve()
  private stopping = new AbortController()

  constructor(private readonly options: EmbeddedPostgresOptions) {
    this.logger = options.logger ?? silent
    this.settings = options.settings ?? {}
  }

  /** Process id of the running server, if it runs. */
  get pid(): number | undefined {
    return this.server?.pid
  }

  /** Calls the listener each time the server is back after it died. */
  onRestart(listener: () => void): void {
    this.restartListeners.push(listener)
  }

  /**
   * Starts or adopts the server and answers with the URL of its database, which stays valid until stop().
   * Throws `Conflict` when another process uses the data directory.
   */
  async start(): Promise<{ url: string }> {
    if (this.lock) throw new Error('the embedded PostgreSQL is started already')
    this.stopping = new AbortController()
    const given = resolve(this.options.dataDirectory)
    await mkdir(given, { recursive: true, mode: 0o700 })
    const dataDirectory = await realpath(given)
    const lock = await lockDirectory(dataDirectory)
    this.lock = lock
    try {
      const cluster = await openCluster(dataDirectory)
      const server = (await adopt(cluster)) ?? (await this.launchUntilReady(cluster))
      this.server = server
      await createDatabase(cluster, server.port)
      this.logger.info(`PostgreSQL runs as process ${server.pid} on 127.0.0.1:${server.port}`)
      this.supervision = this.supervise(cluster, server)
      return { url: urlOf(cluster, server.port) }
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** Stops the server in order and waits for it. Stopping a stopped one succeeds. */
  async stop(): Promise<void> {
    this.stopping.abort()
    const { server } = this
    if (server) await shutDown(server.pid, server.exited)
    // A restart that is under way sees the signal and puts its own server away. Watching a server keeps no process alive, but this must.
    const alive = setInterval(() => undefined, 1_000)
    await this.supervision.finally(() => clearInterval(alive))
    this.server = undefined
    await this.lock?.release()
    this.lock = undefined
  }

  private async supervise(cluster: Cluster, first: Postmaster): Promise<void> {
    let server = first
    for (;;) {
      await server.exited
      if (this.isStopping()) return
      this.server = undefined
      this.logger.warn(`PostgreSQL (process ${server.pid}) died; starting it again`)
      const next = await this.restart(cluster, server.port)
      if (!next) return
      if (this.isStopping()) return shutDown(next.pid, next.exited)
      server = next
      this.server = next
      this.logger.info(`PostgreSQL runs again as process ${next.pid} on 127.0.0.1:${next.port}`)
      for (const listener of this.restartListeners) listener()
    }
  }

  /** Tries until the server runs again; undefined once stop() was called. */
  private async restart(cluster: Cluster, port: number): Promise<Postmaster | undefined> {
    for (let wait = 100; !this.isStopping(); wait = Math.min(wait * 2, 5_000)) {
      try {
        return (await adopt(cluster)) ?? (await this.launchUntilReady(cluster, port))
      } catch (error) {
        this.logger.error(`PostgreSQL does not start: ${error instanceof Error ? error.message : String(error)}`)
        await sleep(wait, undefined, { signal: this.stopping.signal }).catch(() => undefined)
      }
    }
    return undefined
  }

  /** Gets past what passes by itself: a port that someone else took first, leftovers of a killed server. */
  private async launchUntilReady(cluster: Cluster, fixedPort?: number): Promise<Postmaster> {
    const began = performance.now()
    const options = { settings: this.settings, signal: this.stopping.signal }
    for (let attempt = 1; ; attempt++) {
      const outcome = await launch(cluster, fixedPort ?? (await freePort()), options)
      if ('pid' in outcome) return outcome
      const waited = performance.now() - began
      const passes = {
        'port-taken': fixedPort === undefined && attempt < PORTS_TRIED,
        leftovers: waited < LEFTOVERS_MS.patience,
        broken: false,
      }
      if (!passes[outcome.reason] || this.isStopping()) throw new Error(outcome.message)
      if (outcome.reason === 'leftovers') await this.endLeftovers(cluster, waited)
    }
  }

  private async endLeftovers(cluster: Cluster, waited: number): Promise<void> {
    if (waited > LEFTOVERS_MS.ask) await signalAll(cluster, waited > LEFTOVERS_MS.kill ? 'SIGKILL' : 'SIGQUIT')
    await sleep(100)
  }

  /** A method, because it changes between two looks at it. */
  private isStopping(): boolean {
    return this.stopping.signal.aborted
  }
}
