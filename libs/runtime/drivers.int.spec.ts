import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LogLine } from './driver'
import { StartError } from './driver'
import { orderOf, template } from './driver.contract'
import type { Drivers } from './drivers'
import { openDrivers } from './drivers'

const remote = template({ url: 'https://127.0.0.1/mcp', transport: 'http' })

describe('drivers without an engine', () => {
  let directory = ''
  let drivers: Drivers
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'drivers-'))
    const dockerHost = `unix://${join(directory, 'none.sock')}`
    const [storeId, nodeImage] = [randomUUID(), 'example/node:20']
    drivers = await openDrivers({ storeId, epoch: 1, directory, dockerHost, nodeImage, allowLoopback: true })
  })
  afterAll(async () => {
    await drivers.close()
    await rm(directory, { recursive: true })
  })

  it('choose by what is to run', () => {
    expect(drivers.choose(remote).name).toBe('remote')
    expect(drivers.choose(template({ image: 'example/x:1' })).name).toBe('docker')
    expect(drivers.choose(template({ package: 'npm:x@1.0.0' })).name).toBe('process')
    expect(drivers.choose(template({ package: 'npm:x@1.0.0' })).isolated).toBe(false)
  })

  it('say which of them can work', async () => {
    expect(await drivers.status()).toEqual([
      {
        name: 'docker',
        isolated: true,
        available: false,
        message: expect.stringMatching(/^the container engine does not answer: /),
      },
      { name: 'process', isolated: false, available: true },
      { name: 'remote', isolated: true, available: true },
    ])
  })

  it('keep a remote server as a record, from start to stop', async () => {
    const order = orderOf(remote)
    const driver = drivers.choose(remote)
    expect(driver.unsupported(remote)).toEqual([])
    const changes: string[] = []
    drivers.onChange((uid) => changes.push(uid))
    const unit = await driver.start(order)
    expect(await driver.start(order)).toEqual(unit)
    expect(unit).toMatchObject({ handle: '127.0.0.1', state: 'running' })
    const { units, unavailable } = await drivers.list()
    expect(units).toEqual([{ ...unit, driver: 'remote' }])
    expect(unavailable.map((each) => each.driver)).toEqual(['docker'])
    expect(await driver.connect(order.uid)).toMatchObject({ transport: 'http', url: remote.url })
    const lines: LogLine[] = []
    for await (const line of driver.logs(order.uid, {})) lines.push(line)
    expect(lines).toEqual([])
    await driver.stop(order.uid, 0)
    await driver.stop(order.uid, 0)
    expect((await drivers.list()).units).toEqual([])
    await expect(driver.connect(order.uid)).rejects.toThrow('does not run')
    expect(changes).toEqual([order.uid, order.uid])
  })

  it('refuse for a remote server what only a program has, and addresses that are not public', async () => {
    const driver = drivers.get('remote')
    const wanted = template({
      url: 'https://10.0.0.1/',
      args: ['x'],
      command: ['y'],
      env: [{ name: 'A', value: 'b' }],
      port: 1,
      network: { mode: 'none' },
    })
    expect(driver.unsupported(wanted).map(({ pointer }) => pointer)).toEqual(
      ['transport', 'port', 'command', 'args', 'env', 'network', 'url'].map((field) => `/spec/${field}`),
    )
    await expect(driver.start(orderOf(wanted))).rejects.toThrow(StartError)
  })

  it('connect to a remote name at an address that was checked', async () => {
    const server = createServer((socket) => socket.end())
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://localhost:${String((server.address() as AddressInfo).port)}/mcp`
    const driver = drivers.get('remote')
    const order = orderOf({ ...remote, url })
    await driver.start(order)
    const connection = await driver.connect(order.uid)
    const lookup = connection.transport === 'http' ? connection.lookup : undefined
    const address = await new Promise((resolve, reject) => {
      lookup?.('localhost', { family: 4 }, (error, found) => {
        if (error) reject(error)
        else resolve(found)
      })
    })
    expect(address).toBe('127.0.0.1')
    await driver.stop(order.uid, 0)
    server.close()
  })
})
