import { describe, expect, it } from '@jest/globals'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { randomUUID } from 'node:crypto'
import { bundle } from '../../test/support/bundle'
import { handshake } from './contract-client'
import { npmPackage } from './contract-packages'
import type { Unit } from './driver'
import { driverContract, orderOf, template } from './driver.contract'
import { ProcessDriver } from './process-driver'
import { findByEnv, startOf } from './process-table'

const everything = template({ package: npmPackage('server-everything') })
const memory = template({
  package: npmPackage('server-memory'),
  env: [{ name: 'MEMORY_FILE_PATH', value: '/dev/null' }],
})

const filesBelow = async (directory: string): Promise<string[]> => {
  const all = await Promise.all(['run', 'work'].map((name) => readdir(join(directory, name)).catch(() => [])))
  return all.flat()
}

const markedOf = (storeId: string) => findByEnv({ MCPCTL_STORE: storeId })

driverContract('process', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'process-driver-'))
  const storeId = randomUUID()
  return {
    open: () => new ProcessDriver({ storeId, directory }),
    everything,
    everythingHttp: template({ package: npmPackage('server-everything'), transport: 'http', args: ['streamableHttp'] }),
    memory,
    wrong: [
      { template: template({ package: 'npm:left-pad' }), reason: 'CreateConfigError', says: /exact version/ },
      {
        template: template({ package: 'npm:@modelcontextprotocol/server-memory@0.0.0-none' }),
        reason: 'PackageInstallFailed',
        says: /^package @modelcontextprotocol\/server-memory@0\.0\.0-none could not be installed: /,
      },
      {
        template: { ...memory, command: ['nothing'] },
        reason: 'CreateConfigError',
        says: /its bins are mcp-server-memory$/,
      },
    ],
    kill: (unit) => {
      process.kill(Number(unit.handle), 'SIGKILL')
      return Promise.resolve()
    },
    leftovers: async () => {
      const temporary = (await readdir(join(directory, 'packages'))).filter((name) => name.startsWith('.'))
      const processes = (await markedOf(storeId)).map(({ pid }) => String(pid))
      return [...temporary, ...(await filesBelow(directory)), ...processes]
    },
    remove: () => rm(directory, { recursive: true }),
  }
})

describe('driver process', () => {
  it('refuses what it cannot enforce, field by field', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'process-driver-'))
    const driver = new ProcessDriver({ storeId: randomUUID(), directory })
    const wanted = template({
      image: 'example/x:1',
      transport: 'http',
      port: 3000,
      resources: { memory: '1Gi' },
      network: { mode: 'none' },
      env: [
        { name: 'PORT', value: '1' },
        { name: 'MCPCTL_STORE', value: 'x' },
      ],
    })
    const pointers = driver.unsupported(wanted).map(({ pointer }) => pointer)
    expect(pointers.toSorted()).toEqual(
      [
        '/spec/image',
        '/spec/port',
        '/spec/resources',
        '/spec/network',
        '/spec/env/0/name',
        '/spec/env/1/name',
      ].toSorted(),
    )
    expect(driver.unsupported(everything)).toEqual([])
    await rm(directory, { recursive: true })
  })

  it('ends what a killed daemon has left, and nothing of a daemon that lives', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'process-driver-'))
    const storeId = randomUUID()
    const program = await bundle('test/support/driver-host.ts', 'driver-host')
    // Serves http, as that does not end with its standard input.
    const wanted = template({ package: npmPackage('server-everything'), transport: 'http', args: ['streamableHttp'] })
    const input = JSON.stringify({
      driver: 'process',
      options: { storeId, directory },
      orders: [orderOf(wanted), orderOf(wanted)],
    })
    const host = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
    const driver = new ProcessDriver({ storeId, directory: `${directory}-other` })
    try {
      host.stdin.end(input)
      const [line] = (await once(createInterface({ input: host.stdout }), 'line')) as [string]
      const units = JSON.parse(line) as Unit[]
      const alive = async () =>
        (await Promise.all(units.map((unit) => startOf(Number(unit.handle))))).filter((start) => start !== undefined)
          .length

      expect(await driver.list()).toEqual([])
      expect(await alive()).toBe(2)

      host.kill('SIGKILL')
      await once(host, 'exit')
      expect(await alive()).toBe(2)
      const next = new ProcessDriver({ storeId, directory })
      expect(await next.list()).toEqual([])
      expect(await alive()).toBe(0)
      expect(await markedOf(storeId)).toEqual([])
      expect(await filesBelow(directory)).toEqual([])
      await next.close()
    } finally {
      host.kill('SIGKILL')
      await driver.close()
      await Promise.all(
        [directory, `${directory}-other`, program].map((path) => rm(path, { recursive: true, force: true })),
      )
    }
  }, 180_000)

  it('installs a package once for all who want it, and needs no npm from then on', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'process-driver-'))
    const driver = new ProcessDriver({ storeId: randomUUID(), directory })
    const orders = [orderOf(memory), orderOf(memory), orderOf(memory)]
    await Promise.all(orders.map((order) => driver.start(order)))
    expect(await readdir(join(directory, 'packages'))).toHaveLength(1)
    await driver.close()
    process.env.npm_config_registry = 'http://127.0.0.1:9/'
    const next = new ProcessDriver({ storeId: randomUUID(), directory })
    try {
      const order = orderOf(memory)
      await next.start(order)
      expect(await handshake(await next.connect(order.uid))).toBe('memory-server')
    } finally {
      delete process.env.npm_config_registry
      await next.close()
      await rm(directory, { recursive: true })
    }
  }, 180_000)
})
