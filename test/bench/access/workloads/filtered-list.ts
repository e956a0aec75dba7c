import { AccessWorld } from '../../../support/access-world'
import { idleServer, rbacOf } from '../../../support/access-fixture'
import type { Caller, Items } from '../../../support/caller'

export interface ListFigures {
  reader: string
  /** Servers that the answer holds, of all that there are. */
  listed: number
  of: number
  /** Milliseconds from the request to the last byte. */
  p50: number
  p99: number
}

const chunk = 500
const warmUps = 20

const nameOf = (index: number) => `server-${String(index).padStart(5, '0')}`
const range = (count: number) => Array.from({ length: count }, (_, index) => index)

const fill = async ({ root }: AccessWorld, servers: number): Promise<void> => {
  const names = range(servers).map(nameOf)
  for (let from = 0; from < servers; from += chunk)
    await root.must(root.apply({ servers: names.slice(from, from + chunk).map((name) => idleServer(name)) }))
}

/** Each `step`th server, by name. */
const someOf = (servers: number, step: number): string[] =>
  range(Math.floor(servers / step)).map((index) => `view:servers:${nameOf(index * step)}`)

/** A binding holds at most 1,000 entries: more of them are spread over several. */
const reader = async (world: AccessWorld, name: string, entries: string[]): Promise<Caller> => {
  const caller = await world.user(name)
  const rbac = range(Math.ceil(entries.length / 1_000)).map((index) =>
    rbacOf(`${name}-${String(index)}`, [`u:${name}`], entries.slice(index * 1_000, (index + 1) * 1_000)),
  )
  await world.root.must(world.root.apply({ rbac }))
  return caller
}

const quantile = (sorted: number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN

const measure = async (caller: Caller, requests: number): Promise<Pick<ListFigures, 'listed' | 'p50' | 'p99'>> => {
  const ask = () => caller.must(caller.get<Items>('/servers?limit=500'))
  for (let count = 0; count < warmUps; count++) await ask()
  const times: number[] = []
  let listed = 0
  for (let count = 0; count < requests; count++) {
    const began = performance.now()
    listed = (await ask()).items.length
    times.push(performance.now() - began)
  }
  const sorted = times.toSorted((a, b) => a - b)
  return { listed, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) }
}

/**
 * The first page (500) of a list of servers, asked over HTTP of a real daemon by readers who may see all, half, one in a hundred and one of
 * them: what the filter costs, JSON and the network included.
 */
export const filteredLists = async (servers = 10_000, requests = 200): Promise<ListFigures[]> => {
  const world = await AccessWorld.create({ idle: true })
  try {
    await fill(world, servers)
    const readers: [string, Caller][] = [
      ['who may view all', await reader(world, 'all', ['view:servers'])],
      ['who may view half, by name', await reader(world, 'half', someOf(servers, 2))],
      ['who may view one in a hundred, by name', await reader(world, 'few', someOf(servers, 100))],
      ['who may view one, by name', await reader(world, 'one', [`view:servers:${nameOf(servers - 1)}`])],
    ]
    const figures: ListFigures[] = []
    for (const [name, caller] of readers)
      figures.push({ reader: name, of: servers, ...(await measure(caller, requests)) })
    return figures
  } finally {
    await world.remove()
  }
}
