import { cpus } from 'node:os'
import { AccessWorld } from '../../../support/access-world'
import { idleServer, rbacOf } from '../../../support/access-fixture'
import type { Caller, Items } from '../../../support/caller'
import { interleave, quantiles, type Round } from '../../event-store/measure'
import { Report } from '../../event-store/report'

interface Reader {
  sees: string
  caller: Caller
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

const measure = async (caller: Caller, requests: number): Promise<Round> => {
  const times: number[] = []
  for (let count = 0; count < requests; count++) {
    const began = performance.now()
    await caller.must(caller.get<Items>('/servers?limit=500'))
    times.push(performance.now() - began)
  }
  return { rate: times.reduce((sum, each) => sum + each, 0) / requests, ...quantiles(times) }
}

const readersOf = async (world: AccessWorld, servers: number): Promise<Reader[]> => [
  { sees: 'all', caller: await reader(world, 'all', ['view:servers']) },
  { sees: 'half, by name', caller: await reader(world, 'half', someOf(servers, 2)) },
  { sees: 'one in a hundred, by name', caller: await reader(world, 'few', someOf(servers, 100)) },
  { sees: 'one, by name', caller: await reader(world, 'one', [`view:servers:${nameOf(servers - 1)}`]) },
]

/**
 * The first page (500) of a list of servers, asked over HTTP of a real daemon by readers who may see all, half, one in a hundred and one of
 * them, from the request to the last byte: what the filter costs, JSON and the network included.
 */
export const filteredLists = async (servers = 10_000, rounds = 5, requests = 40): Promise<void> => {
  const world = await AccessWorld.create({ idle: true })
  try {
    await fill(world, servers)
    const report = new Report(undefined)
    await report.start({ benchmark: 'filtered lists', node: process.version, cpus: cpus().length, servers, requests })
    const readers = await readersOf(world, servers)
    for (const { caller } of readers) await measure(caller, warmUps)
    const lanes = readers.map(({ sees, caller }) => ({ name: sees, round: () => measure(caller, requests) }))
    const results = await interleave(lanes, rounds, async () => undefined)
    for (const [sees, found] of results)
      await report.row(
        { workload: `first page of ${String(servers)} servers`, store: `sees ${sees}`, unit: 'ms' },
        found,
      )
    for (const [sees, found] of results)
      await report.goal(
        `sees ${sees}: p50 in ms`,
        found.map(({ p50 = NaN }) => p50),
        '<=',
        50,
      )
    report.print()
  } finally {
    await world.remove()
  }
}
