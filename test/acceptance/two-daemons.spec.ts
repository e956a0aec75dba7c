import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { until } from '../support/binaries'
import { instanceOf, overHttp, throughMcplocal } from '../support/mcp-clients'
import type { Sandbox } from '../support/mcpd-process'
import { leads, twoDaemons, type Pair } from '../support/two-daemons'
import { converged, copies, everything, intact } from './world'

describe('two daemons on one database', () => {
  let first: Sandbox
  let second: Sandbox
  let pair: Pair

  beforeAll(async () => {
    pair = await twoDaemons()
    ;[first, second] = [pair.first, pair.second]
    await first.api().apply({ servers: [everything('app', 2)], projects: [{ name: 'team', servers: ['app'] }] })
    await converged(first)
  }, 120_000)
  afterAll(() => pair.remove(), 90_000)

  it('one of them leads, and both know who', async () => {
    const [one, two] = await Promise.all([first.api().status(), second.api().status()])
    expect(one.leader).toEqual({ self: true, address: first.context().server })
    expect(two.leader).toEqual({ self: false, address: first.context().server })
    expect(two.store.id).toBe(one.store.id)
    expect(await second.must('status')).toContain(first.context().server)
  })

  it('the commands work against either', async () => {
    expect(await second.must('get', 'servers')).toMatch(/app +2\/2/)
    expect(await second.must('scale', 'server/app', '--replicas=3')).toBe('server/app scaled\n')
    await converged(second)
    expect(await first.must('get', 'servers')).toMatch(/app +3\/3/)
    expect((await second.must('logs', 'app')).split('\n').toSorted()).toEqual(
      (await first.must('logs', 'app')).split('\n').toSorted(),
    )
    const [one] = await copies(first, 'app')
    expect(await second.must('logs', `instance/${one?.metadata.name}`)).toBe('Starting default (STDIO) server...\n')
    expect(await second.mcpctl('logs', 'nothing')).toMatchObject({ code: 3 })
  }, 60_000)

  it('tools are called through either, in sessions of their own', async () => {
    const known = (await copies(first, 'app')).map(({ metadata }) => metadata.uid)
    for (const sandbox of [first, second])
      for (const client of [await throughMcplocal(sandbox, 'team'), await overHttp(sandbox, 'projects/team')]) {
        expect(await client.call('app__echo', { message: 'x' })).toBe('Echo: x')
        expect(known).toContain(instanceOf(await client.call('app__get-env')))
        const heard: number[] = []
        const slow = { name: 'app__trigger-long-running-operation', arguments: { duration: 0.3, steps: 3 } }
        await client.client.callTool(slow, undefined, { onprogress: ({ progress }) => void heard.push(progress) })
        expect(heard[0]).toBe(1)
        await client.close()
      }
    const refused = await fetch(`${second.context().server}/mcp/projects/team`, { method: 'POST' })
    expect(refused.status).toBe(401)
  })

  it('when the leader is killed the other takes over, and nothing runs twice', async () => {
    const client = await throughMcplocal(second, 'team')
    await client.call('app__echo', { message: 'before' })
    const began = performance.now()
    await first.end('SIGKILL')
    await leads(second)
    expect(performance.now() - began).toBeLessThan(15_000)
    await converged(second)
    const answer = await until('the session goes on', () => client.call('app__echo', { message: 'after' }))
    expect(answer).toBe('Echo: after')
    await client.close()
    await first.start()
    expect((await first.api().status()).leader).toEqual({ self: false, address: second.context().server })
    expect(await first.must('get', 'servers')).toMatch(/app +3\/3/)
  }, 150_000)

  it('a leader that was frozen finds itself replaced and does no harm', async () => {
    second.daemon?.kill('SIGSTOP')
    try {
      await leads(first)
      await first.api().apply({ servers: [everything('app', 1)] })
    } finally {
      second.daemon?.kill('SIGCONT')
    }
    await converged(first)
    await until('it knows who leads', async () => {
      const { leader } = await second.api().status()
      return !leader.self && leader.address === first.context().server
    })
    expect(await second.must('get', 'servers')).toMatch(/app +1\/1/)
    const client = await overHttp(second, 'servers/app')
    expect(await client.call('echo', { message: 'x' })).toBe('Echo: x')
    await client.close()
  }, 150_000)

  it('when the leader is told to end the other takes over', async () => {
    expect(await first.end('SIGTERM')).toBe(0)
    await leads(second)
    await converged(second)
    await intact(second)
  }, 90_000)
})
