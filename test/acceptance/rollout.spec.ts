import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { ResourceObject } from '@mcpctl/contracts'
import { until } from '../support/binaries'
import { instanceOf, throughMcplocal } from '../support/mcp-clients'
import { Sandbox } from '../support/mcpd-process'
import { converged, copies, everything, meanwhile, rows } from './world'

const replicas = 3

describe('a change of the template', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    sandbox = await Sandbox.create()
    await sandbox.start()
    await apply({})
    await converged(sandbox)
  }, 120_000)
  afterAll(() => sandbox.remove(), 60_000)

  const apply = (more: Record<string, unknown>) =>
    sandbox
      .api()
      .apply({ servers: [everything('app', replicas, more)], projects: [{ name: 'team', servers: ['app'] }] })
  const server = async () => {
    const api = sandbox.api()
    const found = await api.get('servers', 'app')
    api.close()
    return found
  }
  const condition = ({ status }: ResourceObject, type: string) =>
    (status['conditions'] as { type: string; status: string; reason: string; message: string }[]).find(
      (one) => one.type === type,
    )
  const uids = async () => (await copies(sandbox, 'app')).map(({ metadata }) => metadata.uid)

  it('replaces copies one by one, below nothing that was wanted, without a failed call', async () => {
    const before = await uids()
    const client = await throughMcplocal(sandbox, 'team')
    const calling = meanwhile(async () => {
      const answer = await client.call('app__echo', { message: 'x' })
      if (answer !== 'Echo: x') throw new Error(answer)
    })
    const api = sandbox.api()
    const watching = meanwhile(async () => {
      const { status } = await api.get('servers', 'app')
      if ((status['availableReplicas'] as number) < replicas) throw new Error(`only ${JSON.stringify(status)}`)
    })
    for (const value of ['one', 'two']) {
      await apply({ env: [{ name: 'COLOUR', value }] })
      await converged(sandbox)
    }
    expect(await watching()).toMatchObject({ failures: [] })
    const { failures, rounds } = await calling()
    expect(failures).toEqual([])
    expect(rounds).toBeGreaterThan(20)
    const environment = await client.call('app__get-env')
    expect(JSON.parse(environment)).toMatchObject({ COLOUR: 'two' })
    expect(before).not.toContain(instanceOf(environment))
    await client.close()
    // One more than wanted at most, at any time, whatever a sample may have missed.
    const changes = await rows<{ type: string }>(
      sandbox,
      "select type from es.event where type in ('InstanceScheduled', 'InstanceStopped') order by position",
    )
    let alive = 0
    for (const { type } of changes) {
      alive += type === 'InstanceScheduled' ? 1 : -1
      expect(alive).toBeLessThanOrEqual(replicas + 1)
    }
    expect(alive).toBe(replicas)
  }, 120_000)

  it.each([
    ['crashes at its start', { args: ['nonsense'] }, /CrashLoopBackOff|Error/],
    ['names a program that the package has not', { command: ['nonsense'] }, /CreateConfigError/],
    [
      'names a package that does not exist',
      { package: 'npm:@modelcontextprotocol/server-nonsense@1.0.0' },
      /PackageInstallFailed/,
    ],
  ])(
    'that %s takes no healthy copy down, says why, and is mended by the next',
    async (_, wrong, reason) => {
      const before = await uids()
      const client = await throughMcplocal(sandbox, 'team')
      await apply(wrong)
      const degraded = await until('the server says that it is degraded', async () => {
        const found = condition(await server(), 'Degraded')
        return found?.status === 'True' && found
      })
      expect(degraded.reason).toMatch(/Error|CreateConfigError|PackageInstallFailed|CrashLoopBackOff/)
      expect(degraded.message).toMatch(/^instance app-[0-9a-f]{4}-\d: /)
      const failing = await until('the failing copy says why', async () => {
        const found = (await copies(sandbox, 'app')).find(({ metadata }) => !before.includes(metadata.uid))
        return reason.test(String(found?.status['phase'])) && found
      })
      expect(failing.status['ready']).toBe(false)
      expect(await server()).toMatchObject({ status: { phase: 'Degraded', availableReplicas: replicas } })
      expect((await sandbox.must('get', 'server', 'app', '--no-headers')).split(/ +/).slice(0, 5)).toEqual([
        'app',
        '3/3',
        '1',
        '3',
        'Degraded',
      ])
      expect(await uids()).toEqual(expect.arrayContaining(before))
      expect(await client.call('app__echo', { message: 'still' })).toBe('Echo: still')
      await apply({ env: [{ name: 'COLOUR', value: 'mended' }] })
      await converged(sandbox)
      expect(await server()).toMatchObject({ status: { phase: 'Running' } })
      expect(await client.call('app__echo', { message: 'after' })).toBe('Echo: after')
      await client.close()
    },
    120_000,
  )
})
