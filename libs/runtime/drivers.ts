import type { FieldError } from '@mcpctl/contracts'
import { join } from 'node:path'
import { DockerDriver } from './docker-driver'
import type { Driver, DriverName, InstanceTemplate, Unit } from './driver'
import { RuntimeUnavailable } from './driver'
import { PackageStore } from './package-store'
import { ProcessDriver } from './process-driver'
import { RemoteDriver } from './remote-driver'
import type { RuntimeLog } from './runtime-log'
import { silent } from './runtime-log'

export type DriverMode = 'auto' | 'docker' | 'process'

export interface DriversConfig {
  storeId: string
  epoch: number
  /** Private to this store; each driver keeps a directory of its own in it. */
  directory: string
  /** `unix:///…` or `tcp://host:port`; default: the engine's usual socket. */
  dockerHost?: string
  /** Image with node in which packages run when an engine answers; without one they run on driver process. */
  nodeImage?: string
  /** `auto`: as the template says, packages on docker where that can be. `docker`: packages never as processes. `process`: no new containers. */
  mode?: DriverMode
  /** Lets remote servers be on this machine, for development. */
  allowLoopback?: boolean
  logger?: RuntimeLog
}

export interface DriverStatus {
  name: DriverName
  isolated: boolean
  available: boolean
  /** Why it is not available. */
  message?: string
}

/** What all drivers have together; of a driver in `unavailable` nothing is known. */
export interface UnitList {
  units: (Unit & { driver: DriverName })[]
  unavailable: { driver: DriverName; message: string }[]
}

/** The configured drivers, and which of them runs what. */
export class Drivers {
  readonly #drivers: Map<DriverName, Driver>

  /** `packagesOn` is settled once, so that a server does not move because its engine was away for a moment. */
  constructor(
    drivers: Driver[],
    private readonly packagesOn: DriverName,
    private readonly mode: DriverMode = 'auto',
  ) {
    this.#drivers = new Map(drivers.map((driver) => [driver.name, driver]))
  }

  /** The driver for a template: url on remote, image on docker, package on docker or process. */
  choose(template: InstanceTemplate): Driver {
    if (template.url !== undefined) return this.get('remote')
    return this.get(template.image === undefined ? this.packagesOn : 'docker')
  }

  /** What a new template must not ask for here; empty when all of it can be enforced. */
  unsupported(template: InstanceTemplate): FieldError[] {
    const driver = this.choose(template)
    if (this.mode === 'process' && driver.name === 'docker')
      return [
        {
          pointer: '/spec/image',
          code: 'unsupported',
          message: 'not supported by driver process; start mcpd with --driver auto, or use a package',
        },
      ]
    return driver.unsupported(template)
  }

  /** Throws when no such driver is configured. */
  get(name: DriverName): Driver {
    const driver = this.#drivers.get(name)
    if (!driver) throw new Error(`driver ${name} is not configured`)
    return driver
  }

  /** Asks each driver whether it can work now. */
  status(): Promise<DriverStatus[]> {
    return Promise.all(
      [...this.#drivers.values()].map(async (driver): Promise<DriverStatus> => {
        const { name, isolated } = driver
        const message = await unavailability(driver.ping())
        return message === undefined
          ? { name, isolated, available: true }
          : { name, isolated, available: false, message }
      }),
    )
  }

  /** All units of this store, on all drivers or some; never throws RuntimeUnavailable. */
  async list(only?: ReadonlySet<DriverName>): Promise<UnitList> {
    const all: UnitList = { units: [], unavailable: [] }
    const asked = [...this.#drivers.values()].filter(({ name }) => only?.has(name) ?? true)
    await Promise.all(
      asked.map(async (driver) => {
        const message = await unavailability(
          driver.list().then((units) => {
            all.units.push(...units.map((unit) => ({ ...unit, driver: driver.name })))
          }),
        )
        if (message !== undefined) all.unavailable.push({ driver: driver.name, message })
      }),
    )
    return all
  }

  /** Calls back when a unit of any driver changed or may have changed. */
  onChange(listener: (instanceUid: string) => void): void {
    for (const driver of this.#drivers.values()) driver.onChange(listener)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#drivers.values()].map((driver) => driver.close()))
  }
}

const unavailability = async (work: Promise<void>): Promise<string | undefined> => {
  try {
    await work
    return undefined
  } catch (error) {
    if (error instanceof RuntimeUnavailable) return error.message
    throw error
  }
}

/** Opens every driver. Which one runs packages is settled here: docker when it is told, or when its engine answers now and there is a node image. */
export const openDrivers = async (config: DriversConfig): Promise<Drivers> => {
  const { storeId, epoch, directory, dockerHost, nodeImage, mode = 'auto', logger = silent } = config
  const packages = new PackageStore(join(directory, 'packages'), logger)
  const docker = new DockerDriver({
    storeId,
    epoch,
    directory: join(directory, 'docker'),
    packages,
    logger,
    ...(dockerHost === undefined ? {} : { dockerHost }),
    ...(nodeImage === undefined ? {} : { nodeImage }),
  })
  const local = new ProcessDriver({ storeId, directory: join(directory, 'process'), packages, logger })
  const remote = new RemoteDriver({ allowLoopback: config.allowLoopback ?? false })
  const contained = mode === 'docker' || (mode === 'auto' && nodeImage !== undefined && (await answers(docker)))
  return new Drivers([docker, local, remote], contained ? 'docker' : 'process', mode)
}

const answers = async (driver: Driver): Promise<boolean> => (await unavailability(driver.ping())) === undefined
