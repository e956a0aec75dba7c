import { randomBytes } from 'node:crypto'
import type { EndpointRef, JsonRpcResponse } from './types'

/** A client's MCP session on one endpoint. */
export interface Session {
  readonly id: string
  readonly userUid: string
  readonly endpoint: EndpointRef
  /** Server name to the uid of the instance that the session sticks to. */
  readonly bound: Map<string, string>
  /** Calls under way by the client's request id, so that it can cancel them. */
  readonly calls: Map<JsonRpcResponse['id'], AbortController>
  usedAt: number
}

export interface SessionLimits {
  /** Sessions kept at once; the one unused for longest makes room. */
  max: number
  /** Milliseconds after which an unused session is forgotten. */
  idleMs: number
}

const defaults: SessionLimits = { max: 10_000, idleMs: 24 * 60 * 60 * 1000 }

/** Sessions by random id, each bound to the user and the endpoint that opened it. */
export class Sessions {
  /** In the order of last use. */
  readonly #sessions = new Map<string, Session>()
  /** How many sessions stick to an instance, by its uid. */
  readonly #stuck = new Map<string, number>()
  readonly #limits: SessionLimits

  constructor(limits: Partial<SessionLimits> = {}) {
    this.#limits = { ...defaults, ...limits }
  }

  open(endpoint: EndpointRef, userUid: string): Session {
    const id = randomBytes(16).toString('base64url')
    const session: Session = { id, userUid, endpoint, bound: new Map(), calls: new Map(), usedAt: performance.now() }
    this.#sweep()
    this.#sessions.set(id, session)
    return session
  }

  /** The session, if this user opened it on this endpoint: an id is no proof of anything else. */
  find(id: string, endpoint: EndpointRef, userUid: string): Session | undefined {
    const session = this.#sessions.get(id)
    const same = session?.endpoint.kind === endpoint.kind && session.endpoint.name === endpoint.name
    if (!session || !same || session.userUid !== userUid) return undefined
    session.usedAt = performance.now()
    this.#sessions.delete(id)
    this.#sessions.set(id, session)
    return session
  }

  /** Whether there is such a session, opened by somebody else. */
  isOthers(id: string, userUid: string): boolean {
    const session = this.#sessions.get(id)
    return session !== undefined && session.userUid !== userUid
  }

  /** Ends a session and cancels its calls. */
  end(session: Session): void {
    this.#sessions.delete(session.id)
    for (const server of [...session.bound.keys()]) this.stick(session, server, undefined)
    for (const call of session.calls.values()) call.abort()
  }

  /** Makes the session stick to another instance of a server, or to none. */
  stick(session: Session, server: string, uid: string | undefined): void {
    const before = session.bound.get(server)
    if (before !== undefined) this.#count(before, -1)
    if (uid === undefined) session.bound.delete(server)
    else {
      session.bound.set(server, uid)
      this.#count(uid, 1)
    }
  }

  stuckTo(uid: string): number {
    return this.#stuck.get(uid) ?? 0
  }

  #count(uid: string, change: number): void {
    const count = this.stuckTo(uid) + change
    if (count === 0) this.#stuck.delete(uid)
    else this.#stuck.set(uid, count)
  }

  #sweep(): void {
    const oldest = performance.now() - this.#limits.idleMs
    for (const session of this.#sessions.values()) {
      if (session.calls.size > 0) continue
      if (session.usedAt > oldest && this.#sessions.size < this.#limits.max) return
      this.end(session)
    }
  }
}
