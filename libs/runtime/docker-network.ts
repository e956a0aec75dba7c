import { labels, storeDigest } from './docker-container'
import type { DockerEngine } from './docker-engine'
import { reasonOf, statusOf } from './docker-engine'
import { RuntimeUnavailable, StartError } from './driver'
import { KeyedLock } from './keyed-lock'

/** The bridge network of a store, on which its containers reach the world but not each other. There while it is used. */
export class DockerNetwork {
  readonly name: string
  readonly #lock = new KeyedLock()
  #users = 0

  constructor(
    private readonly engine: DockerEngine,
    private readonly storeId: string,
  ) {
    this.name = `mcpctl-${storeDigest(storeId)}`
  }

  /** Does the work with the network being there; it is not removed meanwhile. Throws StartError NameConflict or RunContainerError. */
  async use<T>(work: () => Promise<T>): Promise<T> {
    this.#users++
    try {
      await this.#lock.run(this.name, () => this.#ensure())
      const result = await work()
      this.#users--
      return result
    } catch (error) {
      this.#users--
      // Whatever comes of that, the error is what counts.
      await this.release().catch(() => undefined)
      throw error
    }
  }

  /** Removes the network when none of this store's containers is left. */
  async release(): Promise<void> {
    await this.#lock.run(this.name, async () => {
      if (this.#users > 0) return
      const filters = { label: [`${labels.store}=${this.storeId}`] }
      const containers = await this.engine.call((docker) => docker.listContainers({ all: true, filters }))
      const networks = await this.engine.call((docker) => docker.listNetworks({ filters }))
      if (containers.length > 0) return
      for (const { Id } of networks)
        await this.engine.find((docker) => docker.getNetwork(Id).remove()).catch(ignoreInUse)
    })
  }

  async #ensure(): Promise<void> {
    const found = await this.engine.find(
      (docker) => docker.getNetwork(this.name).inspect() as Promise<{ Labels: Record<string, string> }>,
    )
    if (!found) return this.#create()
    if (found.Labels[labels.store] !== this.storeId)
      throw new StartError('NameConflict', `a network "${this.name}" that is not ours exists on the engine`)
  }

  async #create(): Promise<void> {
    const request = {
      Name: this.name,
      Driver: 'bridge',
      CheckDuplicate: true,
      Labels: { [labels.store]: this.storeId },
      Options: { 'com.docker.network.bridge.enable_icc': 'false' },
    }
    try {
      await this.engine.call((docker) => docker.createNetwork(request))
    } catch (error) {
      // Another daemon of this store was faster.
      if (statusOf(error) === 409) return
      if (error instanceof RuntimeUnavailable) throw error
      throw new StartError('RunContainerError', `network of the store: ${reasonOf(error)}`, { cause: error })
    }
  }
}

/** A container that was started meanwhile, by another daemon or by hand, uses it. */
const ignoreInUse = (error: unknown) => {
  if (statusOf(error) === undefined) throw error
}
