import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { rbacOf } from '../support/access-fixture'
import { AccessWorld } from '../support/access-world'
import { until } from '../support/binaries'
import type { Caller } from '../support/caller'
import { EventSource } from '../support/event-source'
import { callEcho, exchange, initialize } from '../support/mcp-exchange'
import { twoDaemons, type Pair } from '../support/two-daemons'
import { goneWithinMs } from '../support/deadlines'

const gave = ['view:servers', 'op logs', 'run:servers']

describe('a right that was taken away', () => {
  let pair: Pair
  let world: AccessWorld
  let second: string
  let vic: Caller

  beforeAll(async () => {
    pair = await twoDaemons({ env: AccessWorld.asRoot })
    world = AccessWorld.around(pair.first)
    second = pair.second.context().server
    await world.fill()
    await until('github answers', async () => (await callEcho(world.root, 'servers/github')).status === 200)
  }, 180_000)
  beforeEach(async () => {
    await world.restore()
    vic = await world.user('vic', gave)
    await until('the other daemon knows him', async () => (await vic.at(second).get('/servers')).status === 200)
  })
  afterAll(() => pair.remove(), 90_000)

  const disable = { users: [{ name: 'vic', type: 'human', enabled: false }] }
  const less = { rbac: [rbacOf('vic-rights', ['u:vic'], ['view:servers:team-a'])] }

  type Change = [what: string, change: () => Promise<unknown>, status: number]
  const changes: Change[] = [
    ['his binding is deleted', () => world.root.must(world.root.delete('/rbac/vic-rights')), 403],
    ['entries are taken from it', () => world.root.must(world.root.apply(less)), 403],
    ['he is disabled', () => world.root.must(world.root.apply(disable)), 401],
    ['he is deleted', () => world.root.must(world.root.delete('/users/vic')), 401],
    ['his token is revoked', () => revoke(vic), 401],
  ]

  const revoke = async (caller: Caller) => {
    const { token } = await caller.must(caller.get<{ token: { id: string } }>('/whoami'))
    await world.root.must(world.root.delete(`/tokens/${token.id}?user=vic`))
  }

  it.each(changes)(
    'B9 %s: the next request is refused, and within a second on the other daemon',
    async (_, change, status) => {
      expect(await vic.get('/servers/github')).toMatchObject({ status: 200 })
      expect(await vic.at(second).get('/servers/github')).toMatchObject({ status: 200 })
      await change()
      expect(await vic.get('/servers/github')).toMatchObject({ status })
      const isRefused = async () => (await vic.at(second).get('/servers/github')).status === status
      await until('the other daemon refuses', isRefused, goneWithinMs)
    },
  )

  const kept: [string, (caller: Caller) => Promise<EventSource>][] = [
    ['watch', (caller) => EventSource.watch(caller, 'servers')],
    ['log', (caller) => EventSource.open(caller, '/servers/github/logs?follow=1', 'application/x-ndjson')],
  ]
  const openings = changes.flatMap(([what, change]) => kept.map(([name, open]) => [what, name, change, open] as const))

  it.each(openings)('B9 %s: an open %s ends, on both daemons', async (_, __, change, open) => {
    const streams: EventSource[] = []
    try {
      for (const caller of [vic, vic.at(second)]) {
        const stream = await open(caller)
        streams.push(stream)
        expect(stream.status).toBe(200)
        await until('something has come', () => stream.text !== '' || undefined)
      }
      await change()
      const changed = performance.now()
      const ends = await Promise.all(streams.map((stream) => stream.ended()))
      for (const end of ends) expect(end - changed).toBeLessThan(goneWithinMs)
    } finally {
      for (const stream of streams) stream.close()
    }
  })

  it('a watch says why, so that its reader lists again', async () => {
    const source = await EventSource.watch(vic, 'servers')
    await source.saw('ADDED', 'github')
    await world.root.must(world.root.apply(less))
    await source.ended()
    expect(source.events.at(-1)).toMatchObject({ type: 'ERROR', object: { reason: 'AccessChanged' } })
    const again = await EventSource.watch(vic, 'servers')
    await again.saw('ADDED', 'team-a')
    expect(again.names).toEqual(['team-a'])
    again.close()
  })

  it('a change that does not touch him leaves his watch open', async () => {
    const source = await EventSource.watch(vic, 'servers')
    await source.saw('ADDED', 'github')
    await world.user('somebody', ['view:servers'])
    await world.root.must(world.root.apply({ servers: [await labelled('after')] }))
    await source.saw('MODIFIED', 'team-a')
    expect(source.endedAt).toBeUndefined()
    source.close()
  })

  const labelled = async (value: string) => {
    const { spec } = await world.read('/servers/team-a')
    return { name: 'team-a', ...spec, labels: { changed: value } }
  }

  it('a tool call in progress ends', async () => {
    for (const caller of [vic, vic.at(second)]) {
      await world.restore()
      await world.root.must(
        world.root.apply({ rbac: [rbacOf('vic-rights', ['u:vic'], gave)], users: [{ name: 'vic', type: 'human' }] }),
      )
      const asking = caller.withToken(await world.issue('vic'))
      const opened = await until('he may', async () => {
        const { session, status } = await initialize(asking, 'servers/github')
        return status === 200 ? session : undefined
      })
      const params = { name: 'trigger-long-running-operation', arguments: { duration: 30, steps: 30 } }
      const call = exchange(asking, 'servers/github', { id: 2, method: 'tools/call', params }, opened).catch(
        () => undefined,
      )
      await until('the call is in progress', async () => (await callEcho(asking, 'servers/github')).status === 200)
      const began = performance.now()
      await world.root.must(world.root.delete('/rbac/vic-rights'))
      const answer = await call
      expect(performance.now() - began).toBeLessThan(15_000)
      expect(answer?.body.result).toBeUndefined()
    }
  }, 90_000)

  it('a session of one is none of another’s', async () => {
    const { session } = await initialize(vic, 'servers/github')
    const ping = { id: 3, method: 'ping' }
    expect((await exchange(vic, 'servers/github', ping, session)).status).toBe(200)
    const other = vic.withToken(await world.issue('alice'))
    expect((await exchange(other, 'servers/github', ping, session)).status).toBe(404)
    const same = vic.withToken(await world.issue('vic'))
    expect((await exchange(same, 'servers/github', ping, session)).status).toBe(404)
  })

  it('somebody who may not see a server sees nothing of its tools', async () => {
    const seen = await vic.open('POST', '/mcp/projects/web', { body: { jsonrpc: '2.0', id: 1, method: 'tools/list' } })
    expect(seen.status).toBe(403)
    expect(await vic.get('/projects/web')).toMatchObject({ status: 403 })
  })
})
