import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { ask, handshake, until } from './contract-client'
import type { Driver, InstanceOrder, InstanceTemplate, LogLine, Unit } from './driver'
import { StartError } from './driver'

/** The real thing under a driver, as the contract needs it. */
export interface ContractWorld {
  /** A driver of the world's store; several may follow one another. */
  open(): Driver
  /** Templates of server-everything (both transports) and of server-memory. */
  everything: InstanceTemplate
  everythingHttp: InstanceTemplate
  memory: InstanceTemplate
  /** Templates that cannot start, each with what the refusal must say. */
  wrong: { template: InstanceTemplate; reason: StartError['reason']; says: RegExp }[]
  /** Kills the unit from outside, as a crash would. */
  kill(unit: Unit): Promise<void>
  /** What of the store is still there: processes, containers, networks, files. */
  leftovers(): Promise<string[]>
  remove(): Promise<void>
}

export const template = (fields: Partial<InstanceTemplate>): InstanceTemplate => ({
  transport: 'stdio',
  command: [],
  args: [],
  env: [],
  ...fields,
})

export const orderOf = (wanted: InstanceTemplate, uid: string = randomUUID()): InstanceOrder => ({
  uid,
  name: `server-${uid.slice(0, 4)}-0`,
  serverUid: randomUUID(),
  serverName: 'server',
  templateHash: 'abcd1234',
  template: wanted,
  inputs: {
    env: wanted.env.flatMap((entry) => ('value' in entry ? [entry] : [])),
    files: [],
    secrets: [],
    secretEnv: [],
  },
  term: 1,
})

const textsOf = async (lines: AsyncIterable<LogLine>): Promise<string[]> => {
  const texts: string[] = []
  for await (const line of lines) texts.push(line.text)
  return texts
}

const startLine = /^Starting default \(STDIO\) server/

/** What every driver that starts something keeps to. */
export const driverContract = (name: string, build: () => Promise<ContractWorld>) => {
  describe(`driver ${name}`, () => {
    let world: ContractWorld
    let driver: Driver
    let changes: string[] = []

    const reopen = () => {
      driver = world.open()
      changes = []
      driver.onChange((uid) => changes.push(uid))
    }
    const unitOf = async (uid: string) => (await driver.list()).find((unit) => unit.instanceUid === uid)
    const exited = (uid: string) =>
      until('the unit to have exited', async () => {
        const unit = await unitOf(uid)
        return unit?.state === 'exited' ? unit : undefined
      })
    const startLines = async (uid: string) =>
      (await textsOf(driver.logs(uid, {}))).filter((text) => startLine.test(text)).length

    beforeAll(async () => {
      world = await build()
      reopen()
    }, 180_000)
    afterEach(async () => {
      for (const unit of await driver.list()) await driver.stop(unit.instanceUid, 0)
    }, 60_000)
    afterAll(async () => {
      await driver.close()
      await world.remove()
    }, 60_000)

    it('answers a ping', async () => {
      await driver.ping()
    })

    it('starts a unit once, however often it is told', async () => {
      const order = orderOf(world.everything)
      const [first, second] = await Promise.all([driver.start(order), driver.start(order)])
      const third = await driver.start(order)
      expect([second.handle, third.handle]).toEqual([first.handle, first.handle])
      expect(await driver.list()).toEqual([
        {
          instanceUid: order.uid,
          serverUid: order.serverUid,
          templateHash: 'abcd1234',
          handle: first.handle,
          state: 'running',
          startedAt: expect.stringMatching(/^\d{4}-.*Z$/),
        },
      ])
      expect(changes).toContain(order.uid)
    }, 180_000)

    it('lends the MCP channel, one connection after the other in the same session', async () => {
      const order = orderOf(world.memory)
      await driver.start(order)
      const first = await driver.connect(order.uid)
      expect(await handshake(first)).toBe('memory-server')
      if (first.transport === 'stdio') first.close()
      const second = await driver.connect(order.uid)
      expect(await ask(second, { id: 'p', method: 'ping' })).toEqual({ jsonrpc: '2.0', id: 'p', result: {} })
    }, 180_000)

    it('reaches every copy of an http server', async () => {
      const orders = [orderOf(world.everythingHttp), orderOf(world.everythingHttp)]
      await Promise.all(orders.map((order) => driver.start(order)))
      const connections = await Promise.all(orders.map((order) => driver.connect(order.uid)))
      const names = await Promise.all(connections.map(handshake))
      expect(names).toEqual(['mcp-servers/everything', 'mcp-servers/everything'])
      expect(new Set(connections.map((each) => (each.transport === 'http' ? each.url : ''))).size).toBe(2)
      // Standard output is no MCP channel here, so it belongs to the log.
      await until('the first line', async () =>
        (await textsOf(driver.logs(orders[0]?.uid ?? '', {}))).includes('Starting Streamable HTTP server...'),
      )
    }, 180_000)

    it('leaves nothing behind a stopped unit, and stopping it again succeeds', async () => {
      for (const wanted of [world.everything, world.everythingHttp]) {
        const order = orderOf(wanted)
        await driver.start(order)
        await driver.stop(order.uid, 10)
        expect(await driver.list()).toEqual([])
        expect(await world.leftovers()).toEqual([])
        await driver.stop(order.uid, 10)
        await expect(driver.connect(order.uid)).rejects.toThrow('does not run')
      }
    }, 180_000)

    it('shows a crash, ends its connection, and replaces it when started again', async () => {
      const order = orderOf(world.everything)
      const unit = await driver.start(order)
      const connection = await driver.connect(order.uid)
      await handshake(connection)
      changes = []
      await world.kill(unit)
      const dead = await exited(order.uid)
      expect(dead.exit).toMatchObject({ signal: 'SIGKILL', oom: false })
      await until('the change to be reported', () => Promise.resolve(changes.includes(order.uid)))
      if (connection.transport === 'stdio')
        await until('the end', () => Promise.resolve(connection.output.resume().readableEnded))
      await expect(driver.connect(order.uid)).rejects.toThrow()
      const next = await driver.start(order)
      expect(next.handle).not.toBe(unit.handle)
      expect(await driver.list()).toHaveLength(1)
    }, 180_000)

    it('shows the exit code of a server that ends by itself', async () => {
      const order = orderOf({ ...world.everything, args: ['no-such-transport'] })
      await driver.start(order)
      expect((await exited(order.uid)).exit).toMatchObject({ code: 1, signal: null, oom: false })
      await until('its last words', async () =>
        (await textsOf(driver.logs(order.uid, {}))).includes('Unknown transport: no-such-transport'),
      )
    }, 180_000)

    it('keeps the log across restarts, to be read from any end and followed', async () => {
      const order = orderOf(world.everything)
      const following = new AbortController()
      const followed: string[] = []
      const unit = await driver.start(order)
      await until('the first line', async () => (await startLines(order.uid)) === 1)
      const done = (async () => {
        for await (const line of driver.logs(order.uid, { follow: true, signal: following.signal }))
          followed.push(line.text)
      })()
      await world.kill(unit)
      await exited(order.uid)
      const restartedAt = new Date().toISOString()
      await driver.start(order)
      await until('the line of the second run', async () => (await startLines(order.uid)) === 2)
      await until('the follower to have both', () =>
        Promise.resolve(followed.filter((text) => startLine.test(text)).length === 2),
      )
      following.abort()
      await done
      expect(await textsOf(driver.logs(order.uid, { tail: 0 }))).toEqual([])
      const last = await textsOf(driver.logs(order.uid, { tail: 1 }))
      expect(last).toEqual((await textsOf(driver.logs(order.uid, {}))).slice(-1))
      const recent = await textsOf(driver.logs(order.uid, { since: restartedAt }))
      expect(recent.filter((text) => startLine.test(text))).toHaveLength(1)
    }, 180_000)

    it('says why a template cannot start, and leaves nothing of it', async () => {
      for (const { template: bad, reason, says } of world.wrong) {
        const failure: unknown = await driver.start(orderOf(bad)).catch((error: unknown) => error)
        expect([bad, failure]).toEqual([bad, expect.any(StartError)])
        expect((failure as StartError).reason).toBe(reason)
        expect((failure as StartError).message).toMatch(says)
      }
      expect(await driver.list()).toEqual([])
      expect(await world.leftovers()).toEqual([])
    }, 180_000)

    it('has no values of the daemon in the environment of a unit, and no variable in its arguments', async () => {
      process.env.CONTRACT_CANARY = 'canary-of-the-daemon'
      const order = orderOf({ ...world.everything, env: [{ name: 'GREETING', value: 'canary-of-the-unit' }] })
      await driver.start(order)
      const connection = await driver.connect(order.uid)
      await handshake(connection)
      const params = { name: 'get-env', arguments: {} }
      const answer = JSON.stringify(await ask(connection, { id: 2, method: 'tools/call', ...{ params } }))
      delete process.env.CONTRACT_CANARY
      expect(answer).toContain('canary-of-the-unit')
      expect(answer).not.toContain('canary-of-the-daemon')
    }, 180_000)

    it('refuses everything once it is closed', async () => {
      await driver.close()
      await expect(driver.list()).rejects.toThrow('closed')
      await expect(driver.start(orderOf(world.everything))).rejects.toThrow('closed')
      reopen()
    })
  })
}
