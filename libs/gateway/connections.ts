import type { Connection } from '@mcpctl/runtime/driver'
import { RuntimeUnavailable } from '@mcpctl/runtime/driver'
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Catalogue } from './catalogue'
import { asItIs, openUpstream } from './open-upstream'
import type { ConnectionState, Negotiated, Upstream } from './types'
import { ProtocolError } from './types'

export type Dial = () => Promise<Connection>

export interface ConnectionTimings {
  /** Between two tries to connect. */
  retryMs: number
  tries: number
  /** For a handshake over HTTP. */
  handshakeMs: number
  /** For the one handshake over standard streams: they hold the question until the server has started. */
  stdioHandshakeMs: number
  pingEveryMs: number
  pingTimeoutMs: number
  pingFailures: number
}

const defaults: ConnectionTimings = {
  retryMs: 1000,
  tries: 60,
  handshakeMs: 5000,
  stdioHandshakeMs: 60_000,
  pingEveryMs: 10_000,
  pingTimeoutMs: 5000,
  pingFailures: 3,
}

export interface ConnectionOptions {
  clientInfo: { name: string; version: string }
  timings?: Partial<ConnectionTimings>
}

interface Entry {
  uid: string
  dial: Dial
  /** Takes values of secrets out of what the server says of itself. */
  redact: (text: string) => string
  state: ConnectionState
  draining: boolean
  ended: AbortController
  pinger?: NodeJS.Timeout
}

/**
 * One MCP session per running instance, by instance uid: opened, counted as ready once its tools are listed, and pinged.
 *
 * none → connecting → ready → (connection lost) → connecting; connecting or ready → failed.
 * A failed one stays failed until it is dropped, and so must be whatever is about to be started anew under the same uid.
 */
export class Connections {
  readonly catalogue = new Catalogue()
  readonly #bootId = randomUUID().slice(0, 13)
  readonly #entries = new Map<string, Entry>()
  readonly #listeners: ((uid: string) => void)[] = []
  readonly #timings: ConnectionTimings
  readonly #failures = new WeakMap<Upstream, number>()

  constructor(readonly options: ConnectionOptions) {
    this.#timings = { ...defaults, ...options.timings }
  }

  /** Starts connecting, or leaves the connection that is there alone. `resume` is what an earlier life of the daemon had negotiated. */
  ensure(uid: string, dial: Dial, resume?: Negotiated): void {
    const known = this.#entries.get(uid)
    if (known) return void (known.dial = dial)
    const state: ConnectionState = { phase: 'connecting', since: performance.now() }
    const entry: Entry = { uid, dial, redact: asItIs, state, draining: false, ended: new AbortController() }
    this.#entries.set(uid, entry)
    void this.#connect(entry, resume)
  }

  state(uid: string): ConnectionState {
    return this.#entries.get(uid)?.state ?? { phase: 'none' }
  }

  /** The session of an instance that takes calls now. */
  available(uid: string): Upstream | undefined {
    const entry = this.#entries.get(uid)
    return entry?.state.phase === 'ready' && !entry.draining ? entry.state.upstream : undefined
  }

  /** Calls back whenever the state of an instance changed. */
  onChange(listener: (uid: string) => void): void {
    this.#listeners.push(listener)
  }

  /** Routes no new calls to the instance, and waits for those in flight, for `graceMs` at most. */
  async drain(uid: string, graceMs: number): Promise<void> {
    const entry = this.#entries.get(uid)
    if (!entry) return
    entry.draining = true
    if (entry.state.phase !== 'ready') return
    const stop = AbortSignal.any([entry.ended.signal, AbortSignal.timeout(graceMs)])
    await Promise.race([entry.state.upstream.whenIdle(), aborted(stop)])
  }

  /** Closes and forgets. Calls in flight end with UpstreamGone. */
  drop(uid: string): void {
    const entry = this.#entries.get(uid)
    if (!entry) return
    this.#entries.delete(uid)
    void this.#release(entry)
    this.#changed(uid)
  }

  async close(): Promise<void> {
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    await Promise.all(entries.map((entry) => this.#release(entry)))
  }

  async #release(entry: Entry): Promise<void> {
    entry.ended.abort()
    clearInterval(entry.pinger)
    if (entry.state.phase === 'ready') await entry.state.upstream.close()
  }

  async #connect(entry: Entry, resume?: Negotiated, again = false): Promise<void> {
    const { signal } = entry.ended
    let error: unknown
    for (let tries = 0; tries < this.#timings.tries && this.#knows(entry); tries++) {
      try {
        const { upstream, tools } = await this.#attempt(entry, resume, again)
        if (this.#knows(entry)) this.#ready(entry, upstream, tools)
        else await upstream.close()
        return
      } catch (caught) {
        error = caught
        if (isFinal(caught)) break
        this.#set(entry, { ...connecting(entry.state), lastError: entry.redact(messageOf(caught)) })
      }
      await delay(this.#timings.retryMs, undefined, { signal }).catch(() => undefined)
    }
    if (this.#knows(entry)) this.#fail(entry, error)
  }

  async #attempt(entry: Entry, resume: Negotiated | undefined, again: boolean) {
    const connection = await entry.dial().catch((error: unknown) => {
      throw again && !(error instanceof RuntimeUnavailable) ? new Final(error) : error
    })
    entry.redact = connection.redact ?? asItIs
    const stdio = connection.transport === 'stdio'
    const upstream = await openUpstream(connection, {
      bootId: this.#bootId,
      clientInfo: this.options.clientInfo,
      timeoutMs: stdio && !resume ? this.#timings.stdioHandshakeMs : this.#timings.handshakeMs,
      ...(resume && { resume }),
    }).catch((error: unknown) => {
      // The only reader of a running server's streams gave up: asking a second time would confuse it, starting anew will not.
      throw stdio ? new Final(error) : error
    })
    try {
      return { upstream, tools: (await this.catalogue.list(upstream, 'tools')).items.length }
    } catch (error) {
      await upstream.close()
      throw stdio ? new Final(error) : error
    }
  }

  #ready(entry: Entry, upstream: Upstream, tools: number): void {
    upstream.onNotification(({ method }) => {
      if (!method.endsWith('/list_changed')) return
      this.catalogue.forget(upstream)
      if (method === 'notifications/tools/list_changed') void this.#recount(entry, upstream)
    })
    entry.pinger = setInterval(() => void this.#watch(entry, upstream), this.#timings.pingEveryMs).unref()
    this.#set(entry, { phase: 'ready', upstream, tools })
    upstream.onClose(() => this.#lost(entry, upstream))
  }

  async #recount(entry: Entry, upstream: Upstream): Promise<void> {
    const listing = await this.catalogue.list(upstream, 'tools').catch(() => undefined)
    if (!listing || !isCurrent(entry, upstream) || entry.state.tools === listing.items.length) return
    this.#set(entry, { ...entry.state, tools: listing.items.length })
  }

  /** A server with one thread is busy, not dead, while it works on a call: its silence then counts for nothing. */
  async #watch(entry: Entry, upstream: Upstream): Promise<void> {
    if (upstream.inFlight > 0) return
    try {
      await upstream.ping(this.#timings.pingTimeoutMs)
      this.#failures.delete(upstream)
    } catch (error) {
      if (upstream.inFlight > 0 || !isCurrent(entry, upstream)) return
      const failures = (this.#failures.get(upstream) ?? 0) + 1
      this.#failures.set(upstream, failures)
      if (failures < this.#timings.pingFailures) return
      this.#fail(entry, new Error(`${failures} pings went unanswered: ${messageOf(error)}`))
      await upstream.close()
    }
  }

  /** The instance may run on, and only the way to it have gone: dial once more before giving it up. */
  #lost(entry: Entry, upstream: Upstream): void {
    clearInterval(entry.pinger)
    if (!isCurrent(entry, upstream) || !this.#knows(entry)) return
    this.#set(entry, { phase: 'connecting', since: performance.now(), lastError: 'the connection was lost' })
    void this.#connect(entry, upstream.negotiated, true)
  }

  #fail(entry: Entry, error: unknown): void {
    clearInterval(entry.pinger)
    const cause = error instanceof Final ? error.cause : error
    const reason = cause instanceof ProtocolError ? 'ProtocolError' : 'ProbeFailed'
    this.#set(entry, { phase: 'failed', reason, message: entry.redact(messageOf(cause)) })
  }

  #set(entry: Entry, state: ConnectionState): void {
    entry.state = state
    if (this.#knows(entry)) this.#changed(entry.uid)
  }

  /** Whether the entry has not been dropped, or replaced, meanwhile. */
  #knows(entry: Entry): boolean {
    return this.#entries.get(entry.uid) === entry
  }

  #changed(uid: string): void {
    for (const listener of this.#listeners) listener(uid)
  }
}

/** Trying again would not help. */
class Final extends Error {
  override readonly name = 'Final'

  constructor(cause: unknown) {
    super(messageOf(cause), { cause })
  }
}

const isFinal = (error: unknown): boolean => error instanceof Final

const isCurrent = (
  entry: Entry,
  upstream: Upstream,
): entry is Entry & { state: Extract<ConnectionState, { phase: 'ready' }> } =>
  entry.state.phase === 'ready' && entry.state.upstream === upstream

const connecting = (state: ConnectionState) => ({
  phase: 'connecting' as const,
  since: state.phase === 'connecting' ? state.since : performance.now(),
})

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 300)

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
