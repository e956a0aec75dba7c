import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { labels } from './docker-container'
import type { DockerEngine } from './docker-engine'

const firstDelayMs = 250
const longestDelayMs = 5_000

export interface EventListeners {
  /** Something happened to the container of this instance. */
  changed(instanceUid: string, containerId: string): void
  /** The engine can be heard (again): anything may have happened meanwhile. */
  connected(): void
}

/** Follows the engine's events about a store's containers for as long as it is open, across restarts of the engine. */
export class DockerEvents {
  readonly #closing = new AbortController()
  #stream: Readable | undefined
  #isRunning = false

  constructor(
    private readonly engine: DockerEngine,
    private readonly storeId: string,
    private readonly listeners: EventListeners,
  ) {}

  /** Begins to follow; doing so twice is harmless. */
  open(): void {
    if (this.#isRunning) return
    this.#isRunning = true
    void this.#follow()
  }

  close(): void {
    this.#closing.abort()
    this.#stream?.destroy()
  }

  async #follow(): Promise<void> {
    let delayMs = firstDelayMs
    while (!this.#isClosed()) {
      try {
        await this.#subscribe()
        delayMs = firstDelayMs
        this.listeners.connected()
        await this.#read()
      } catch {
        // The engine is away; whoever asks it for something is told.
      }
      await sleep(delayMs, undefined, { signal: this.#closing.signal, ref: false }).catch(() => undefined)
      delayMs = Math.min(delayMs * 2, longestDelayMs)
    }
  }

  async #subscribe(): Promise<void> {
    const filters = {
      type: ['container' as const],
      label: [`${labels.store}=${this.storeId}`],
      event: ['start', 'die', 'oom', 'destroy'],
    }
    const stream = await this.engine.call((docker) => docker.getEvents({ filters }))
    this.#stream = stream as Readable
    if (this.#isClosed()) this.#stream.destroy()
  }

  async #read(): Promise<void> {
    const stream = this.#stream
    if (!stream) return
    stream.on('error', () => undefined)
    const lines = createInterface({ input: stream })
    // A destroyed stream has no end, only a close.
    stream.once('close', () => {
      lines.close()
    })
    for await (const line of lines) {
      const { uid, id } = concerned(line)
      if (uid !== undefined && id !== undefined) this.listeners.changed(uid, id)
    }
  }

  #isClosed(): boolean {
    return this.#closing.signal.aborted
  }
}

const concerned = (line: string): { uid?: string | undefined; id?: string | undefined } => {
  try {
    const { Actor } = JSON.parse(line) as { Actor?: { ID?: string; Attributes?: Record<string, string> } }
    return { uid: Actor?.Attributes?.[labels.instance], id: Actor?.ID }
  } catch {
    return {}
  }
}
