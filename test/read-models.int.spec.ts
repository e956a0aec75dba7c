import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { foldVersion, objectProjection } from '@mcpctl/read-model'
import { resources } from '@mcpctl/kinds/modules'
import type { ResourceObject } from '@mcpctl/contracts'
import type { PoolClient } from 'pg'
import { startDaemon, type Sent, type TestDaemon } from './support/daemon'
import { events, position } from './support/log'

let daemon: TestDaemon

beforeAll(async () => {
  daemon = await startDaemon()
}, 60_000)
afterAll(() => daemon.close())

const kinds = resources.map(({ kind, view, references }) => ({
  kind: kind.name,
  category: kind.singular,
  view,
  ...(references && { references }),
}))

/** Numbers that look random and are the same in every run. */
const numbers = (seed: number) => (below: number) => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * below)
}

const source = 'npm:echo@1.0.0'
const workload = (seed: number, count: number): [string, Sent][] => {
  const pick = numbers(seed)
  const name = () => `thing-${String(pick(8))}`
  const anyway = { 'if-match': '*' }
  const server = () => ({ name: name(), package: source, replicas: pick(4), labels: { nr: String(pick(3)) } })
  const project = () => ({
    name: name(),
    description: `nr ${String(pick(3))}`,
    servers: [...new Set([name(), name()])],
  })
  const user = () => ({ name: name(), displayName: `nr ${String(pick(3))}`, enabled: pick(3) > 0 })
  const group = () => ({ name: name(), members: [...new Set([name(), name()])] })
  const binding = () => ({
    name: name(),
    subjects: [
      { kind: 'User', name: name() },
      { kind: 'Group', name: name() },
    ],
    bindings: [{ role: 'view', resource: pick(2) === 0 ? 'servers' : '*' }],
    operations: pick(2) === 0 ? [{ action: 'logs' }] : [],
  })
  const made: (() => [string, Sent])[] = [
    () => ['/api/v1/apply', { body: { users: [user()] } }],
    () => ['/api/v1/apply', { body: { users: [user()], groups: [group()], rbac: [binding()] } }],
    () => [`/api/v1/${['users', 'groups', 'rbac'][pick(3)] ?? ''}/${name()}`, { method: 'DELETE' }],
    () => ['/api/v1/servers', { body: server() }],
    () => ['/api/v1/apply', { body: { servers: [server(), server()] } }],
    () => ['/api/v1/apply', { body: { servers: [server()], projects: [project()] } }],
    () => ['/api/v1/projects', { body: project() }],
    () => [`/api/v1/servers/${name()}/scale`, { method: 'PUT', body: { spec: { replicas: pick(9) } } }],
    () => {
      const { name: other, ...body } = project()
      return [`/api/v1/projects/${other}`, { method: 'PUT', body, headers: anyway }]
    },
    () => [`/api/v1/projects/${name()}`, { method: 'DELETE' }],
    () =>
      pick(4) === 0 ? [`/api/v1/servers/${name()}`, { method: 'DELETE' }] : ['/api/v1/servers', { body: server() }],
  ]
  return Array.from({ length: count }, () => (made[pick(made.length)] as () => [string, Sent])())
}

/** Eight clients at once, each with every eighth request. */
const run = async (seed: number, count: number): Promise<number[]> => {
  const requests = workload(seed, count)
  const statuses: number[] = []
  const client = async (nr: number) => {
    for (const [path, sent] of requests.filter((_, index) => index % 8 === nr))
      statuses.push((await daemon.send(path, sent)).status)
  }
  await Promise.all(Array.from({ length: 8 }, (_, nr) => client(nr)))
  return statuses
}

interface Tables {
  objects: string[]
  references: string[]
}

const tables = async (client: Pick<PoolClient, 'query'>): Promise<Tables> => {
  const read = async (sql: string) => (await client.query<{ line: string }>(sql)).rows.map(({ line }) => line)
  return {
    objects: await read(
      `select concat_ws(' ', kind, uid, name, labels, from_position, to_position, object::text) as line
         from rm.object order by uid, from_position`,
    ),
    references: await read(
      `select concat_ws(' ', from_kind, from_uid, from_name, to_kind, to_name) as line
         from rm.reference order by from_uid, to_kind, to_name`,
    ),
  }
}

/** The same tables made anew from the log, in batches of this size, in a transaction that is taken back. */
const rebuilt = async (batch: number): Promise<Tables> => {
  const log = await events(daemon)
  const client = await daemon.parts.store.pool.connect()
  try {
    await client.query('begin')
    await client.query('delete from rm.object')
    await client.query('delete from rm.reference')
    const project = objectProjection(kinds, daemon.parts.store.epoch)
    for (let from = 0; from < log.length; from += batch) await project(client, log.slice(from, from + batch))
    return await tables(client)
  } finally {
    await client.query('rollback')
    client.release()
  }
}

const live = async (): Promise<Tables> => {
  const client = await daemon.parts.store.pool.connect()
  try {
    return await tables(client)
  } finally {
    client.release()
  }
}

const caughtUp = async () => {
  const head = await position(daemon)
  expect(await daemon.parts.store.projector.waitFor(head, 20_000)).toBe(true)
  return head
}

const checkpoint = async () => {
  const { rows } = await daemon.parts.store.pool.query<{ position: string }>(
    `select position::text from es.checkpoint where processor = 'objects'`,
  )
  return BigInt(rows[0]?.position ?? 0)
}

describe('the read models', () => {
  it('after a workload are what the log says, byte for byte, however the events were batched', async () => {
    const statuses = await run(7, 400)
    expect(statuses.filter((status) => status >= 500)).toEqual([])
    expect(statuses.filter((status) => status < 300).length).toBeGreaterThan(100)
    const head = await caughtUp()
    expect(await checkpoint()).toBe(head)
    const now = await live()
    expect(now.objects.length).toBeGreaterThan(100)
    for (const batch of [100_000, 7, 1]) expect(await rebuilt(batch)).toEqual(now)
  }, 60_000)

  it('survive that the projector is cut off in the middle of batches', async () => {
    const owner = await daemon.database.connect()
    const cut = async () => {
      const { rows } = await owner.query<{ pid: number }>(
        `select distinct l.pid from pg_locks l join pg_class c on c.oid = l.relation
          where c.relname in ('checkpoint', 'object') and l.mode = 'RowShareLock' and l.pid <> pg_backend_pid()
            and l.database = (select oid from pg_database where datname = current_database())`,
      )
      for (const { pid } of rows) await owner.query('select pg_terminate_backend($1)', [pid])
      return rows.length
    }
    const work = run(11, 200)
    let cuts = 0
    const deadline = performance.now() + 20_000
    // Not for ever: the projector waits longer after each failure.
    while (cuts < 6 && performance.now() < deadline) cuts += await cut()
    await work
    expect(cuts).toBeGreaterThan(0)
    const head = await caughtUp()
    expect(await checkpoint()).toBe(head)
    expect(await rebuilt(100_000)).toEqual(await live())
  }, 120_000)

  it('hold one version of each object at each position', async () => {
    const { rows } = await daemon.parts.store.pool.query<{ uid: string }>(
      `select a.uid from rm.object a join rm.object b on a.uid = b.uid and a.from_position < b.from_position
        where a.to_position is null or a.to_position > b.from_position`,
    )
    expect(rows).toEqual([])
  })

  it('tell the generation of an object by how often its spec has changed', async () => {
    const log = await events(daemon)
    const byStream = new Map<string, ResourceObject>()
    for (const event of log) {
      const kind = kinds.find(({ category }) => category === event.category)
      if (!kind) continue
      const before = byStream.get(event.streamId)
      const after = foldVersion({ kind: kind.kind, view: kind.view, epoch: 1 }, before, event)
      if (!after) continue
      byStream.set(event.streamId, after)
      if (before === undefined) expect(after.metadata.generation).toBe(1)
      else {
        const hasChanged = JSON.stringify(before.spec) !== JSON.stringify(after.spec)
        expect(after.metadata.generation).toBe(before.metadata.generation + (hasChanged ? 1 : 0))
      }
    }
    expect(byStream.size).toBeGreaterThan(10)
  })
})
