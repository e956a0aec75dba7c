import type { Connections } from './connections'
import { rpcCodes } from './frames'
import { RpcFailure } from './rpc-failure'
import type { Session, Sessions } from './sessions'
import type { EndpointServer, Upstream } from './types'

/** The instance that takes a call. */
export interface Chosen {
  name: string
  upstream: Upstream
}

interface Candidate extends Chosen {
  uid: string
  load: [number, number]
}

/** Decides which instance of a server takes a call: the one that the session sticks to, else the least loaded; ties take turns. */
export class Balancer {
  readonly #turns = new Map<string, number>()

  constructor(
    readonly connections: Connections,
    readonly sessions: Sessions,
  ) {}

  /** Throws RpcFailure when no instance takes calls. */
  pick(server: EndpointServer, session?: Session): Chosen {
    const candidates = this.#candidates(server, session)
    const bound = session?.bound.get(server.name)
    const stuck = candidates.find(({ uid }) => uid === bound)
    if (stuck) return stuck
    const least = candidates.filter((candidate) => candidates.every((other) => compare(candidate, other) <= 0))
    const turn = this.#turns.get(server.name) ?? 0
    const chosen = least[turn % least.length]
    if (!chosen) throw this.#noReplica(server)
    this.#turns.set(server.name, turn + 1)
    if (session) this.sessions.stick(session, server.name, chosen.uid)
    return chosen
  }

  /** A session stays, so it looks at where sessions are; a single call looks at where calls are. */
  #candidates(server: EndpointServer, session?: Session): Candidate[] {
    return server.instances.flatMap(({ uid, name }) => {
      const upstream = this.connections.available(uid)
      if (!upstream) return []
      const load: [number, number] = session ? [this.sessions.stuckTo(uid), upstream.inFlight] : [upstream.inFlight, 0]
      return [{ uid, name, upstream, load }]
    })
  }

  #noReplica({ name, instances }: EndpointServer): RpcFailure {
    const cause =
      instances.length === 0 ? 'it has no running instances' : instances.map((one) => this.#why(one)).join('; ')
    const hint = 'try again in a few seconds'
    return new RpcFailure(rpcCodes.noReadyReplica, `server "${name}" has no ready replica: ${cause}; ${hint}`, {
      server: name,
      reason: 'NoReadyReplica',
      retryable: true,
      retryAfter: 2,
    })
  }

  #why({ uid, name }: EndpointServer['instances'][number]): string {
    const state = this.connections.state(uid)
    if (state.phase === 'failed') return `${name} failed: ${state.message}`
    if (state.phase === 'connecting') return `${name} is starting${state.lastError ? ` (${state.lastError})` : ''}`
    return state.phase === 'ready' ? `${name} is stopping` : `${name} is not connected`
  }
}

const compare = (a: Candidate, b: Candidate): number => a.load[0] - b.load[0] || a.load[1] - b.load[1]
