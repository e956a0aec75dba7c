import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { daemonLog, makeDataDirectory } from '@mcpctl/client/paths'
import { CliError, exit } from '../errors'
import { probe } from './probe'
import { findDaemon, isAlive } from './record'
import type { DaemonRecord } from './record'

export interface StartOptions {
  /** The daemon's program file. */
  daemonFile: string
  directory: string
  /** Configuration file that receives the context. */
  configFile: string
  port?: string
  driver?: string
  databaseUrl?: string
  timeoutMs: number
  env: Record<string, string | undefined>
  /** Told when none runs and one is being started. */
  onLaunch: () => void
}

export interface Started {
  record: DaemonRecord
  /** False when it ran already. */
  isNew: boolean
}

const pollMs = 100
const shownLines = 20
const pause = () => new Promise<void>((resolve) => setTimeout(resolve, pollMs))

/** Where the daemon's bundle stands: beside ours. */
export const daemonProgram = (programFile: string, env: Record<string, string | undefined>): string =>
  env['MCPCTL_MCPD'] || join(dirname(dirname(programFile)), 'mcpd', 'main.js')

const lastLines = async (file: string, from: number): Promise<string> => {
  const text = (await readFile(file).catch(() => Buffer.alloc(0))).subarray(from).toString('utf8')
  const lines = text.trimEnd().split('\n').slice(-shownLines)
  return lines.map((line) => `  ${line}`).join('\n')
}

const launch = async (options: StartOptions) => {
  const log = daemonLog(options.directory)
  const handle = await open(log, 'a', 0o600)
  const { size } = await handle.stat()
  const flags = [
    ['--data-dir', options.directory],
    ['--write-context', options.configFile],
    ...(options.port === undefined ? [] : [['--port', options.port]]),
    ...(options.driver === undefined ? [] : [['--driver', options.driver]]),
  ].flat()
  const child = spawn(process.execPath, [options.daemonFile, ...flags], {
    detached: true,
    stdio: ['ignore', handle.fd, handle.fd],
    cwd: options.directory,
    // By environment: a URL may hold a password, and every user can read command lines.
    env: { ...options.env, ...(options.databaseUrl === undefined ? {} : { DATABASE_URL: options.databaseUrl }) },
  })
  let ended: string | undefined
  child.on('error', (error) => (ended = error.message))
  child.on('exit', (code, signal) => (ended ??= signal ? `signal ${signal}` : `code ${String(code)}`))
  child.unref()
  await handle.close()
  return { pid: child.pid, log, logStart: size, ended: () => ended }
}

type Launched = Awaited<ReturnType<typeof launch>>

const died = async ({ log, logStart, ended }: Launched): Promise<CliError> => {
  const lines = await lastLines(log, logStart)
  const hint = /EADDRINUSE/.test(lines) ? 'another program listens on that port; run: mcpctl up --port 0\n' : ''
  return new CliError(
    exit.unavailable,
    `mcpd ended while starting (${ended() ?? 'gone'}); its last lines:\n${lines}`,
    `${hint}the whole log: ${log}`,
  )
}

/** One look at the daemon that should be coming up: ready, or what it is waiting for. Throws when it has ended. */
const look = async (options: StartOptions, launched?: Launched): Promise<Started | string> => {
  const record = await findDaemon(options.directory)
  if (record) {
    const answer = await probe(record.address, '/readyz')
    if (answer?.status === 200) return { record, isNew: record.pid === launched?.pid }
    return answer ? `/readyz answers ${String(answer.status)} ${answer.body.slice(0, 300)}` : 'it does not answer'
  }
  if (launched?.ended() !== undefined) throw await died(launched)
  // One that we have not started may end too while we wait for it.
  if (!launched) throw new CliError(exit.unavailable, `mcpd ended meanwhile; see ${daemonLog(options.directory)}`)
  return 'it has not said where it listens'
}

/** Waits until the daemon on the directory answers that it is ready. */
const waitUntilReady = async (options: StartOptions, deadline: number, launched?: Launched): Promise<Started> => {
  for (;;) {
    const found = await look(options, launched)
    if (typeof found !== 'string') return found
    if (performance.now() > deadline)
      throw new CliError(
        exit.timeout,
        `timed out waiting for mcpd to be ready: ${found}; see ${daemonLog(options.directory)}`,
      )
    await pause()
  }
}

const lockFile = (directory: string) => join(directory, 'mcpctl-up.lock')

/** Takes the lock, or answers false while a living process holds it. A dead one's lock is removed. */
const takeLock = async (file: string): Promise<boolean> => {
  try {
    const handle = await open(file, 'wx', 0o600)
    await handle.writeFile(String(process.pid))
    await handle.close()
    return true
  } catch (error) {
    if (Reflect.get(error as object, 'code') !== 'EEXIST') throw error
  }
  const holder = Number(await readFile(file, 'utf8').catch(() => ''))
  const written = await stat(file).catch(() => undefined)
  // Just made and still empty: its holder is about to write its number.
  const isYoung = written !== undefined && Date.now() - written.mtimeMs < 2000
  if (holder > 0 ? !isAlive(holder) : !isYoung) await rm(file, { force: true })
  return false
}

const withLock = async <T>(directory: string, deadline: number, act: () => Promise<T>): Promise<T> => {
  const file = lockFile(directory)
  while (!(await takeLock(file))) {
    if (performance.now() > deadline)
      throw new CliError(exit.timeout, `another "mcpctl up" is busy on ${directory}; if none runs, delete ${file}`)
    await pause()
  }
  try {
    return await act()
  } finally {
    await rm(file, { force: true })
  }
}

const another = 'choose another one with --data-dir'

const isRefused = (error: unknown): boolean =>
  ['EACCES', 'EPERM'].includes(String(Reflect.get(error as object, 'code')))

const notOurs = (directory: string) =>
  new CliError(exit.usage, `cannot use the data directory ${directory}: permission denied`, another)

const prepareDirectory = (directory: string): void => {
  try {
    makeDataDirectory(directory)
  } catch (error) {
    if (isRefused(error)) throw notOurs(directory)
    const text = error instanceof Error ? error.message : String(error)
    throw new CliError(exit.usage, `cannot make the data directory: ${text}`, another)
  }
}

const inDirectory = async <T>(directory: string, act: () => Promise<T>): Promise<T> => {
  prepareDirectory(directory)
  try {
    return await act()
  } catch (error) {
    throw isRefused(error) ? notOurs(directory) : error
  }
}

/** Finds the daemon of the data directory or starts it, and waits until it is ready. Several callers at once start one. */
export const ensureDaemon = async (options: StartOptions): Promise<Started> => {
  const deadline = performance.now() + options.timeoutMs
  const startOnce = async (): Promise<Started> => {
    if (await findDaemon(options.directory)) return waitUntilReady(options, deadline)
    if (!existsSync(options.daemonFile))
      throw new CliError(exit.usage, `there is no mcpd at ${options.daemonFile}`, 'build it first: npm run build')
    options.onLaunch()
    return waitUntilReady(options, deadline, await launch(options))
  }
  return inDirectory(options.directory, () => withLock(options.directory, deadline, startOnce))
}
