import type { ResourceObject } from '@mcpctl/contracts'
import { pause, until } from '../support/binaries'
import { Sandbox } from '../support/mcpd-process'

export const version = '2026.8.31'
export const packageOf = (name: string) => `npm:@modelcontextprotocol/server-${name}@${version}`

/** Manifest entry of a server that shows its environment, so that a call tells which copy answered. */
export const everything = (name: string, replicas: number, more: Record<string, unknown> = {}) => ({
  name,
  package: packageOf('everything'),
  transport: 'stdio',
  args: ['stdio'],
  replicas,
  ...more,
})

export const memory = (name: string, replicas: number, more: Record<string, unknown> = {}) => ({
  name,
  package: packageOf('memory'),
  transport: 'stdio',
  replicas,
  ...more,
})

/** A status of an earlier generation counts copies that are no longer wanted. */
const counted = ({ metadata, spec, status }: ResourceObject): boolean =>
  status['observedGeneration'] === metadata.generation &&
  ['replicas', 'updatedReplicas', 'availableReplicas'].every((field) => status[field] === spec['replicas'])

/** Finds what runs for a store: handles (process ids, container ids) by instance uid. */
export type Running = (storeId: string) => Promise<Map<string, (number | string)[]>>

/** Why the world is not as wanted; undefined when it is: each server has its copies, each copy one process or container, and nothing else is there. */
export const difference = async (
  sandbox: Sandbox,
  running: Running = Sandbox.processes.bind(Sandbox),
): Promise<string | undefined> => {
  const api = sandbox.api()
  try {
    const [servers, instances, { store }] = await Promise.all([
      api.list('servers'),
      api.list('instances'),
      api.status(),
    ])
    const processes = await running(store.id)
    const behind = servers.items.filter((server) => !counted(server) || server.metadata.deletionTimestamp !== undefined)
    if (behind.length > 0)
      return behind.map(({ metadata, status }) => `${metadata.name} is ${JSON.stringify(status)}`).join('; ')
    const uids = instances.items.map(({ metadata }) => metadata.uid)
    const wanted = servers.items.reduce((sum, { spec }) => sum + (spec['replicas'] as number), 0)
    if (uids.length !== wanted) return `${uids.length} instances instead of ${wanted}`
    const sorted = (list: Iterable<string>) => [...list].toSorted().join(' ')
    if (sorted(uids) !== sorted(processes.keys()))
      return `there runs ${sorted(processes.keys())} instead of ${sorted(uids)}`
    const doubled = [...processes].filter(([, pids]) => pids.length !== 1)
    return doubled.length > 0 ? `several of: ${JSON.stringify(doubled)}` : undefined
  } finally {
    api.close()
  }
}

/** Waits until the world is as wanted. Throws with the difference that stayed. */
export const converged = async (sandbox: Sandbox, within = 60_000, running?: Running): Promise<void> => {
  let last: string | undefined
  await until(
    'desired equals actual',
    async () => {
      last = await difference(sandbox, running)
      return last === undefined
    },
    within,
  ).catch((error: unknown) => {
    throw new Error(last ?? 'the daemon does not answer', { cause: error })
  })
}

/** Names of the server's copies that are not on their way out. */
export const copies = async (sandbox: Sandbox, server: string): Promise<ResourceObject[]> => {
  const api = sandbox.api()
  const { items } = await api.list('instances', { fieldSelector: `spec.server=${server}` })
  api.close()
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
}

export const rows = async <T>(sandbox: Sandbox, sql: string, values: unknown[] = []): Promise<T[]> => {
  const database = await sandbox.database()
  try {
    const result = await database.query(sql, values)
    return result.rows as T[]
  } finally {
    await database.end()
  }
}

/** Throws unless positions are 1 to n without a gap, and read models have caught up with them. */
export const intact = async (sandbox: Sandbox): Promise<void> => {
  const [log] = await rows<{ count: string; last: string | null }>(
    sandbox,
    'select count(*)::text as count, max(position)::text as last from es.event',
  )
  if (log?.count !== log?.last) throw new Error(`${String(log?.count)} events, the last at ${String(log?.last)}`)
}

/** Slot claims that are held now. */
export const slotClaims = async (sandbox: Sandbox): Promise<number> => {
  const [found] = await rows<{ count: string }>(
    sandbox,
    "select count(*)::text as count from es.claim where scope = 'slot'",
  )
  return Number(found?.count)
}

/** Repeats `act` until told to end; answers what failed. */
export const meanwhile = (act: () => Promise<void>): (() => Promise<{ failures: string[]; rounds: number }>) => {
  const failures: string[] = []
  const state = { ending: false }
  let rounds = 0
  const running = (async () => {
    while (!state.ending) {
      await act().catch((error: unknown) => failures.push(String(error)))
      rounds += 1
      await pause(5)
    }
  })()
  return async () => {
    state.ending = true
    await running
    return { failures, rounds }
  }
}
