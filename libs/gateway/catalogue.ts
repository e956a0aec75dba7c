import { errorText, progressToken } from './frames'
import type { Upstream } from './types'
import { UpstreamRefused } from './types'

/** What a server lists, by the key under which its answers hold it. */
export type ListKey = 'tools' | 'prompts' | 'resources' | 'resourceTemplates'

export type Item = Record<string, unknown>

export interface Listing {
  /** What stood beside the items on the first page. */
  rest: Record<string, unknown>
  items: Item[]
}

const lists: Record<ListKey, { method: string; capability: string; id: string }> = {
  tools: { method: 'tools/list', capability: 'tools', id: 'name' },
  prompts: { method: 'prompts/list', capability: 'prompts', id: 'name' },
  resources: { method: 'resources/list', capability: 'resources', id: 'uri' },
  resourceTemplates: { method: 'resources/templates/list', capability: 'resources', id: 'uriTemplate' },
}

const maxPages = 1000
const maxItems = 10_000
/** Someone who asks for names that do not exist makes us ask the server again this often at most. */
const refreshAfterMs = 1000

const methodOf = (key: ListKey): string => lists[key].method

/** The name or URI by which an item is asked for. */
export const idOf = (key: ListKey, item: Item): string => String(item[lists[key].id])

/** What servers offer, remembered per session by name, so that a call can be checked without asking again. */
export class Catalogue {
  readonly #known = new WeakMap<Upstream, Map<ListKey, { ids: string[]; at: number }>>()

  constructor(readonly timeoutMs = 15_000) {}

  /** Everything that the server lists, all pages of it. Throws what the session throws, and UpstreamRefused on an error or an endless list. */
  async list(upstream: Upstream, key: ListKey, params: Record<string, unknown> = {}): Promise<Listing> {
    const listing: Listing = { rest: {}, items: [] }
    let page = upstream.negotiated.capabilities[lists[key].capability] === undefined ? undefined : {}
    for (let pages = 0; page; pages++) {
      if (pages >= maxPages || listing.items.length >= maxItems)
        throw new UpstreamRefused(`${methodOf(key)} does not end: more than ${listing.items.length} ${key}`)
      const { items, nextCursor, rest } = await this.#page(upstream, key, pageParams(params, page))
      if (pages === 0) listing.rest = rest
      listing.items.push(...items)
      page = nextCursor === undefined || nextCursor === null ? undefined : { cursor: nextCursor }
    }
    this.#remember(upstream, key, listing.items)
    return listing
  }

  async #page(upstream: Upstream, key: ListKey, params: Record<string, unknown>) {
    const method = methodOf(key)
    const answer = await upstream.request({ jsonrpc: '2.0', id: 0, method, params }, { timeoutMs: this.timeoutMs })
    if ('error' in answer) throw new UpstreamRefused(`${method} was answered: ${errorText(answer.error)}`)
    const { [key]: items, nextCursor, ...rest } = answer.result
    return { items: Array.isArray(items) ? items.filter(isItem) : [], nextCursor, rest }
  }

  /** Names or URIs that were listed last; asks only when nothing was. */
  async ids(upstream: Upstream, key: ListKey): Promise<string[]> {
    const known = this.#known.get(upstream)?.get(key)
    if (known) return known.ids
    return (await this.list(upstream, key)).items.map((item) => idOf(key, item))
  }

  /** Whether the server offers something; what is not remembered is looked for once more. */
  async has(upstream: Upstream, key: ListKey, id: string): Promise<boolean> {
    if ((await this.ids(upstream, key)).includes(id)) return true
    const known = this.#known.get(upstream)?.get(key)
    if (known && performance.now() - known.at < refreshAfterMs) return false
    return (await this.list(upstream, key)).items.some((item) => idOf(key, item) === id)
  }

  /** The server said that its list changed. */
  forget(upstream: Upstream): void {
    this.#known.delete(upstream)
  }

  #remember(upstream: Upstream, key: ListKey, items: Item[]): void {
    const known = this.#known.get(upstream) ?? new Map<ListKey, { ids: string[]; at: number }>()
    known.set(key, { ids: items.map((item) => idOf(key, item)), at: performance.now() })
    this.#known.set(upstream, known)
  }
}

/** The client's own cursor and progress token mean nothing to a list that is put together from several. */
const pageParams = (params: Record<string, unknown>, page: { cursor?: unknown }): Record<string, unknown> => {
  const { cursor: _, ...kept } = params
  const meta =
    progressToken({ params }) === undefined ? {} : { _meta: { ...(kept['_meta'] as object), progressToken: undefined } }
  return { ...kept, ...meta, ...page }
}

const isItem = (value: unknown): value is Item => typeof value === 'object' && value !== null && !Array.isArray(value)
