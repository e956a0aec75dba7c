import type { FieldError } from '@mcpctl/contracts'
import type Docker from 'dockerode'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import pLimit from 'p-limit'
import { DockerAttachments } from './docker-attachments'
import type { ContainerPlan } from './docker-container'
import { containerName, isMcpOnStdio, labels, storeDigest, unitOf } from './docker-container'
import { DockerEngine, reasonOf, statusOf } from './docker-engine'
import { DockerEvents } from './docker-events'
import { unsupportedByDocker } from './docker-fields'
import { DockerImages, packageRoot } from './docker-images'
import { DockerNetwork } from './docker-network'
import { DockerSecrets } from './docker-secrets'
import { DockerUnits } from './docker-units'
import type { Connection, Driver, InstanceOrder, InstanceTemplate, LogLine, LogOptions, Unit } from './driver'
import { RuntimeUnavailable, StartError } from './driver'
import { InstanceLogs } from './instance-logs'
import { KeyedLock } from './keyed-lock'
import { PackageStore } from './package-store'
import type { RuntimeLog } from './runtime-log'
import { silent } from './runtime-log'
import { SecretDirectories } from './secret-directories'

const startsAtOnce = 8
const engineMs = 30_000
const sweepEveryMs = 10 * 60_000

type Container = Docker.ContainerInspectInfo

export interface DockerDriverOptions {
  storeId: string
  epoch: number
  /** Private to this store: logs lie in it, and packages unless they are given. */
  directory: string
  /** `unix:///…` or `tcp://host:port`; default: the engine's usual socket. */
  dockerHost?: string
  /** Image with node in which packages run; without one they are refused. */
  nodeImage?: string
  packages?: PackageStore
  logger?: RuntimeLog
}

/**
 * Runs images, and packages in an image made of a node image and the package, as hardened containers of a Docker Engine.
 * Containers outlive the driver: the next one of the same store finds them by their labels and goes on with the same session.
 */
export class DockerDriver implements Driver {
  readonly name = 'docker'
  readonly isolated = true
  readonly #engine: DockerEngine
  readonly #images: DockerImages
  readonly #network: DockerNetwork
  readonly #events: DockerEvents
  readonly #units: DockerUnits
  readonly #packages: PackageStore
  readonly #logs: InstanceLogs
  readonly #secrets: DockerSecrets
  readonly #attachments: DockerAttachments
  readonly #locks = new KeyedLock()
  readonly #slots = pLimit(startsAtOnce)
  readonly #listeners = new Set<(instanceUid: string) => void>()
  #sweptAt = 0
  #isClosed = false

  constructor(private readonly options: DockerDriverOptions) {
    const { directory, storeId, dockerHost, logger = silent } = options
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#engine = new DockerEngine(dockerHost)
    this.#images = new DockerImages(this.#engine, logger)
    this.#network = new DockerNetwork(this.#engine, storeId)
    this.#units = new DockerUnits(this.#engine, storeId)
    this.#packages = options.packages ?? new PackageStore(join(directory, 'packages'), logger)
    this.#logs = new InstanceLogs(join(directory, 'logs'), logger)
    const places = new SecretDirectories(`${storeDigest(storeId)}-docker`, join(directory, 'secrets'))
    this.#secrets = new DockerSecrets(this.#engine, places)
    this.#attachments = new DockerAttachments(this.#engine, this.#logs, this.#secrets)
    this.#events = new DockerEvents(this.#engine, storeId, {
      changed: (uid, containerId) => {
        this.#units.doubt(containerId)
        this.#changed(uid)
      },
      connected: () => void this.#reconnect(),
    })
  }

  unsupported(template: InstanceTemplate): FieldError[] {
    const { nodeImage } = this.options
    return unsupportedByDocker(template, {
      isLocalLinux: this.#engine.isLocalLinux,
      runsPackages: nodeImage !== undefined,
    })
  }

  async ping(): Promise<void> {
    this.#assertOpen()
    await this.#engine.ping()
  }

  async prepare(template: InstanceTemplate): Promise<void> {
    await this.#imageFor(template)
  }

  async start(order: InstanceOrder): Promise<Unit> {
    this.#assertOpen()
    this.#events.open()
    return this.#locks.run(order.uid, async () => {
      const found = await this.#find(order.uid)
      if (found && !isOurs(found, this.options.storeId, order.uid))
        throw new StartError(
          'NameConflict',
          `a container "${containerName(this.options.storeId, order.uid)}" that is not ours exists`,
        )
      if (found?.State.Running) {
        await this.#attachments.of(found)
        return unitOf(found)
      }
      // One with values of secrets is made anew: its files may have gone with this host's memory.
      if (found?.State.Status === 'created' && order.inputs.secrets.length === 0) return this.#launch(found.Id, order)
      if (found) await this.#units.remove(found.Id)
      return this.#launch(undefined, order)
    })
  }

  async list(): Promise<Unit[]> {
    this.#assertOpen()
    this.#events.open()
    const units = await this.#units.list()
    for (const unit of units) if (unit.state === 'running') void this.#adopt(unit.instanceUid)
    await this.#sweepLogs(units)
    return units
  }

  /** An engine cannot end the input of a container that others may attach to later, so SIGTERM comes first with stdio as well. */
  async stop(instanceUid: string, graceSeconds: number): Promise<void> {
    this.#assertOpen()
    await this.#locks.run(instanceUid, async () => {
      const found = await this.#find(instanceUid)
      if (found && isOurs(found, this.options.storeId, instanceUid)) {
        await this.#units.stop(found.Id, graceSeconds)
        await this.#units.remove(found.Id)
        this.#changed(instanceUid)
      }
      this.#attachments.drop(instanceUid)
      await this.#secrets.remove(instanceUid)
      await this.#network.release()
    })
  }

  async connect(instanceUid: string): Promise<Connection> {
    this.#assertOpen()
    return this.#locks.run(instanceUid, async () => {
      const found = await this.#find(instanceUid)
      if (!found?.State.Running || !isOurs(found, this.options.storeId, instanceUid))
        throw new Error(`instance ${instanceUid} does not run here`)
      const attachment = await this.#attachments.of(found)
      const way = isMcpOnStdio(found) ? attachment.stdio.connect() : this.#httpConnection(found)
      return { ...way, redact: this.#logs.redactor(instanceUid) }
    })
  }

  logs(instanceUid: string, options: LogOptions): AsyncIterable<LogLine> {
    return this.#logs.read(instanceUid, options)
  }

  onChange(listener: (instanceUid: string) => void): void {
    this.#listeners.add(listener)
    this.#events.open()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#events.close()
    this.#attachments.close()
    this.#logs.close()
    await this.#packages.close()
    await this.#secrets.close()
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new RuntimeUnavailable('the docker driver is closed')
  }

  #find(instanceUid: string): Promise<Container | undefined> {
    const name = containerName(this.options.storeId, instanceUid)
    return this.#engine.find((docker) => docker.getContainer(name).inspect())
  }

  async #launch(created: string | undefined, order: InstanceOrder): Promise<Unit> {
    const image = created === undefined ? await this.#imageFor(order.template) : undefined
    const isIsolated = order.template.network?.mode === 'none'
    const network = isIsolated ? 'none' : this.#network.name
    const run = () =>
      this.#slots(async () => {
        const id = image ? await this.#create(order, { network, ...image }) : created
        return this.#run(id ?? '', order)
      })
    return isIsolated ? run() : this.#network.use(run)
  }

  /** Answers with the id of a container that can be started; where it throws, nothing of it is left. */
  async #create(
    order: InstanceOrder,
    plan: Pick<ContainerPlan, 'network' | 'image' | 'facts' | 'entrypoint' | 'args'>,
  ): Promise<string> {
    const { storeId, epoch } = this.options
    const { uid, inputs } = order
    let id: string | undefined
    try {
      const mounts = await this.#secrets.place(uid, inputs.files)
      id = await this.#units.create({ storeId, epoch, order, mounts, ...plan })
      if (mounts.length > 0) await this.#secrets.give(uid, id, plan.facts)
      return id
    } catch (error) {
      await this.#secrets.remove(uid)
      if (id !== undefined) await this.#units.remove(id)
      throw error
    }
  }

  async #run(containerId: string, { uid, template, inputs }: InstanceOrder): Promise<Unit> {
    try {
      const isMcp = template.transport === 'stdio'
      await this.#attachments.open(uid, containerId, { isMcp, mode: 'next-run', secrets: inputs.secrets })
      await this.#engine.call((docker) => docker.getContainer(containerId).start(), engineMs)
    } catch (error) {
      if (statusOf(error) === undefined) throw error
      this.#attachments.drop(uid)
      await this.#units.remove(containerId)
      await this.#secrets.remove(uid)
      throw new StartError('RunContainerError', reasonOf(error), { cause: error })
    }
    this.#changed(uid)
    return unitOf(await this.#engine.call((docker) => docker.getContainer(containerId).inspect()))
  }

  async #imageFor(template: InstanceTemplate): Promise<Pick<ContainerPlan, 'image' | 'facts' | 'entrypoint' | 'args'>> {
    const { command, args } = template
    if (template.image !== undefined) {
      const facts = await this.#images.ensure(template.image)
      return { image: template.image, facts, entrypoint: command, args }
    }
    if (template.package === undefined || this.options.nodeImage === undefined)
      throw new StartError('CreateConfigError', 'driver docker needs an image, or a package and a node image')
    const installed = await this.#packages.install(template.package)
    const bin = await this.#packages.bin(installed, command)
    const { name, facts } = await this.#images.ensurePackage(installed, this.options.nodeImage)
    const program = `${packageRoot}/node_modules/${installed.name}/${bin.path.replace(/^\.\//, '')}`
    const entrypoint = [...(bin.isScript ? ['node'] : []), program, ...command.slice(1)]
    return { image: name, facts, entrypoint, args }
  }

  /** Takes up the streams of a container that another driver has started, so that its output is read and its log kept. */
  async #adopt(uid: string): Promise<void> {
    if (this.#attachments.isOpen(uid)) return
    await this.#locks
      .run(uid, async () => {
        const found = this.#isClosed ? undefined : await this.#find(uid)
        if (found?.State.Running) await this.#attachments.of(found)
      })
      // Gone again, or the engine is: the next list shows it.
      .catch(() => undefined)
  }

  #httpConnection({ NetworkSettings, Config }: Container): Connection {
    const address = NetworkSettings.Networks[this.#network.name]?.IPAddress ?? ''
    if (address === '') throw new Error('the container has no address')
    const [port = '', path = ''] = [Config.Labels[labels.port], Config.Labels[labels.path]]
    return { transport: 'http', url: `http://${address}:${port}${path}` }
  }

  async #reconnect(): Promise<void> {
    const known = new Set(this.#attachments.uids())
    const units = await this.list().catch(() => [])
    for (const { instanceUid } of units) known.add(instanceUid)
    for (const uid of known) this.#changed(uid)
  }

  async #sweepLogs(units: Unit[]): Promise<void> {
    const now = performance.now()
    if (this.#sweptAt !== 0 && now - this.#sweptAt < sweepEveryMs) return
    this.#sweptAt = now
    const known = new Set(units.map((unit) => unit.instanceUid))
    await this.#logs.sweep(known)
    await this.#secrets.sweep(known)
  }

  #changed(uid: string): void {
    for (const listener of this.#listeners) listener(uid)
  }
}

const isOurs = ({ Config }: Container, storeId: string, uid: string) =>
  Config.Labels[labels.store] === storeId && Config.Labels[labels.instance] === uid
