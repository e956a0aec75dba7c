import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, openSync, closeSync, readFileSync, symlinkSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, findConfig } from '@mcpctl/client'
import { createClient } from '@mcpctl/postgres'
import { findByEnv } from '@mcpctl/runtime/process-table'
import type pg from 'pg'
import { execute, program, until, type Answer } from './binaries'

export interface SandboxOptions {
  /** Absent: the embedded PostgreSQL. */
  databaseUrl?: string
  driver?: 'process' | 'docker' | 'auto'
  /** False: installs packages anew; else sandboxes of all runs share what was installed once. */
  sharedPackages?: boolean
  env?: Record<string, string>
}

const cleaned = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(MCPD_|MCPCTL_|DATABASE_URL|NODE_OPTIONS|FORCE_COLOR|CLICOLOR|JEST)/.test(name),
    ),
  )

/** A home for one daemon and its users: data, configuration, environment. `remove` ends all that runs in it. */
export class Sandbox {
  readonly data: string
  readonly config: string
  readonly env: NodeJS.ProcessEnv
  daemon: ChildProcess | undefined
  private readonly open: { close(): unknown }[] = []
  private readonly logFile: string

  private constructor(
    readonly directory: string,
    private readonly options: SandboxOptions,
  ) {
    this.data = join(directory, 'data')
    this.config = join(directory, 'config.json')
    this.logFile = join(directory, 'daemon.log')
    this.env = {
      ...cleaned(),
      MCPCTL_CONFIG: this.config,
      MCPD_DATA_DIR: this.data,
      MCPD_PORT: '0',
      MCPD_DRIVER: options.driver ?? 'process',
      MCPD_WRITE_CONTEXT: this.config,
      // A test asks as fast as it can.
      MCPD_REQUEST_RATE: '0',
      MCPD_CALL_RATE: '0',
      ...(options.databaseUrl !== undefined && { DATABASE_URL: options.databaseUrl }),
      ...options.env,
    }
  }

  static async create(options: SandboxOptions = {}): Promise<Sandbox> {
    const directory = await mkdtemp(join(tmpdir(), 'mcpctl-acceptance-'))
    const sandbox = new Sandbox(directory, options)
    // A user without rights, as which PostgreSQL runs under root, must be able to pass.
    await mkdir(sandbox.data)
    for (const each of [directory, sandbox.data]) await chmod(each, 0o711)
    if (options.sharedPackages !== false) sandbox.sharePackages()
    return sandbox
  }

  private sharePackages(): void {
    const shared = join(process.cwd(), '.cache', 'acceptance-packages')
    mkdirSync(shared, { recursive: true })
    mkdirSync(join(this.data, 'instances'), { recursive: true, mode: 0o700 })
    symlinkSync(shared, join(this.data, 'instances', 'packages'))
  }

  mcpctl(...args: string[]): Promise<Answer> {
    return this.type('', ...args)
  }

  /** With something on standard input. */
  type(input: string, ...args: string[]): Promise<Answer> {
    return execute(process.execPath, [program('mcpctl'), ...args], { env: this.env, cwd: this.directory, input })
  }

  /** What it printed; throws with its errors when it failed. */
  async must(...args: string[]): Promise<string> {
    const { code, out, err } = await this.mcpctl(...args)
    if (code !== 0) throw new Error(`mcpctl ${args.join(' ')} ended with ${code}: ${err}`)
    return out
  }

  /** Starts mcpd and waits until it is ready. */
  async start(): Promise<ChildProcess> {
    await this.launch()
    await this.ready()
    return this.daemon!
  }

  /** Starts mcpd without waiting for it. */
  async launch(): Promise<ChildProcess> {
    const log = openSync(this.logFile, 'a')
    this.daemon = spawn(process.execPath, [program('mcpd')], { env: this.env, stdio: ['ignore', log, log] })
    closeSync(log)
    await once(this.daemon, 'spawn')
    return this.daemon
  }

  async ready(within = 60_000): Promise<void> {
    const { daemon } = this
    await until(
      'mcpd is ready',
      async () => {
        if (daemon?.exitCode != null) return 'ended'
        const file = join(this.data, 'mcpd.json')
        if (!existsSync(file)) return false
        const { pid, address } = JSON.parse(readFileSync(file, 'utf8')) as { pid: number; address: string }
        if (pid !== daemon?.pid || this.context().server !== address) return false
        return (await fetch(`${address}/readyz`, { signal: AbortSignal.timeout(2_000) })).ok
      },
      within,
    )
    if (daemon?.exitCode != null) throw new Error(`mcpd ended while starting:\n${await this.log()}`)
  }

  log(): Promise<string> {
    return readFile(this.logFile, 'utf8')
  }

  /** Sends the signal and waits until the daemon is gone. Answers its exit code. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const { daemon } = this
    if (!daemon || daemon.exitCode !== null || daemon.signalCode !== null) return daemon?.exitCode ?? null
    const exited = once(daemon, 'exit')
    daemon.kill(signal)
    await exited
    return daemon.exitCode
  }

  context(): { server: string; token: string } {
    const { contexts, currentContext = '' } = findConfig(this.config) ?? { contexts: {} }
    const found = contexts[currentContext]
    if (!found) throw new Error('there is no context yet')
    return found
  }

  /** The API of the daemon where it listens now. */
  api(timeoutMs = 20_000): Client {
    const client = new Client({ ...this.context(), timeoutMs })
    this.onRemove(client)
    return client
  }

  /** Closed at the latest when the sandbox is removed; closing twice must do no harm. */
  onRemove(closable: { close(): unknown }): void {
    this.open.push(closable)
  }

  /** A connection to the embedded database, as its owner. */
  async database(): Promise<pg.Client> {
    const client = await createClient(await this.databaseUrl(), { applicationName: 'acceptance' })
    return client
  }

  async databaseUrl(): Promise<string> {
    if (this.options.databaseUrl !== undefined) return this.options.databaseUrl
    const postgres = join(this.data, 'postgres')
    const password = (await readFile(join(postgres, 'password'), 'utf8')).trim()
    const [, , , port] = (await readFile(join(postgres, 'pgdata', 'postmaster.pid'), 'utf8')).split('\n')
    return `postgres://mcpctl:${password}@127.0.0.1:${port}/mcpctl`
  }

  async postmaster(): Promise<number> {
    const [pid] = (await readFile(join(this.data, 'postgres', 'pgdata', 'postmaster.pid'), 'utf8')).split('\n')
    return Number(pid)
  }

  /** Files in which the process driver remembers what it runs. */
  async runRecords(): Promise<string[]> {
    const files = await readdir(join(this.data, 'instances', 'process', 'run'))
    return files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length))
  }

  /** Living processes of instances of a store, by instance uid. */
  static async processes(storeId: string): Promise<Map<string, number[]>> {
    const found = new Map<string, number[]>()
    for (const { pid, env } of await findByEnv({ MCPCTL_STORE: storeId })) {
      const uid = env.get('MCPCTL_INSTANCE') ?? ''
      found.set(uid, [...(found.get(uid) ?? []), pid])
    }
    return found
  }

  /** Ends the daemon in order and removes everything. Throws when any process outlived that, after ending it too. */
  async remove(): Promise<void> {
    await Promise.allSettled(this.open.map((each) => each.close()))
    const { daemon } = this
    daemon?.kill('SIGCONT')
    const slow = setTimeout(() => daemon?.kill('SIGKILL'), 30_000)
    await this.end()
    clearTimeout(slow)
    const left = await until('', async () => ((await this.running()).length === 0 ? [] : undefined), 20_000).catch(() =>
      this.running(),
    )
    for (const { pid } of left) process.kill(pid, 'SIGKILL')
    const log = left.length > 0 ? await this.log().catch(() => '') : ''
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 })
    if (left.length > 0)
      throw new Error(`left running: ${left.map(({ text }) => text).join('; ')}\n${log.slice(-4_000)}`)
  }

  /** Every process that has this sandbox in its command line or environment. */
  async running(): Promise<{ pid: number; text: string }[]> {
    const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name)).map(Number)
    const found: { pid: number; text: string }[] = []
    for (const pid of pids.filter((each) => each !== process.pid)) {
      const [line, env] = await Promise.all(
        ['cmdline', 'environ'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')),
      )
      if (`${line}\0${env}`.includes(this.directory)) found.push({ pid, text: `${pid} ${line?.replaceAll('\0', ' ')}` })
    }
    return found
  }

  /** A directory of its own for files of a test. */
  async folder(name: string): Promise<string> {
    const path = join(this.directory, name)
    await mkdir(path, { recursive: true })
    return path
  }
}
