import type { FieldError } from '@mcpctl/contracts'
import { mkdirSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { delimiter, dirname, join } from 'node:path'
import { storeDigest } from './docker-container'
import type {
  Connection,
  Driver,
  InstanceInputs,
  InstanceOrder,
  InstanceTemplate,
  LogLine,
  LogOptions,
  Unit,
} from './driver'
import { RuntimeUnavailable, StartError } from './driver'
import { legacyTransport, notSupported, reservedEnv } from './fields'
import { InstanceLogs } from './instance-logs'
import { KeyedLock } from './keyed-lock'
import { PackageStore } from './package-store'
import { ProcessRecords } from './process-records'
import type { ProcessLaunch } from './process-unit'
import { ProcessUnit } from './process-unit'
import { SecretDirectories } from './secret-directories'
import type { RuntimeLog } from './runtime-log'
import { silent } from './runtime-log'

const reapEveryMs = 30_000
const sweepEveryMs = 10 * 60_000
const closeGraceSeconds = 5
/** Stands for the instance's own directory. */
const secretRoot = '/run/secrets/'

export interface ProcessDriverOptions {
  storeId: string
  /** Private to this store: packages, logs, process records and the units' own directories lie in it. */
  directory: string
  packages?: PackageStore
  logger?: RuntimeLog
}

/**
 * Runs npm packages as child processes of this daemon, with its user's rights: not isolated.
 * They end with the driver; what a killed daemon left is ended before anything else starts.
 * A process with transport `http` gets a free loopback port in the environment variable PORT, a port of its own for each copy; a template that wants
 * a certain one is refused.
 */
export class ProcessDriver implements Driver {
  readonly name = 'process'
  readonly isolated = false
  readonly #units = new Map<string, ProcessUnit>()
  readonly #locks = new KeyedLock()
  readonly #listeners = new Set<(instanceUid: string) => void>()
  readonly #logs: InstanceLogs
  readonly #records: ProcessRecords
  readonly #packages: PackageStore
  readonly #secrets: SecretDirectories
  readonly #log: RuntimeLog
  #reaped: { at: number; done: Promise<void> } | undefined
  #sweptAt = 0
  #isClosed = false

  constructor(private readonly options: ProcessDriverOptions) {
    const { directory, storeId } = options
    this.#log = options.logger ?? silent
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#logs = new InstanceLogs(join(directory, 'logs'), this.#log)
    this.#records = new ProcessRecords(join(directory, 'run'), storeId)
    this.#secrets = new SecretDirectories(`${storeDigest(storeId)}-process`, join(directory, 'secrets'))
    this.#packages = options.packages ?? new PackageStore(join(directory, 'packages'), this.#log)
  }

  unsupported(template: InstanceTemplate): FieldError[] {
    const port = 'each copy gets a free port in the environment variable PORT; leave port out'
    const refuse = (isWanted: boolean, pointer: string, hint?: string) =>
      isWanted ? [notSupported(pointer, this.name, hint)] : []
    return [
      ...refuse(template.image !== undefined, '/spec/image', 'images need a container engine'),
      ...refuse(template.url !== undefined, '/spec/url'),
      ...refuse(template.port !== undefined, '/spec/port', port),
      ...refuse(template.resources !== undefined, '/spec/resources'),
      ...refuse(template.network !== undefined, '/spec/network'),
      ...legacyTransport(template, this.name),
      ...reservedEnv(template, this.name),
      ...(template.secretFiles ?? []).flatMap(({ path }, index) =>
        refuse(
          !path.startsWith(secretRoot),
          `/spec/secretFiles/${String(index)}/path`,
          'a process has no file system of its own; leave path out, and read the file that the variable names',
        ),
      ),
      ...template.env.flatMap(({ name }, index) =>
        refuse(template.transport === 'http' && name === 'PORT', `/spec/env/${String(index)}/name`, port),
      ),
      ...(template.secretFiles ?? []).flatMap(({ env }, index) =>
        refuse(template.transport === 'http' && env === 'PORT', `/spec/secretFiles/${String(index)}/env`, port),
      ),
    ]
  }

  async ping(): Promise<void> {
    await this.#ready()
  }

  async prepare({ package: name }: InstanceTemplate): Promise<void> {
    if (name !== undefined) await this.#packages.install(name)
  }

  async start(order: InstanceOrder): Promise<Unit> {
    await this.#ready()
    return this.#locks.run(order.uid, async () => {
      const found = this.#units.get(order.uid)
      if (found?.isRunning) return found.describe()
      return (await this.#launch(order)).describe()
    })
  }

  async list(): Promise<Unit[]> {
    await this.#ready()
    await this.#sweepLogs()
    return [...this.#units.values()].map((unit) => unit.describe())
  }

  async stop(instanceUid: string, graceSeconds: number): Promise<void> {
    await this.#ready()
    await this.#locks.run(instanceUid, () => this.#end(instanceUid, graceSeconds))
  }

  async connect(instanceUid: string): Promise<Connection> {
    await this.#ready()
    const unit = this.#units.get(instanceUid)
    if (!unit) throw new Error(`instance ${instanceUid} does not run here`)
    return { ...unit.connect(), redact: this.#logs.redactor(instanceUid) }
  }

  logs(instanceUid: string, options: LogOptions): AsyncIterable<LogLine> {
    return this.#logs.read(instanceUid, options)
  }

  onChange(listener: (instanceUid: string) => void): void {
    this.#listeners.add(listener)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const stopped = [...this.#units.keys()].map((uid) => this.#locks.run(uid, () => this.#end(uid, closeGraceSeconds)))
    await Promise.all(stopped)
    await this.#packages.close()
    await this.#secrets.close()
    this.#logs.close()
  }

  /** Nothing starts beside what an earlier daemon may have left; looked after again from time to time, as other daemons may die. */
  async #ready(): Promise<void> {
    if (this.#isClosed) throw new RuntimeUnavailable('the process driver is closed')
    const now = performance.now()
    if (!this.#reaped || now - this.#reaped.at > reapEveryMs) {
      this.#reaped = { at: now, done: this.#reap() }
      // Tried again by the next caller.
      this.#reaped.done.catch(() => (this.#reaped = undefined))
    }
    await this.#reaped.done
  }

  async #reap(): Promise<void> {
    for (const uid of await this.#records.reap()) {
      this.#log.warn({ instance: uid }, 'ended a process that an earlier daemon left')
      if (!this.#units.has(uid)) await this.#removeDirectory(uid)
    }
    await this.#secrets.sweep(new Set())
  }

  async #sweepLogs(): Promise<void> {
    const now = performance.now()
    if (this.#sweptAt !== 0 && now - this.#sweptAt < sweepEveryMs) return
    this.#sweptAt = now
    await this.#logs.sweep(new Set(this.#units.keys()))
  }

  async #launch(order: InstanceOrder): Promise<ProcessUnit> {
    const { template, uid } = order
    if (template.package === undefined) throw new StartError('CreateConfigError', 'driver process runs packages only')
    const installed = await this.#packages.install(template.package)
    const bin = await this.#packages.bin(installed, template.command)
    const program = join(installed.directory, bin.path)
    const [file, first] = bin.isScript ? [process.execPath, [program]] : [program, []]
    const directory = join(this.options.directory, 'work', uid)
    await mkdir(join(directory, 'tmp'), { recursive: true, mode: 0o700 })
    const port = template.transport === 'http' ? await freePort() : undefined
    const args = [...first, ...template.command.slice(1), ...template.args]
    const unit = await this.#spawn(order, { order, file, args, directory, port }).catch(async (error: unknown) => {
      await this.#secrets.remove(ownKey(uid))
      throw error
    })
    await this.#records.write(uid, unit.pid)
    this.#changed(uid)
    return unit
  }

  /** Where it throws, files of secrets may be left. */
  async #spawn({ uid, inputs }: InstanceOrder, launch: Omit<ProcessLaunch, 'env'>): Promise<ProcessUnit> {
    const { directory, port } = launch
    const given = [...inputs.env, ...(await this.#placeFiles(uid, inputs.files))]
    const env = { ...envFor(given, directory, port), ...(await this.#records.marksFor(uid)) }
    if (this.#isClosed) throw new RuntimeUnavailable('the process driver is closed')
    const unit = new ProcessUnit({ ...launch, env }, this.#logs.open(uid, 'next-run', inputs.secrets), () => {
      this.#changed(uid)
    })
    // Known before anything is awaited, so that closing the driver ends it too.
    this.#units.set(uid, unit)
    await unit.spawned.catch((error: unknown) => {
      this.#units.delete(uid)
      throw error
    })
    return unit
  }

  async #end(uid: string, graceSeconds: number): Promise<void> {
    await this.#units.get(uid)?.stop(graceSeconds)
    await this.#records.endStragglers(uid)
    await this.#records.remove(uid)
    await this.#secrets.remove(ownKey(uid))
    await this.#removeDirectory(uid)
    if (this.#units.delete(uid)) this.#changed(uid)
  }

  /** Answers with the variables that tell the paths. */
  async #placeFiles(uid: string, files: InstanceInputs['files']): Promise<{ name: string; value: string }[]> {
    if (files.length === 0) return []
    const placed = files.map(({ path, env, content }) => ({ at: path.slice(secretRoot.length), env, content }))
    const directory = await this.#secrets.write(ownKey(uid), placed)
    return placed.map(({ at, env }) => ({ name: env, value: join(directory, at) }))
  }

  async #removeDirectory(uid: string): Promise<void> {
    await rm(join(this.options.directory, 'work', uid), { recursive: true, force: true, maxRetries: 3 })
  }

  #changed(uid: string): void {
    for (const listener of this.#listeners) listener(uid)
  }
}

/** Another daemon on this host may run its own copy, whose files are not ours to replace. */
const ownKey = (instanceUid: string) => `${instanceUid}.${String(process.pid)}`

/** The daemon's own environment holds secrets: nothing of it is passed on. */
const envFor = (
  env: { name: string; value: string }[],
  directory: string,
  port: number | undefined,
): Record<string, string> => ({
  PATH: [dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter),
  HOME: directory,
  TMPDIR: join(directory, 'tmp'),
  LANG: 'C.UTF-8',
  // Many servers listen on every address unless they are told otherwise.
  ...(port === undefined ? {} : { HOST: '127.0.0.1' }),
  ...Object.fromEntries(env.map(({ name, value }) => [name, value])),
  ...(port === undefined ? {} : { PORT: String(port) }),
})

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => {
        resolve(typeof address === 'object' && address ? address.port : 0)
      })
    })
  })
