import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { until } from '../../support/binaries'
import { inputsPackage } from '../../support/inputs-package'
import { overHttp } from '../../support/mcp-clients'
import { CanaryWorld } from '../canary-world'
import { copies } from '../world'
import { Engine } from './engine'

const engine = new Engine()

const manifest = (pem: string) => ({
  secrets: [{ name: 'canary', data: { pem } }],
  servers: [
    {
      name: 'canary',
      package: inputsPackage,
      transport: 'stdio',
      replicas: 1,
      secretFiles: [{ secret: 'canary', key: 'pem' }],
    },
  ],
})

/** Command lines of everything that runs on this machine: the engine, its shims and the containers among it. */
const everyCommandLine = async (): Promise<string> => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return lines.join('\n')
}

describe('values of secrets as files of containers', () => {
  let world: CanaryWorld
  let storeId: string
  let id: string
  const container = () => engine.docker.getContainer(id)
  const seen = async (): Promise<string> => {
    const client = await overHttp(world.sandbox, 'servers/canary')
    try {
      const { content } = JSON.parse(await client.call('get-file', { path: '/run/secrets/pem' })) as { content: string }
      return Buffer.from(content, 'base64').toString()
    } finally {
      await client.close()
    }
  }
  const apply = (value: string) =>
    world.type(JSON.stringify(manifest(value)), 'apply', '-f', '-', '--wait', '--timeout=150s')

  beforeAll(async () => {
    world = await CanaryWorld.create({ driver: 'docker', env: { MCPD_NODE_IMAGE: 'localhost/mcp-node-base:20' } })
    await world.sandbox.start()
    storeId = (await world.sandbox.api().status()).store.id
    const { old, current } = world.canaries
    expect((await apply(old.value)).err).not.toMatch(/error/i)
    await until('the first value is there', async () => (await seen()) === old.value, 120_000)
    await apply(current.value)
    await until('the next one is there', async () => (await seen()) === current.value, 120_000)
    const client = await overHttp(world.sandbox, 'servers/canary')
    await client.call('log-file', { path: '/run/secrets/pem' })
    await client.close()
    await until('it is alone', async () => (await copies(world.sandbox, 'canary')).length === 1)
    id = String((await copies(world.sandbox, 'canary'))[0]?.status['handle'])
  }, 300_000)
  afterAll(async () => {
    await world.sandbox.mcpctl('down', '--all')
    const left = await engine.clear(storeId)
    await world.remove()
    expect(left).toEqual([])
  }, 90_000)

  it.each<[string, string, () => Promise<string | Buffer>]>([
    ['what the engine tells of the container', '/run/secrets', async () => JSON.stringify(await container().inspect())],
    ['its list of containers', 'mcpctl.io/', async () => JSON.stringify(await engine.containers(storeId))],
    [
      'the layers of the image',
      'CreatedBy',
      async () => {
        const { Image } = await container().inspect()
        return JSON.stringify(await engine.docker.getImage(Image).history())
      },
    ],
    ['what the container has changed in them', '', async () => JSON.stringify(await container().changes())],
    ['the whole file system of the container', 'etc/passwd', async () => buffer(await container().export())],
    ['command lines of everything that runs here', 'mcp-server-inputs', everyCommandLine],
    ['logs of the instance', 'pem is ***', async () => (await world.run('logs', 'canary')).out],
    ["the daemon's log, at level trace", '"level":', () => world.sandbox.log()],
    [
      'output of commands, at -v 9',
      'canary',
      async () => {
        for (const type of ['servers', 'instances', 'secrets']) {
          await world.run('describe', type)
          await world.run('get', type, '-o', 'yaml', '--full')
        }
        return world.ran.map(({ out, err }) => out + err).join('\n')
      },
    ],
  ])(
    'are not in %s',
    async (name, shows, gather) => {
      const found = await gather()
      expect(found.includes(shows)).toBe(true)
      expect(world.canaries.find(found, name)).toEqual([])
    },
    60_000,
  )

  it('are not in what the engine keeps of the container on disk', async () => {
    const { DockerRootDir } = (await engine.docker.info()) as { DockerRootDir: string }
    const { files, hits } = await world.canaries.inDirectory(join(DockerRootDir, 'containers', id))
    expect(files).toBeGreaterThan(1)
    expect(hits).toEqual([])
  })

  it('are not in any file that the daemon has written', async () => {
    const { files, hits } = await world.canaries.inDirectory(world.sandbox.directory)
    expect(files).toBeGreaterThan(500)
    expect(hits).toEqual([])
  }, 300_000)
})
