import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../support/binaries'
import { Sandbox } from '../support/mcpd-process'
import { SlowRegistry } from '../support/slow-registry'
import { converged, copies, memory, packageOf } from './world'

const held = '@modelcontextprotocol/server-memory'

describe('a package that takes long to install', () => {
  let registry: SlowRegistry
  let sandbox: Sandbox
  beforeAll(async () => {
    registry = await SlowRegistry.open()
  })
  afterAll(() => registry.close())
  beforeEach(async () => {
    sandbox = await Sandbox.create({ sharedPackages: false, env: registry.env() })
    await sandbox.start()
    const install = registry.hold(held)
    await sandbox.api().apply({ servers: [memory('slow', 2)] })
    await install.isAwaited()
  }, 90_000)
  afterEach(() => sandbox.remove(), 60_000)

  const unfinished = async () =>
    (await readdir(join(sandbox.data, 'instances', 'packages'))).filter((name) => name.startsWith('.installing-'))

  it.each<[string, () => Promise<unknown>]>([
    ['SIGTERM', async () => expect(await sandbox.end('SIGTERM')).toBe(0)],
    ['mcpctl down', async () => expect(await sandbox.must('down')).toMatch(/^mcpd stopped/)],
  ])(
    'holds up no end by %s, and leaves nothing of itself',
    async (_, end) => {
      expect(await unfinished()).toHaveLength(1)
      const began = performance.now()
      await end()
      expect(performance.now() - began).toBeLessThan(30_000)
      expect(await sandbox.running()).toEqual([])
      expect(await unfinished()).toEqual([])
      registry.release(held)
      await sandbox.start()
      await converged(sandbox)
    },
    120_000,
  )

  it('holds up neither the deletion of its server nor the packages of others', async () => {
    const thinking = { name: 'quick', package: packageOf('sequential-thinking'), transport: 'stdio', replicas: 1 }
    await sandbox.api().apply({ servers: [thinking] })
    await until('the other runs', async () => (await copies(sandbox, 'quick'))[0]?.status['ready'] === true)
    const began = performance.now()
    expect(await sandbox.must('delete', 'server', 'slow')).toContain('deleted')
    const gone = async () =>
      (await sandbox.api().list('servers')).items.every(({ metadata }) => metadata.name !== 'slow')
    await until('the server is gone', gone, 20_000)
    expect(performance.now() - began).toBeLessThan(20_000)
    await converged(sandbox)
    expect((await sandbox.api().list('instances')).items.map(({ spec }) => spec['server'])).toEqual(['quick'])
  }, 120_000)
})
