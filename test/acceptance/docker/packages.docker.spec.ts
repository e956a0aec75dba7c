import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { overHttp } from '../../support/mcp-clients'
import { Sandbox } from '../../support/mcpd-process'
import { copies, everything, memory } from '../world'
import { Engine } from './engine'

const engine = new Engine()

describe('servers from packages, in containers', () => {
  let sandbox: Sandbox
  let storeId: string
  beforeAll(async () => {
    sandbox = await Sandbox.create({ driver: 'auto', env: { MCPD_NODE_IMAGE: 'localhost/mcp-node-base:20' } })
    await sandbox.start()
    storeId = (await sandbox.api().status()).store.id
  }, 60_000)
  afterAll(async () => {
    await sandbox.mcpctl('down', '--all')
    const left = await engine.clear(storeId)
    await sandbox.remove()
    expect(left).toEqual([])
  }, 90_000)

  it('are isolated and say so', async () => {
    await sandbox.api().apply({
      servers: [
        everything('app', 2),
        everything('web', 1, { transport: 'http', args: ['streamableHttp'], path: '/mcp' }),
        memory('memory', 1, { env: [{ name: 'MEMORY_FILE_PATH', value: '/tmp/memory.jsonl' }] }),
      ],
    })
    await engine.converged(sandbox, 150_000)
    expect(await sandbox.must('describe', 'server/app')).toMatch(/^Isolated: +yes$/m)
    expect(await sandbox.must('get', 'instances', '-o', 'wide')).toMatch(/^memory-\S+ .* docker .* yes$/m)
    for (const [server, tool] of [
      ['app', 'echo'],
      ['web', 'echo'],
      ['memory', 'read_graph'],
    ] as const) {
      const client = await overHttp(sandbox, `servers/${server}`)
      expect(await client.call(tool, { message: 'x' })).toBeTruthy()
      await client.close()
    }
    expect((await copies(sandbox, 'app')).map(({ spec }) => spec['driver'])).toEqual(['docker', 'docker'])
  }, 180_000)
})
