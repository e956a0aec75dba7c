import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { ResourceObject } from '@mcpctl/contracts'
import { until } from '../support/binaries'
import { Sandbox } from '../support/mcpd-process'
import { converged, copies, everything, rows } from './world'

const semver = 'npm:semver@7.8.1'

describe('an instance that ends', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    sandbox = await Sandbox.create()
    await sandbox.start()
  }, 60_000)
  afterAll(() => sandbox.remove(), 60_000)

  const apply = (server: Record<string, unknown> & { name: string }) => sandbox.api().apply({ servers: [server] })
  const only = async (server: string): Promise<ResourceObject | undefined> => (await copies(sandbox, server))[0]
  const phase = (server: string, wanted: string, within = 60_000) =>
    until(
      `${server} shows ${wanted}`,
      async () => {
        const found = await only(server)
        return found?.status['phase'] === wanted && found
      },
      within,
    )
  const failures = async (uid: string) => {
    const found = await rows<{ data: { at: string; nextStartAt: string; failures: number; reason: string } }>(
      sandbox,
      "select data from es.event where stream_id = $1 and type in ('InstanceExited', 'InstanceStartFailed') order by position",
      [`instance-${uid}`],
    )
    return found.map(({ data }) => data)
  }

  it('by kill -9 is started again in its place', async () => {
    await apply(everything('killed', 1))
    await converged(sandbox)
    const before = await only('killed')
    process.kill(Number(before?.status['handle']), 'SIGKILL')
    await until('it was restarted', async () => (await only('killed'))?.status['restarts'] === 1)
    await converged(sandbox)
    const after = await only('killed')
    expect(after?.metadata).toMatchObject({ name: before?.metadata.name, uid: before?.metadata.uid })
    expect(after?.status).toMatchObject({
      ready: true,
      restarts: 1,
      lastExit: { signal: 'SIGKILL', code: null, oom: false, reason: 'Error' },
    })
    expect(await sandbox.must('get', 'instances', '--no-headers')).toMatch(/^killed-\S+ +killed +yes +Running +1 /)
    await sandbox.must('delete', 'server', 'killed')
  }, 60_000)

  it('at once, with an error, is tried again ever more slowly', async () => {
    await apply(everything('crashing', 1, { args: ['nonsense'] }))
    const found = await phase('crashing', 'CrashLoopBackOff')
    // From then on it rests for eight seconds, so that what follows meets it at rest.
    await until('it was tried four times', async () => (await failures(found.metadata.uid)).length >= 4)
    const waits = (await failures(found.metadata.uid)).map(
      ({ at, nextStartAt }) => (Date.parse(nextStartAt) - Date.parse(at)) / 1000,
    )
    expect(waits.slice(0, 4)).toEqual([1, 2, 4, 8])
    expect(found.status['lastExit']).toMatchObject({ code: 1, reason: 'Error' })
    expect((await sandbox.must('get', 'server', 'crashing', '--no-headers')).split(/ +/).slice(1, 5)).toEqual([
      '0/1',
      '1',
      '0',
      'CrashLoopBackOff',
    ])
    const text = await sandbox.must('describe', 'server/crashing')
    expect(text).toMatch(/Degraded +True +Error .*exited with code 1; see: mcpctl logs instance\/crashing-/)
    expect(await sandbox.must('logs', 'crashing', '--tail', '50')).toContain('Unknown transport: nonsense')
    const waited = await sandbox.mcpctl('wait', '--for=condition=Available', 'server/crashing', '--timeout=1s')
    expect(waited.code).toBe(8)
    expect(waited.err).toMatch(
      /^error: timed out waiting for the condition on servers\/crashing: Available=False \(MinimumReplicasUnavailable: 0 of 1/,
    )
    await sandbox.must('delete', 'server', 'crashing')
  }, 60_000)

  it('at once, with success, is named as that and tried again', async () => {
    await apply({ name: 'completed', package: semver, transport: 'stdio', args: ['1.2.3'], replicas: 1 })
    await until('it has ended once', async () => (await only('completed'))?.status['lastExit'] !== undefined)
    const found = await phase('completed', 'CrashLoopBackOff')
    expect(found.status['lastExit']).toMatchObject({ code: 0, signal: null, reason: 'Completed' })
    const phases = await failures(found.metadata.uid)
    expect(phases[0]).toMatchObject({ reason: 'Completed', failures: 1 })
    await sandbox.must('delete', 'server', 'completed')
  }, 60_000)

  it('before it began, because its package does not exist, says what the registry said', async () => {
    await apply({ name: 'nowhere', package: 'npm:@modelcontextprotocol/server-nonsense@1.0.0', replicas: 1 })
    const found = await phase('nowhere', 'PackageInstallFailed')
    expect(found.status['conditions']).toMatchObject([
      {
        type: 'Ready',
        status: 'False',
        reason: 'PackageInstallFailed',
        message: expect.stringMatching(/404|not found/i),
      },
    ])
    const { message } = (found.status['conditions'] as { message: string }[])[0] ?? { message: '' }
    expect(message).not.toContain(sandbox.directory)
    await sandbox.must('delete', 'server', 'nowhere')
  }, 90_000)

  it('because the package has no such program, says which ones there are', async () => {
    await apply(everything('unknown', 1, { command: ['nonsense'] }))
    const found = await phase('unknown', 'CreateConfigError')
    expect((found.status['conditions'] as { message: string }[])[0]?.message).toContain('mcp-server-everything')
    await sandbox.must('delete', 'server', 'unknown')
  }, 60_000)

  it('while the server is deleted stays away', async () => {
    expect((await sandbox.api().list('instances')).items).toEqual([])
    await converged(sandbox)
    expect(await sandbox.runRecords()).toEqual([])
  })
})
