import { suggest } from '@mcpctl/contracts'
import type { Chosen } from './balancer'
import type { Call, CallContext } from './call'
import { idOf, type Item, type ListKey, type Listing } from './catalogue'
import type { Connections } from './connections'
import { rpcCodes, success } from './frames'
import { outerName } from './names'
import { RpcFailure } from './rpc-failure'
import type { EndpointRef, EndpointServer, JsonRpcResponse } from './types'

/** Does something on one ready instance of a server, again on another when that one ends and it may be repeated. */
export type OnInstance = <T>(
  server: EndpointServer,
  context: CallContext,
  work: (pick: Chosen) => Promise<T>,
  repeatable?: boolean,
) => Promise<T>

const carried = ['tools', 'prompts', 'resources', 'completions']

const maxWarnings = 1000

/** What several servers offer, as one. */
export class Aggregate {
  readonly #warned = new Set<string>()

  constructor(
    readonly connections: Connections,
    readonly on: OnInstance,
    readonly warn: (message: string) => void,
  ) {}

  /** What `initialize` says of an endpoint. A server's own endpoint speaks with the server's voice, as far as the gateway carries it. */
  describe(endpoint: EndpointRef, servers: EndpointServer[]): Record<string, unknown> {
    const ready = servers.flatMap(({ name, instances }) => {
      const upstream = instances.map(({ uid }) => this.connections.available(uid)).find((one) => one !== undefined)
      return upstream ? [{ name, ...upstream.negotiated }] : []
    })
    const own = endpoint.kind === 'server' ? ready[0] : undefined
    const offered = own ? carried.filter((name) => own.capabilities[name] !== undefined) : carried
    const texts = ready.flatMap(({ name, instructions }) =>
      instructions === undefined ? [] : [own ? instructions : `# ${name} (tools ${name}__…)\n\n${instructions}`],
    )
    return {
      capabilities: Object.fromEntries(offered.map((name) => [name, {}])),
      ...(own && { serverInfo: own.serverInfo }),
      ...(texts.length > 0 && { instructions: texts.join('\n\n') }),
    }
  }

  /** One list out of all; a server that cannot answer is left out and named in `_meta`. Throws RpcFailure when none can. */
  async list(call: Call, key: ListKey): Promise<JsonRpcResponse> {
    const { servers, context, request } = call
    const { catalogue } = this.connections
    const answers = await Promise.allSettled(
      servers.map((server) =>
        this.on(server, context, ({ upstream }) => catalogue.list(upstream, key, request.params), true),
      ),
    )
    const broken = new Map<string, string>()
    const listings: { server: string; listing: Listing }[] = []
    for (const [index, answer] of answers.entries()) {
      const server = servers[index]?.name ?? ''
      if (answer.status === 'fulfilled') listings.push({ server, listing: answer.value })
      else if (listings.length === 0 && broken.size + 1 === servers.length) throw answer.reason
      else broken.set(server, answer.reason instanceof Error ? answer.reason.message : 'failed')
    }
    return success(request.id, this.#merge(call, key, { listings, broken }))
  }

  #merge(
    { endpoint }: Call,
    key: ListKey,
    { listings, broken }: { listings: { server: string; listing: Listing }[]; broken: Map<string, string> },
  ): Record<string, unknown> {
    const items = new Map<string, Item>()
    for (const { server, listing } of listings) {
      for (const item of listing.items) {
        const outer = this.#outer(endpoint, key, { server, item })
        const id = outer && idOf(key, outer)
        // Two servers with one URI: the first is the one that reads are routed to.
        if (outer && id !== undefined && !items.has(id)) items.set(id, outer)
      }
    }
    const rest = endpoint.kind === 'server' ? listings[0]?.listing.rest : {}
    const meta = broken.size > 0 && { _meta: { 'mcpctl.io/unavailable': Object.fromEntries(broken) } }
    return { ...rest, [key]: [...items.values()], ...meta }
  }

  #outer(endpoint: EndpointRef, key: ListKey, { server, item }: { server: string; item: Item }): Item | undefined {
    if (key === 'resources' || key === 'resourceTemplates') return item
    const name = outerName(endpoint, server, idOf(key, item))
    if (name !== undefined) return { ...item, name }
    this.#hidden(`${key} of server "${server}": ${JSON.stringify(idOf(key, item).slice(0, 160))} is hidden`)
    return undefined
  }

  #hidden(message: string): void {
    if (this.#warned.has(message) || this.#warned.size >= maxWarnings) return
    this.#warned.add(message)
    this.warn(`${message}: names must be 1 to 128 of A-Z a-z 0-9 _ . -, with the server's name before them`)
  }

  /** The refusal of a name that no server lists, with the one that was probably meant. */
  async unknown(call: Call, key: 'tools' | 'prompts', noun: string): Promise<RpcFailure> {
    const name = String(call.request.params?.['name']).slice(0, 128)
    const known = (await Promise.all(call.servers.map((server) => this.#names(call, server, key)))).flat()
    const near = known.find((one) => one.endsWith(`__${name}`)) ?? suggest(name, known)
    const hint = near === undefined ? '' : `; did you mean ${JSON.stringify(near)}?`
    return new RpcFailure(rpcCodes.invalidParams, `unknown ${noun} ${JSON.stringify(name)}${hint}`, {
      [noun]: name,
      ...(near !== undefined && { similar: [near] }),
    })
  }

  async #names({ endpoint, context }: Call, server: EndpointServer, key: 'tools' | 'prompts'): Promise<string[]> {
    const ids = this.on(server, context, ({ upstream }) => this.connections.catalogue.ids(upstream, key), true)
    const names = (await ids.catch(() => [])).map((id) => outerName(endpoint, server.name, id))
    return names.filter((name) => name !== undefined)
  }
}
