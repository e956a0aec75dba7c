import { spawn } from 'node:child_process'
import { open, readFile, rename, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { plainEnvironment } from './account'
import { clusterUser, type Cluster } from './cluster'
import { birthOf, mayServe, signal, waitForExit } from './processes'

/** A running server of ours. */
export interface Postmaster {
  pid: number
  port: number
  /** Settles when the process is gone. */
  exited: Promise<void>
}

/** Why a server did not come up: try another port, wait for leftovers of the last one, or give up. */
export type StartFailure = { reason: 'port-taken' | 'leftovers' | 'broken'; message: string }

const READY_MS = 10 * 60_000
const LARGEST_LOG_BYTES = 8 * 1024 * 1024

export const urlOf = (cluster: Cluster, port: number, database = clusterUser): string =>
  `postgres://${clusterUser}:${cluster.password}@127.0.0.1:${port}/${database}`

const canListen = (port: number) =>
  new Promise<boolean>((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })

/**
 * A free port below the range from which systems take the local ports of outgoing connections: there, a client that
 * reconnects while the server is down could end up holding the server's own port.
 */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if (await canListen(port)) return port
  }
}

const serverSettings = (port: number, extra: Record<string, string>) => ({
  listen_addresses: '127.0.0.1',
  port: String(port),
  unix_socket_directories: '',
  password_encryption: 'scram-sha-256',
  max_connections: '200',
  log_checkpoints: 'off',
  // Statements and error details can hold values of secrets. What an application does wrong, it hears itself.
  log_min_messages: 'log',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
  ...extra,
})

const openLog = async (file: string) => {
  const size = (await stat(file).catch(() => undefined))?.size ?? 0
  if (size > LARGEST_LOG_BYTES) await rename(file, `${file}.1`)
  return { handle: await open(file, 'a', 0o600), from: size > LARGEST_LOG_BYTES ? 0 : size }
}

const logSince = async (file: string, from: number) => (await readFile(file)).subarray(from).toString('utf8').trim()

/** Asks a server who it is. Undefined while it is starting or when nobody answers. Throws when it refuses our password. */
const answers = async (cluster: Cluster, port: number): Promise<boolean> => {
  const client = new pg.Client({ connectionString: urlOf(cluster, port, 'postgres'), connectionTimeoutMillis: 5_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query<{ directory: string }>("select current_setting('data_directory') as directory")
    return rows[0]?.directory === cluster.directory
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code?.startsWith('28')) throw error
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

const classify = (log: string): StartFailure => {
  const message = log.split('\n').slice(-5).join('\n')
  if (/could not bind|could not create any TCP\/IP sockets/.test(log)) return { reason: 'port-taken', message }
  if (/pre-existing shared memory block|lock file .* already exists/.test(log)) return { reason: 'leftovers', message }
  return { reason: 'broken', message: message === '' ? 'it ended without a message' : message }
}

/** Starts a server and waits until it answers, however long its crash recovery takes; gives up when told. */
export const launch = async (
  cluster: Cluster,
  port: number,
  { settings, signal: abort }: { settings: Record<string, string>; signal: AbortSignal },
): Promise<Postmaster | StartFailure> => {
  const { handle, from } = await openLog(cluster.logFile)
  const options = Object.entries(serverSettings(port, settings)).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const child = spawn(join(cluster.binaries, 'postgres'), ['-D', cluster.directory, ...options], {
    cwd: cluster.directory,
    ...cluster.account,
    env: plainEnvironment(),
    // A session of its own: Ctrl-C in the terminal is for mcpd, which then stops the server in order.
    detached: true,
    stdio: ['ignore', handle.fd, handle.fd],
  })
  const state = { gone: false }
  const exited = new Promise<void>((resolve) => {
    const end = () => {
      state.gone = true
      resolve()
    }
    child.once('exit', end)
    child.once('error', end)
  })
  child.unref()
  await handle.close()
  const began = performance.now()
  const elapsed = () => performance.now() - began
  const waits = () => !state.gone && !abort.aborted && elapsed() < READY_MS
  while (waits()) {
    if (child.pid !== undefined && (await answers(cluster, port))) return { pid: child.pid, port, exited }
    // Rarely in the end: each try during a long crash recovery leaves a line in the log.
    await Promise.race([exited, sleep(Math.min(1_000, 20 + elapsed() / 10))])
  }
  if (child.pid !== undefined && !state.gone) await shutDown(child.pid, exited)
  return classify(await logSince(cluster.logFile, from))
}

const pidFile = async (cluster: Cluster) => {
  const lines = (await readFile(join(cluster.directory, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')
  return lines[0] === '' ? undefined : { pid: Number(lines[0]), port: Number(lines[3] ?? 0) }
}

/** Resolves when a process that is not our child is gone. The timer does not keep this process alive. */
const watchExit = async (pid: number) => {
  while ((await birthOf(pid)) !== undefined) await sleep(200, undefined, { ref: false })
}

/**
 * Takes over the server that an earlier process left running on this directory, once it answers to our password.
 * Undefined when none runs; a pid file that is left over is then out of the way. Throws when one runs but is not usable.
 */
export const adopt = async (cluster: Cluster): Promise<Postmaster | undefined> => {
  const deadline = performance.now() + 60_000
  for (;;) {
    const found = await pidFile(cluster)
    if (!found) return undefined
    const { pid, port } = found
    if ((await birthOf(pid)) === undefined || !(await mayServe(pid, cluster.directory))) {
      // PostgreSQL trusts any living pid, and counts zombies among the living, so it would refuse to start for ever.
      await rm(join(cluster.directory, 'postmaster.pid'), { force: true })
      return undefined
    }
    const refused = port > 0 && (await answers(cluster, port).catch(() => 'refused' as const))
    if (refused === true) return { pid, port, exited: watchExit(pid) }
    if (refused === 'refused' || performance.now() > deadline) {
      const why = refused === 'refused' ? 'does not accept our password' : 'does not answer'
      throw new Error(`PostgreSQL (process ${pid}) runs on "${cluster.directory}" and ${why}; stop it first`)
    }
    await sleep(100)
  }
}

/** Ends a server: in order within a minute, else at once, as after a crash. Throws when it will not go. */
export const shutDown = async (pid: number, exited: Promise<void>): Promise<void> => {
  const steps = [
    { name: 'SIGINT', wait: 60_000 },
    { name: 'SIGQUIT', wait: 10_000 },
  ] as const
  for (const { name, wait } of steps) {
    signal(pid, name)
    const stopped = await Promise.race([exited.then(() => true), waitForExit(pid, wait)])
    if (stopped) return
  }
  throw new Error(`PostgreSQL (process ${pid}) does not stop`)
}
