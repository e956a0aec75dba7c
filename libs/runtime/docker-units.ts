import type Docker from 'dockerode'
import type { ContainerPlan } from './docker-container'
import { containerRequest, labels, unitOf } from './docker-container'
import type { DockerEngine } from './docker-engine'
import { reasonOf, statusOf } from './docker-engine'
import { checkProgram } from './docker-program'
import type { Unit } from './driver'
import { RuntimeUnavailable, StartError } from './driver'

const engineMs = 30_000
/** A list is asked for all the time; an engine that takes longer counts as away. */
const listMs = 5_000
const removalMs = 30_000

/** The containers of a store. */
export class DockerUnits {
  /** A container is started once in its life, so what was seen stays true for as long as its state does. */
  readonly #seen = new Map<string, { state: string; unit: Unit }>()

  readonly #doubted = new Set<string>()

  constructor(
    private readonly engine: DockerEngine,
    private readonly storeId: string,
  ) {}

  /** The engine tells of an end before its list does: what the list says of this container is checked until the two agree. */
  doubt(containerId: string): void {
    this.#doubted.add(containerId)
  }

  async list(): Promise<Unit[]> {
    const filters = { label: [`${labels.store}=${this.storeId}`] }
    const found = await this.engine.call((docker) => docker.listContainers({ all: true, filters }), listMs)
    for (const id of this.#seen.keys()) if (!found.some(({ Id }) => Id === id)) this.#seen.delete(id)
    const units = await Promise.all(found.filter(({ State }) => State !== 'removing').map((each) => this.#look(each)))
    return units.filter((unit) => unit !== undefined)
  }

  /** Answers with the id of a container that can be started. Throws StartError, and then has left none. */
  async create(plan: ContainerPlan): Promise<string> {
    const id = await this.#create(containerRequest(plan))
    const [program] = plan.order.template.image === undefined ? [] : plan.entrypoint
    try {
      if (program !== undefined) await checkProgram(this.engine, id, { program, facts: plan.facts })
    } catch (error) {
      if (error instanceof StartError) await this.remove(id)
      throw error
    }
    return id
  }

  /** SIGTERM, then SIGKILL after the grace; waits. Stopping one that is gone succeeds. */
  async stop(containerId: string, graceSeconds: number): Promise<void> {
    const timeoutMs = graceSeconds * 1000 + engineMs
    try {
      await this.engine.call(
        (docker) => docker.getContainer(containerId).stop({ t: Math.ceil(graceSeconds) }),
        timeoutMs,
      )
    } catch (error) {
      if (!isOneOf(statusOf(error), [304, 404, 409])) throw error
    }
  }

  /** Resolves when the container and its anonymous volumes are gone. */
  async remove(containerId: string): Promise<void> {
    this.#seen.delete(containerId)
    this.#doubted.delete(containerId)
    try {
      await this.engine.call((docker) => docker.getContainer(containerId).remove({ force: true, v: true }), removalMs)
    } catch (error) {
      // Somebody else is at it: wait for the end of that.
      if (statusOf(error) === 409) await this.#removed(containerId)
      else if (statusOf(error) !== 404) throw error
    }
  }

  async #create(request: Docker.ContainerCreateOptions): Promise<string> {
    try {
      return (await this.engine.call((docker) => docker.createContainer(request))).id
    } catch (error) {
      if (error instanceof RuntimeUnavailable) throw error
      const reasons = { 400: 'CreateConfigError', 404: 'ImageNotFound', 409: 'NameConflict' } as const
      const status = statusOf(error) as keyof typeof reasons | undefined
      throw new StartError((status && reasons[status]) ?? 'RunContainerError', reasonOf(error), { cause: error })
    }
  }

  async #removed(containerId: string): Promise<void> {
    await this.engine
      .call((docker) => docker.getContainer(containerId).wait({ condition: 'removed' }), removalMs)
      .catch((error: unknown) => {
        if (statusOf(error) !== 404) throw error
      })
  }

  async #look({ Id, State }: Docker.ContainerInfo): Promise<Unit | undefined> {
    const seen = this.#seen.get(Id)
    if (seen?.state === State && !this.#doubted.has(Id)) return seen.unit
    const container = await this.engine.find((docker) => docker.getContainer(Id).inspect())
    if (!container) return undefined
    const unit = unitOf(container)
    if (container.State.Status === State) this.#doubted.delete(Id)
    // Only what the inspection agrees with is kept: the state may have changed between the two answers.
    if (container.State.Status === State && unit.state !== 'created') this.#seen.set(Id, { state: State, unit })
    return unit
  }
}

const isOneOf = (status: number | undefined, expected: number[]) => status !== undefined && expected.includes(status)
