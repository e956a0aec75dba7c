import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type Docker from 'dockerode'
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { until } from '../../support/binaries'
import { overHttp, throughMcplocal } from '../../support/mcp-clients'
import { Sandbox } from '../../support/mcpd-process'
import { copies } from '../world'
import { Engine, everythingImage } from './engine'

const engine = new Engine()
const stdio = (name: string, replicas: number, more: Record<string, unknown> = {}) => ({
  name,
  image: everythingImage,
  transport: 'stdio',
  replicas,
  ...more,
})
const limits = { resources: { memory: '128Mi', cpu: '500m', pids: 64 } }
const manifest = {
  servers: [
    stdio('app', 2, limits),
    stdio('web', 1, {
      transport: 'http',
      args: ['streamableHttp'],
      port: 3001,
      path: '/mcp',
      network: { mode: 'egress' },
    }),
    stdio('alone', 1, { network: { mode: 'none' } }),
  ],
  projects: [{ name: 'team', servers: ['app', 'web', 'alone'] }],
}

describe('servers from images, in containers', () => {
  let sandbox: Sandbox
  let storeId: string
  const foreign: Docker.Container[] = []

  beforeAll(async () => {
    execFileSync(process.execPath, ['scripts/test-images.mjs', 'everything'])
    sandbox = await Sandbox.create({ driver: 'auto' })
    await sandbox.start()
    storeId = (await sandbox.api().status()).store.id
    for (const labels of [{}, { 'mcpctl.io/store-id': randomUUID(), 'mcpctl.io/instance-uid': randomUUID() }]) {
      const request = {
        Image: everythingImage,
        OpenStdin: true,
        StdinOnce: false,
        Labels: labels as Record<string, string>,
      }
      const container = await engine.docker.createContainer(request)
      foreign.push(container)
      await container.start()
    }
  }, 180_000)
  afterAll(async () => {
    for (const container of foreign) await container.remove({ force: true, v: true })
    await sandbox.mcpctl('down', '--all')
    const left = await engine.clear(storeId)
    await sandbox.remove()
    expect(left).toEqual([])
  }, 90_000)

  const containerOf = async (server: string): Promise<Docker.Container> => {
    const [copy] = await copies(sandbox, server)
    return engine.docker.getContainer(String(copy?.status['handle']))
  }
  const restarts = async () => {
    const { items } = await sandbox.api().list('instances')
    return items.map(({ status }) => status['restarts'] as number)
  }

  it('become ready, and answer over stdio and over http', async () => {
    const { code, err } = await sandbox.type(JSON.stringify(manifest), 'apply', '-f', '-', '--wait', '--timeout=120s')
    expect({ code, err }).toMatchObject({ code: 0 })
    await engine.converged(sandbox)
    expect(await sandbox.must('get', 'servers')).toMatch(/^app +2\/2 +2 +2 +Running/m)
    expect(await sandbox.must('get', 'instances', '-o', 'wide')).toMatch(/^web-\S+ +web +yes .* docker .* yes$/m)
    const project = await throughMcplocal(sandbox, 'team')
    for (const server of ['app', 'web', 'alone'])
      expect(await project.call(`${server}__echo`, { message: server })).toBe(`Echo: ${server}`)
    await project.close()
    const client = await overHttp(sandbox, 'servers/web')
    expect(await client.call('echo', { message: 'http' })).toBe('Echo: http')
    await client.close()
    expect(await sandbox.must('logs', 'alone')).toBe('Starting default (STDIO) server...\n')
  }, 150_000)

  it('have no rights and the limits that were declared', async () => {
    const { HostConfig, Config } = await (await containerOf('app')).inspect()
    expect(HostConfig).toMatchObject({
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges:true'],
      ReadonlyRootfs: true,
      Privileged: false,
      Init: true,
      PidsLimit: 64,
      Memory: 128 * 1024 * 1024,
      MemorySwap: 128 * 1024 * 1024,
      NanoCpus: 500_000_000,
      RestartPolicy: { Name: 'no' },
      LogConfig: { Type: 'none' },
    })
    expect(HostConfig.Binds ?? []).toEqual([])
    expect(Config.User).toMatch(/^[1-9]\d*/)
    const id = (await containerOf('app')).id
    // The second version of control groups, else the first.
    const limit = (now: string, before: string) =>
      engine.execute(id, 'sh', '-c', `cd /sys/fs/cgroup; cat ${now} 2>/dev/null || cat ${before}`).trim()
    expect(limit('memory.max', 'memory/memory.limit_in_bytes')).toBe('134217728')
    expect(limit('pids.max', 'pids/pids.max')).toBe('64')
    expect(() => engine.execute(id, 'touch', '/app/x')).toThrow(/Read-only/)
  })

  it('see the network only when that was declared', async () => {
    const interfaces = async (server: string) => engine.execute((await containerOf(server)).id, 'cat', '/proc/net/dev')
    expect(await interfaces('alone')).not.toContain('eth0')
    expect(await interfaces('web')).toContain('eth0')
    const published = Object.values((await (await containerOf('web')).inspect()).HostConfig.PortBindings ?? {})
    for (const { HostIp } of published.flat() as { HostIp: string }[]) expect(HostIp).toBe('127.0.0.1')
  })

  it('run on when mcpd is killed, are taken over, and sessions go on', async () => {
    const before = await engine.ids(storeId)
    const client = await throughMcplocal(sandbox, 'team')
    await client.call('app__echo', { message: 'before' })
    await sandbox.end('SIGKILL')
    expect(await engine.ids(storeId)).toEqual(before)
    await sandbox.start()
    await engine.converged(sandbox)
    const answer = await until('the session goes on', () => client.call('app__echo', { message: 'after' }))
    expect(answer).toBe('Echo: after')
    await client.close()
    expect(await engine.ids(storeId)).toEqual(before)
    expect(await restarts()).toEqual([0, 0, 0, 0])
  }, 90_000)

  it('run on over down and up', async () => {
    const before = await engine.ids(storeId)
    expect(await sandbox.must('down')).toMatch(/^mcpd stopped/)
    const states = (await engine.containers(storeId)).map(({ State }) => State)
    expect(states).toEqual(['running', 'running', 'running', 'running'])
    await sandbox.start()
    await engine.converged(sandbox)
    expect(await engine.ids(storeId)).toEqual(before)
    expect(await restarts()).toEqual([0, 0, 0, 0])
  }, 90_000)

  it('are replaced when somebody removes them', async () => {
    const before = await engine.ids(storeId)
    const victim = await containerOf('alone')
    await victim.remove({ force: true })
    await until('another one runs', async () => !(await engine.ids(storeId)).includes(victim.id))
    await engine.converged(sandbox)
    const after = await engine.ids(storeId)
    expect(after.filter((id) => before.includes(id))).toHaveLength(3)
  }, 60_000)

  it('that are killed are started anew at once, also those that speak http', async () => {
    const restartsOf = async () => Number((await copies(sandbox, 'web'))[0]?.status['restarts'])
    const before = await restartsOf()
    await (await containerOf('web')).kill()
    // Well before three pings could have gone unanswered.
    await until('it runs again', async () => (await restartsOf()) === before + 1, 25_000)
    await engine.converged(sandbox)
    const client = await overHttp(sandbox, 'servers/web')
    expect(await client.call('echo', { message: 'again' })).toBe('Echo: again')
    await client.close()
  }, 60_000)

  it('that scale or change follow one by one, and the rest stays', async () => {
    await sandbox.must('scale', 'server/app', '--replicas=3')
    await engine.converged(sandbox)
    const api = sandbox.api()
    await api.apply({ servers: [stdio('app', 3, { ...limits, env: [{ name: 'COLOUR', value: 'red' }] })] })
    let fewest = 3
    await until('it is rolled out', async () => {
      const { status } = await api.get('servers', 'app')
      fewest = Math.min(fewest, Number(status['availableReplicas']))
      return status['updatedReplicas'] === 3 && status['replicas'] === 3 && status['observedGeneration'] === 3
    })
    expect(fewest).toBe(3)
    await engine.converged(sandbox)
    const client = await overHttp(sandbox, 'servers/app')
    expect(JSON.parse(await client.call('get-env'))).toMatchObject({ COLOUR: 'red' })
    await client.close()
  }, 120_000)

  it('that run out of memory say so', async () => {
    const eat = 'const all = []; setInterval(() => all.push(Buffer.alloc(16 * 1024 * 1024, 1)), 10)'
    const hungry = stdio('hungry', 1, { command: ['node', '-e', eat], resources: { memory: '64Mi' } })
    await sandbox.api().apply({ servers: [hungry] })
    const found = await until('it has run out of memory', async () => {
      const [copy] = await copies(sandbox, 'hungry')
      return copy?.status['lastExit'] !== undefined && copy
    })
    expect(found.status['lastExit']).toMatchObject({ oom: true, reason: 'OOMKilled' })
    expect(await sandbox.must('describe', 'server/hungry')).toMatch(/OOMKilled/)
    await sandbox.must('delete', 'server', 'hungry')
  }, 60_000)

  it('whose image is not there say why', async () => {
    await sandbox.api().apply({ servers: [stdio('nowhere', 1, { image: '127.0.0.1:9/nowhere:1' })] })
    await until('it says why', async () => {
      const [copy] = await copies(sandbox, 'nowhere')
      return copy?.status['phase'] === 'ImagePullBackOff'
    })
    await sandbox.must('delete', 'server', 'nowhere')
  }, 60_000)

  it('of others are never touched', async () => {
    for (const container of foreign) expect((await container.inspect()).State.Running).toBe(true)
  })

  it('go with down --all, and come back with the daemon', async () => {
    expect(await sandbox.must('down', '--all')).toMatch(/^mcpd stopped/)
    expect(await engine.ids(storeId)).toEqual([])
    await sandbox.start()
    await engine.converged(sandbox)
    expect(await engine.ids(storeId)).toHaveLength(5)
    await sandbox.must('delete', 'servers,projects', '--all', '--yes')
    await engine.converged(sandbox)
    await until('the network is gone too', async () => {
      const filters = { label: [`mcpctl.io/store-id=${storeId}`] }
      return (await engine.docker.listNetworks({ filters })).length === 0
    })
  }, 120_000)
})
