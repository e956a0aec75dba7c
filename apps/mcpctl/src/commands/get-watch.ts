import type { Kind, ResourceList, ResourceObject } from '@mcpctl/contracts'
import { ConnectionError } from '@mcpctl/client'
import { isReason, usage } from '../errors'
import { WatchedOutput } from '../output/watched'
import type { Happening, WatchedStyle } from '../output/watched'
import type { Session } from '../session'

export interface WatchRequest {
  kind: Kind
  /** One object alone. */
  name?: string | undefined
  labelSelector?: string | undefined
  fieldSelector?: string | undefined
  /** Print nothing of what is there already. */
  changesOnly: boolean
  ignoreNotFound: boolean
  style: WatchedStyle
}

/** A daemon that stays away for longer is not waited for. */
const awayMs = 30_000
const pauseMs = 500

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

/** What is known of each object, to tell after a relist what has happened meanwhile. */
type Known = Map<string, ResourceObject>

const differences = (known: Known, items: readonly ResourceObject[]): [Happening, ResourceObject][] => {
  const there = new Set(items.map(({ metadata }) => metadata.uid))
  const gone = [...known.values()].filter(({ metadata }) => !there.has(metadata.uid))
  const news = items.flatMap((object): [Happening, ResourceObject][] => {
    const before = known.get(object.metadata.uid)
    if (before?.metadata.resourceVersion === object.metadata.resourceVersion) return []
    return [[before ? 'MODIFIED' : 'ADDED', object]]
  })
  return [...gone.map((object): [Happening, ResourceObject] => ['DELETED', object]), ...news]
}

/** One run of `get --watch`: a list, then what happens, across restarts of the daemon and changes of what one may view. */
class Watching {
  private readonly known: Known = new Map()
  private readonly output: WatchedOutput
  private from = ''
  private awaySince: number | undefined

  constructor(
    private readonly session: Session,
    private readonly request: WatchRequest,
  ) {
    this.output = new WatchedOutput(session, request.kind, request.style)
  }

  async run(): Promise<never> {
    const { kind, name, ignoreNotFound, changesOnly } = this.request
    const { items } = await this.list()
    // Says in the words of `get` why there is nothing.
    if (name !== undefined && items.length === 0 && !ignoreNotFound) await this.session.client.get(kind.plural, name)
    if (!changesOnly) await this.output.print(items.map((object) => ['ADDED', object]))
    this.note(items)
    for (;;) {
      try {
        await this.follow()
      } catch (error) {
        await this.recover(error)
      }
      await pause(pauseMs)
    }
  }

  private get selectors() {
    const { name, labelSelector, fieldSelector } = this.request
    return { labelSelector, fieldSelector: name === undefined ? fieldSelector : `metadata.name=${name}` }
  }

  private async list(): Promise<ResourceList> {
    const list = await this.session.client.list(this.request.kind.plural, this.selectors)
    this.from = list.metadata.resourceVersion
    return list
  }

  private note(items: readonly ResourceObject[]): void {
    this.known.clear()
    for (const object of items) this.known.set(object.metadata.uid, object)
  }

  /** Until the daemon ends the stream. */
  private async follow(): Promise<void> {
    const query = { ...this.selectors, from: this.from }
    for await (const { type, id, object } of this.session.client.watch(this.request.kind.plural, query)) {
      this.awaySince = undefined
      if (type !== 'BOOKMARK') {
        if (type === 'DELETED') this.known.delete(object.metadata.uid)
        else this.known.set(object.metadata.uid, object)
        await this.output.print([[type, object]])
      }
      this.from = id
    }
  }

  /** Throws what is no reason to try again. */
  private async recover(error: unknown): Promise<void> {
    if (isReason(error, 'Expired') || isReason(error, 'AccessChanged')) return this.relist()
    // What it has not read is told again.
    if (isReason(error, 'SlowConsumer')) return
    if (!(error instanceof ConnectionError) && !isReason(error, 'Unavailable')) throw error
    if (this.awaySince === undefined) this.session.say('--- connection lost, trying again ---')
    this.awaySince ??= performance.now()
    if (performance.now() - this.awaySince > awayMs) throw error
    this.session.reconnect()
  }

  private async relist(): Promise<void> {
    try {
      const { items } = await this.list()
      const happened = differences(this.known, items)
      this.note(items)
      await this.output.print(happened)
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
    }
  }
}

/** Goes on until it is interrupted. Throws when the daemon refuses it, or stays away for half a minute. */
export const runWatch = (session: Session, request: WatchRequest): Promise<never> =>
  new Watching(session, request).run()

/** Throws a usage error for several kinds or names. */
export const requireOne = (kinds: readonly Kind[], names: readonly string[] = []): Kind => {
  const [kind] = kinds
  if (kind === undefined || kinds.length > 1) throw usage('you may only specify a single resource type with --watch')
  if (names.length > 1) throw usage('--watch is only supported on individual resources and resource collections')
  return kind
}
