import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { existsSync } from 'node:fs'
import { pause, until } from '../support/binaries'
import { throughMcplocal } from '../support/mcp-clients'
import { Sandbox } from '../support/mcpd-process'
import { converged, intact, memory, slotClaims } from './world'

/** How long after a change the daemon is killed: while it decides, starts, probes, reports. */
const delays = [0, 30, 80, 150, 300, 500, 800, 1_300]

describe('the daemon', () => {
  let sandbox: Sandbox
  let storeId: string
  beforeAll(async () => {
    sandbox = await Sandbox.create()
    await sandbox.start()
    storeId = (await sandbox.api().status()).store.id
    await apply('a', 2)
    await apply('b', 1)
    await converged(sandbox)
  }, 120_000)
  afterAll(() => sandbox.remove(), 60_000)

  const apply = (name: string, replicas: number, more: Record<string, unknown> = {}) =>
    sandbox.api().apply({ servers: [memory(name, replicas, more)], projects: [{ name: 'team', servers: ['a'] }] })

  const changes: [string, (round: number) => Promise<unknown>][] = [
    ['scaled up', () => apply('a', 4)],
    ['scaled down', () => apply('a', 1)],
    ['rolled out', (round) => apply('a', 3, { env: [{ name: 'ROUND', value: `${round}` }] })],
    ['deleted', () => sandbox.api().delete('servers', 'b')],
    ['created', (round) => apply('b', 2, { env: [{ name: 'ROUND', value: `${round}` }] })],
  ]
  const cases = delays.map((ms, n) => [ms, changes[n % changes.length]![0], n] as const)

  it.each(cases)(
    'killed %d ms after something was %s, goes on from there',
    async (ms, change, round) => {
      await changes.find(([name]) => name === change)![1](round)
      await pause(ms)
      await sandbox.end('SIGKILL')
      await sandbox.start()
      await converged(sandbox)
      expect(await slotClaims(sandbox)).toBe((await sandbox.runRecords()).length)
    },
    90_000,
  )

  it('killed while it installs a package, installs it and starts it', async () => {
    const fresh = await Sandbox.create({ sharedPackages: false })
    try {
      await fresh.start()
      await fresh.api().apply({ servers: [memory('new', 2)] })
      await until('the installation has begun', async () => (await fresh.log()).includes('installing package'))
      await fresh.end('SIGKILL')
      await fresh.start()
      await converged(fresh)
    } finally {
      await fresh.remove()
    }
  }, 120_000)

  it('killed again and again in the middle of its start, comes up whole', async () => {
    for (const ms of [100, 250, 400, 600, 900]) {
      await sandbox.end('SIGKILL')
      await sandbox.launch()
      await pause(ms)
    }
    await sandbox.end('SIGKILL')
    await sandbox.start()
    await converged(sandbox)
    await intact(sandbox)
  }, 90_000)

  it('killed and started again, serves the sessions of its clients again', async () => {
    await apply('a', 2)
    await converged(sandbox)
    const client = await throughMcplocal(sandbox, 'team')
    await client.call('a__read_graph')
    await sandbox.end('SIGKILL')
    await sandbox.start()
    await converged(sandbox)
    expect(await client.call('a__read_graph')).toContain('entities')
    await client.close()
  }, 90_000)

  it('stopped for a while by the system, goes on when it is let go', async () => {
    await apply('a', 2)
    await converged(sandbox)
    const { daemon } = sandbox
    daemon?.kill('SIGSTOP')
    // Longer than a lease: what happens meanwhile is what is tested.
    await pause(15_000)
    daemon?.kill('SIGCONT')
    await converged(sandbox)
    await apply('a', 3)
    await converged(sandbox)
    expect(sandbox.daemon?.exitCode).toBeNull()
  }, 120_000)

  it('told to end after it took over a running database, leaves no process within 30 s', async () => {
    await sandbox.end('SIGKILL')
    await sandbox.start()
    await converged(sandbox)
    const client = await throughMcplocal(sandbox, 'team')
    await client.call('a__read_graph')
    const began = performance.now()
    expect(await sandbox.end('SIGTERM')).toBe(0)
    expect(performance.now() - began).toBeLessThan(30_000)
    expect((await Sandbox.processes(storeId)).size).toBe(0)
    expect(existsSync(`${sandbox.data}/mcpd.json`)).toBe(false)
    await client.close()
    await until('everything has ended', async () => (await sandbox.running()).length === 0)
  }, 120_000)

  it('told to end while it starts, leaves no process', async () => {
    for (const ms of [150, 400, 700]) {
      await sandbox.launch()
      await pause(ms)
      await sandbox.end('SIGTERM')
      await until('everything has ended', async () => (await sandbox.running()).length === 0, 30_000)
    }
    await sandbox.start()
    await converged(sandbox)
  }, 180_000)
})
