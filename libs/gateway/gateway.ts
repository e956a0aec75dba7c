import { Aggregate } from './aggregate'
import { Balancer, type Chosen } from './balancer'
import type { Call, CallContext } from './call'
import type { Connections } from './connections'
import { failure, isRequest, isResponse, protocolVersions, rpcCodes, success } from './frames'
import { innerName, matchesTemplate } from './names'
import { explain, RpcFailure } from './rpc-failure'
import { Sessions, type SessionLimits } from './sessions'
import type {
  EndpointRef,
  EndpointServer,
  JsonRpcMessage,
  JsonRpcNotification,
  JsonRpcRequest,
  JsonRpcResponse,
  Routes,
} from './types'
import { UpstreamGone } from './types'

export interface GatewayOptions {
  routes: Routes
  connections: Connections
  /** What `initialize` answers for a project; a server's own endpoint answers with the server's. */
  serverInfo: { name: string; version: string }
  sessions?: Partial<SessionLimits>
  /** Milliseconds that a call may take, counted anew from each progress notification. */
  callTimeoutMs?: number
  warn?: (message: string) => void
}

type Method = (call: Call) => Promise<JsonRpcResponse>

/** MCP in, MCP out: routes a client's messages to the servers behind an endpoint. Knows no transport. */
export class Gateway {
  readonly sessions: Sessions
  readonly #balancer: Balancer
  readonly #aggregate: Aggregate
  readonly #methods: ReadonlyMap<string, Method>

  constructor(readonly options: GatewayOptions) {
    this.sessions = new Sessions(options.sessions)
    this.#balancer = new Balancer(options.connections, this.sessions)
    const on = this.#on.bind(this)
    this.#aggregate = new Aggregate(options.connections, on, options.warn ?? (() => undefined))
    this.#methods = new Map<string, Method>([
      ['initialize', (call) => this.#initialize(call)],
      ['ping', ({ request }) => Promise.resolve(success(request.id, {}))],
      ['tools/list', (call) => this.#aggregate.list(call, 'tools')],
      ['tools/call', (call) => this.#named(call, 'tools', 'tool')],
      ['prompts/list', (call) => this.#aggregate.list(call, 'prompts')],
      ['prompts/get', (call) => this.#named(call, 'prompts', 'prompt')],
      ['resources/list', (call) => this.#aggregate.list(call, 'resources')],
      ['resources/templates/list', (call) => this.#aggregate.list(call, 'resourceTemplates')],
      ['resources/read', (call) => this.#read(call)],
      ['completion/complete', (call) => this.#complete(call)],
      // One level for all who share a server would be one user's choice for the others; nothing is logged to clients anyway.
      ['logging/setLevel', ({ request }) => Promise.resolve(success(request.id, {}))],
    ])
  }

  /** Answers a request; a notification or a response has no answer. Throws what Routes throws for an endpoint that does not exist. */
  async handle(
    endpoint: EndpointRef,
    message: JsonRpcMessage,
    context: CallContext = {},
  ): Promise<JsonRpcResponse | undefined> {
    if (!isRequest(message)) {
      if (!isResponse(message)) this.#notified(message, context)
      return undefined
    }
    const servers = await this.options.routes.servers(endpoint)
    const method = this.#methods.get(message.method)
    if (!method) {
      const text = `method "${message.method.slice(0, 128)}" is not supported by this gateway`
      return failure(message.id, { code: rpcCodes.methodNotFound, message: text })
    }
    return this.#cancellable(context, message, (signal) =>
      method({ endpoint, servers, request: message, context: { ...context, signal } }),
    )
  }

  async #cancellable(
    { session, signal }: CallContext,
    { id }: JsonRpcRequest,
    work: (signal: AbortSignal) => Promise<JsonRpcResponse>,
  ): Promise<JsonRpcResponse> {
    const stop = new AbortController()
    const release = forward(signal, stop)
    session?.calls.set(id, stop)
    try {
      return await work(stop.signal)
    } catch (error) {
      if (error instanceof RpcFailure) return error.toResponse(id)
      throw error
    } finally {
      release()
      if (session?.calls.get(id) === stop) session.calls.delete(id)
    }
  }

  #notified({ method, params }: JsonRpcNotification, { session }: CallContext): void {
    if (method !== 'notifications/cancelled') return
    const id = params?.['requestId']
    if (typeof id === 'string' || typeof id === 'number') session?.calls.get(id)?.abort()
  }

  async #initialize({ endpoint, servers, request }: Call): Promise<JsonRpcResponse> {
    const wanted = request.params?.['protocolVersion']
    if (typeof wanted !== 'string') throw new RpcFailure(rpcCodes.invalidParams, 'protocolVersion is missing')
    const protocolVersion = protocolVersions.find((version) => version === wanted) ?? protocolVersions[0]
    const described = this.#aggregate.describe(endpoint, servers)
    return Promise.resolve(success(request.id, { protocolVersion, serverInfo: this.options.serverInfo, ...described }))
  }

  /** A call by name: the tool or prompt must be one that its server lists. Never repeated once it may have reached the server. */
  async #named(call: Call, key: 'tools' | 'prompts', noun: string): Promise<JsonRpcResponse> {
    const outer = stringParam(call.request.params, 'name')
    const target = innerName(call.endpoint, call.servers, outer)
    if (!target) throw await this.#aggregate.unknown(call, key, noun)
    const params = { ...call.request.params, name: target.name }
    const answer = await this.#on(target.server, call.context, async (pick) => {
      if (!(await this.#offers(pick, key, target.name))) return undefined
      return this.#relay(pick, { ...call.request, params }, call.context)
    })
    if (!answer) throw await this.#aggregate.unknown(call, key, noun)
    return answer
  }

  async #offers({ upstream }: Chosen, key: 'tools' | 'prompts', name: string): Promise<boolean> {
    try {
      return await this.options.connections.catalogue.has(upstream, key, name)
    } catch (error) {
      throw error instanceof UpstreamGone ? new UpstreamGone(error.message, false) : error
    }
  }

  async #read(call: Call): Promise<JsonRpcResponse> {
    const uri = stringParam(call.request.params, 'uri')
    const owner = await this.#owner(call, uri)
    let answer: JsonRpcResponse | undefined
    // Reading changes nothing, so where no list tells whose it is, the servers are asked one after the other.
    for (const server of owner ? [owner] : call.servers) {
      answer = await this.#repeatable(server, call)
      if ('result' in answer) return answer
    }
    const message = `no server has the resource ${JSON.stringify(uri.slice(0, 300))}`
    return answer ?? failure(call.request.id, { code: rpcCodes.resourceNotFound, message })
  }

  async #owner({ servers, context }: Call, uri: string): Promise<EndpointServer | undefined> {
    if (servers.length <= 1) return servers[0]
    const { catalogue } = this.options.connections
    const ids = (key: 'resources' | 'resourceTemplates') =>
      Promise.all(
        servers.map(async (server) => ({
          server,
          ids: await this.#on(server, context, ({ upstream }) => catalogue.ids(upstream, key), true).catch(
            (): string[] => [],
          ),
        })),
      )
    const listed = (await ids('resources')).find((one) => one.ids.includes(uri))
    if (listed) return listed.server
    const matching = (await ids('resourceTemplates')).find((one) => one.ids.some((id) => matchesTemplate(id, uri)))
    return matching?.server
  }

  async #complete(call: Call): Promise<JsonRpcResponse> {
    const ref = call.request.params?.['ref'] as Record<string, unknown> | undefined
    if (ref?.['type'] !== 'ref/prompt') {
      const owner = await this.#owner(call, stringParam(ref, 'uri'))
      if (!owner) throw new RpcFailure(rpcCodes.invalidParams, 'no server has this resource template')
      return this.#repeatable(owner, call)
    }
    const target = innerName(call.endpoint, call.servers, stringParam(ref, 'name'))
    if (!target) throw new RpcFailure(rpcCodes.invalidParams, 'unknown prompt')
    const params = { ...call.request.params, ref: { ...ref, name: target.name } }
    return this.#repeatable(target.server, { ...call, request: { ...call.request, params } })
  }

  #repeatable(server: EndpointServer, { request, context }: Call): Promise<JsonRpcResponse> {
    return this.#on(server, context, (pick) => this.#relay(pick, request, context), true)
  }

  #relay({ upstream }: Chosen, request: JsonRpcRequest, { signal, notify }: CallContext): Promise<JsonRpcResponse> {
    return upstream.request(request, {
      timeoutMs: this.options.callTimeoutMs ?? 600_000,
      ...(signal && { signal }),
      ...(notify && { onProgress: notify }),
    })
  }

  /**
   * Does something on one instance of a server; when that instance ends, once more on another, provided that the server
   * never saw it or that it may be repeated. Throws RpcFailure.
   */
  async #on<T>(
    server: EndpointServer,
    { session }: CallContext,
    work: (pick: Chosen) => Promise<T>,
    repeatable = false,
  ): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      const pick = this.#balancer.pick(server, session)
      try {
        return await work(pick)
      } catch (error) {
        const again = error instanceof UpstreamGone && (repeatable || !error.sent) && attempt === 0
        if (!again) throw explain(error, server.name, pick.name)
      }
    }
  }
}

const forward = (signal: AbortSignal | undefined, to: AbortController): (() => void) => {
  const abort = () => to.abort()
  if (signal?.aborted) abort()
  signal?.addEventListener('abort', abort, { once: true })
  return () => signal?.removeEventListener('abort', abort)
}

const stringParam = (params: Record<string, unknown> | undefined, name: string): string => {
  const value = params?.[name]
  if (typeof value !== 'string') throw new RpcFailure(rpcCodes.invalidParams, `${name} is missing or no string`)
  return value
}
