import type { FieldError } from '@mcpctl/contracts'
import type { Connection, Driver, InstanceOrder, InstanceTemplate, LogLine, Unit } from './driver'
import { StartError } from './driver'
import { notSupported } from './fields'
import type { RemotePolicy } from './remote-url'
import { BlockedAddress, checkRemoteHost, checkRemoteUrl, guardedLookup } from './remote-url'

interface RemoteUnit {
  unit: Unit
  url: string
}

/**
 * Servers that somebody else runs: an instance is a URL that is talked to, nothing is started. Units are remembered in memory only.
 * Addresses that are not public are refused when the template is checked, at the start and on connecting.
 */
export class RemoteDriver implements Driver {
  readonly name = 'remote'
  readonly isolated = true
  readonly #units = new Map<string, RemoteUnit>()
  readonly #listeners = new Set<(instanceUid: string) => void>()

  constructor(private readonly policy: RemotePolicy) {}

  unsupported(template: InstanceTemplate): FieldError[] {
    const refuse = (isWanted: boolean, pointer: string, hint?: string) =>
      isWanted ? [notSupported(pointer, this.name, hint)] : []
    return [
      ...refuse(template.transport !== 'http', '/spec/transport', 'use http'),
      ...refuse(template.port !== undefined, '/spec/port', 'the url holds it'),
      ...refuse(template.path !== undefined, '/spec/path', 'the url holds it'),
      ...refuse(template.command.length > 0, '/spec/command'),
      ...refuse(template.args.length > 0, '/spec/args'),
      ...refuse(template.env.length > 0, '/spec/env'),
      ...refuse((template.secretFiles ?? []).length > 0, '/spec/secretFiles'),
      ...refuse(template.resources !== undefined, '/spec/resources'),
      ...refuse(template.network !== undefined, '/spec/network'),
      ...checkRemoteUrl(template.url ?? '', this.policy),
    ]
  }

  async ping(): Promise<void> {
    // There is no engine that could be away.
  }

  prepare(): Promise<void> {
    return Promise.resolve()
  }

  async start({ uid, serverUid, templateHash, template }: InstanceOrder): Promise<Unit> {
    const found = this.#units.get(uid)
    if (found) return found.unit
    const url = template.url ?? ''
    const [wrong] = checkRemoteUrl(url, this.policy)
    if (wrong) throw new StartError('CreateConfigError', `url ${wrong.message}`)
    await this.#checkHost(url)
    const unit: Unit = {
      instanceUid: uid,
      serverUid,
      templateHash,
      handle: new URL(url).host,
      state: 'running',
      startedAt: new Date().toISOString(),
    }
    this.#units.set(uid, { unit, url })
    this.#changed(uid)
    return unit
  }

  list(): Promise<Unit[]> {
    return Promise.resolve([...this.#units.values()].map(({ unit }) => unit))
  }

  stop(instanceUid: string): Promise<void> {
    if (this.#units.delete(instanceUid)) this.#changed(instanceUid)
    return Promise.resolve()
  }

  connect(instanceUid: string): Promise<Connection> {
    const found = this.#units.get(instanceUid)
    if (!found) return Promise.reject(new Error(`instance ${instanceUid} does not run here`))
    return Promise.resolve({ transport: 'http', url: found.url, lookup: guardedLookup(this.policy) })
  }

  /** Nobody but its owner sees a remote server's log: there are no lines. */
  async *logs(): AsyncGenerator<LogLine> {
    // Ends at once.
  }

  onChange(listener: (instanceUid: string) => void): void {
    this.#listeners.add(listener)
  }

  close(): Promise<void> {
    this.#units.clear()
    return Promise.resolve()
  }

  async #checkHost(url: string): Promise<void> {
    try {
      await checkRemoteHost(url, this.policy)
    } catch (error) {
      if (error instanceof BlockedAddress) throw new StartError('CreateConfigError', error.message, { cause: error })
      throw error
    }
  }

  #changed(uid: string): void {
    for (const listener of this.#listeners) listener(uid)
  }
}
