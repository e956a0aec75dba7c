import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import Docker from 'dockerode'
import { execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo, Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { bundle } from '../../test/support/bundle'
import { ask, handshake, until } from './contract-client'
import { npmPackage } from './contract-packages'
import { DockerDriver } from './docker-driver'
import type { InstanceTemplate, LogLine, Unit } from './driver'
import { RuntimeUnavailable } from './driver'
import { driverContract, orderOf, template } from './driver.contract'

const socketPath = '/var/run/docker.sock'
const docker = new Docker({ socketPath })
const nodeImage = 'localhost/mcp-node-base:20'
const everything = template({ image: 'localhost/mcpctl-test/everything:1' })
const shell = (script: string): InstanceTemplate => ({ ...everything, command: ['sh', '-c', script] })

/** A registry that has no image at all. */
const emptyRegistry = createHttpServer((request, response) => {
  const isManifest = request.url?.includes('/manifests/') ?? false
  const errors = [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }]
  response.writeHead(isManifest ? 404 : 200, { 'content-type': 'application/json' })
  response.end(isManifest ? JSON.stringify({ errors }) : '{}')
})
let registry = ''

const labelled = (storeId: string) => ({ label: [`mcpctl.io/store-id=${storeId}`] })
const leftoversOf = async (storeId: string): Promise<string[]> => {
  const containers = await docker.listContainers({ all: true, filters: labelled(storeId) })
  const networks = await docker.listNetworks({ filters: labelled(storeId) })
  return [...containers.map(({ Names }) => Names.join()), ...networks.map(({ Name }) => Name)]
}

const removeAll = async (storeId: string) => {
  for (const { Id } of await docker.listContainers({ all: true, filters: labelled(storeId) }))
    await docker.getContainer(Id).remove({ force: true, v: true })
  for (const { Id } of await docker.listNetworks({ filters: labelled(storeId) })) await docker.getNetwork(Id).remove()
}

beforeAll(async () => {
  execFileSync(process.execPath, ['scripts/test-images.mjs', 'everything'])
  emptyRegistry.listen(0, '127.0.0.1')
  await once(emptyRegistry, 'listening')
  registry = `127.0.0.1:${String((emptyRegistry.address() as AddressInfo).port)}`
}, 300_000)
afterAll(() => {
  emptyRegistry.close()
  emptyRegistry.closeAllConnections()
})

driverContract('docker', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'docker-driver-'))
  const storeId = randomUUID()
  const memory = template({
    package: npmPackage('server-memory'),
    env: [{ name: 'MEMORY_FILE_PATH', value: '/tmp/memory.jsonl' }],
  })
  return {
    open: () => new DockerDriver({ storeId, epoch: 1, directory, nodeImage }),
    everything,
    everythingHttp: { ...everything, transport: 'http', args: ['streamableHttp'] },
    memory,
    wrong: [
      { template: template({ image: `${registry}/none:1` }), reason: 'ImageNotFound', says: /manifest unknown/ },
      { template: template({ image: '127.0.0.1:9/none:1' }), reason: 'ImagePullBackOff', says: /refused/ },
      {
        template: { ...everything, command: ['/nothing'] },
        reason: 'RunContainerError',
        says: /no program "\/nothing"/,
      },
      { template: { ...everything, command: ['nothing'] }, reason: 'RunContainerError', says: /no program "nothing"/ },
      { template: { ...everything, resources: { memory: '1Mi' } }, reason: 'CreateConfigError', says: /memory/i },
      { template: { ...everything, resources: { cpu: 'much' } }, reason: 'CreateConfigError', says: /no quantity/ },
      {
        template: { ...memory, command: ['nothing'] },
        reason: 'CreateConfigError',
        says: /bins are mcp-server-memory$/,
      },
    ],
    kill: async (unit) => {
      await docker.getContainer(unit.handle).kill({ signal: 'SIGKILL' })
    },
    leftovers: () => leftoversOf(storeId),
    remove: async () => {
      await removeAll(storeId)
      await rm(directory, { recursive: true })
    },
  }
})

describe('driver docker', () => {
  const storeId = randomUUID()
  let directory = ''
  const open = (more: { storeId?: string; dockerHost?: string } = {}) =>
    new DockerDriver({ storeId, epoch: 1, directory, nodeImage, ...more })

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'docker-driver-'))
  })
  afterAll(async () => {
    await removeAll(storeId)
    await rm(directory, { recursive: true })
  }, 60_000)

  const withDriver = async (work: (driver: DockerDriver) => Promise<void>) => {
    const driver = open()
    try {
      await work(driver)
    } finally {
      for (const unit of await driver.list()) await driver.stop(unit.instanceUid, 0)
      await driver.close()
    }
  }
  const exitOf = (driver: DockerDriver, uid: string) =>
    until('the exit', async () => (await driver.list()).find((unit) => unit.instanceUid === uid)?.exit)
  const logOf = async (driver: DockerDriver, uid: string) => {
    const lines: LogLine[] = []
    for await (const line of driver.logs(uid, {})) lines.push(line)
    return lines.map((line) => line.text)
  }

  it('gives a container no rights and bounds everything', async () => {
    await withDriver(async (driver) => {
      const order = orderOf({ ...everything, resources: { memory: '64Mi', cpu: '500m', pids: 32 } })
      const { handle } = await driver.start(order)
      const { Config, HostConfig, Mounts } = await docker.getContainer(handle).inspect()
      expect(Config.User).toBe('65532:65532')
      expect(Config.Labels).toMatchObject({
        'mcpctl.io/store-id': storeId,
        'mcpctl.io/epoch': '1',
        'mcpctl.io/server-uid': order.serverUid,
        'mcpctl.io/instance-uid': order.uid,
        'mcpctl.io/template-hash': order.templateHash,
        'mcpctl.io/term': '1',
      })
      expect(HostConfig).toMatchObject({
        CapDrop: ['ALL'],
        CapAdd: null,
        SecurityOpt: ['no-new-privileges:true'],
        ReadonlyRootfs: true,
        Tmpfs: { '/tmp': 'rw,noexec,nosuid,nodev,size=64m,mode=1777' },
        PidsLimit: 32,
        Memory: 64 * 2 ** 20,
        MemorySwap: 64 * 2 ** 20,
        NanoCpus: 500_000_000,
        Init: true,
        Privileged: false,
        PidMode: '',
        IpcMode: 'private',
        Binds: null,
        LogConfig: { Type: 'none' },
        PortBindings: null,
      })
      expect(HostConfig.Ulimits).toEqual([{ Name: 'nofile', Soft: 1024, Hard: 1024 }])
      expect(HostConfig.Devices ?? []).toEqual([])
      expect(Mounts).toEqual([])
    })
  }, 60_000)

  it('holds what a hostile program does', async () => {
    await withDriver(async (driver) => {
      const order = orderOf({
        ...shell(
          'id -u; touch /file 2>/dev/null || echo root is read-only; echo x >/tmp/x && echo tmp is writable;' +
            'mount -t tmpfs none /mnt 2>/dev/null || echo no mount; grep CapEff /proc/self/status; ulimit -n;' +
            'dd if=/dev/zero of=/tmp/big bs=1M count=100 2>/dev/null || echo tmp is bounded; ls /sys/class/net',
        ),
        network: { mode: 'none' },
      })
      const template = { ...order.template, command: ['sh', '-c', `{ ${order.template.command[2] ?? ''}; } >&2`] }
      await driver.start({ ...order, template })
      await exitOf(driver, order.uid)
      const lines = await until('all lines', async () => {
        const found = await logOf(driver, order.uid)
        return found.at(-1) === 'lo' ? found : undefined
      })
      expect(lines).toEqual([
        '65532',
        'root is read-only',
        'tmp is writable',
        'no mount',
        'CapEff:\t0000000000000000',
        '1024',
        'tmp is bounded',
        'lo',
      ])
    })
  }, 60_000)

  it('tells that memory ran out', async () => {
    await withDriver(async (driver) => {
      const eat = 'const all = []; for (;;) all.push(Buffer.alloc(2 ** 20, 1))'
      const order = orderOf({ ...everything, command: ['node', '-e', eat], resources: { memory: '64Mi' } })
      await driver.start(order)
      expect(await exitOf(driver, order.uid)).toMatchObject({ oom: true, signal: 'SIGKILL' })
    })
  }, 60_000)

  it('keeps containers from talking to each other', async () => {
    await withDriver(async (driver) => {
      const [server, client] = [orderOf({ ...everything, transport: 'http', args: ['streamableHttp'] }), randomUUID()]
      await driver.start(server)
      const connection = await driver.connect(server.uid)
      await handshake(connection)
      const { host, hostname, port } = new URL(connection.transport === 'http' ? connection.url : '')
      expect(host).not.toBe('')
      const script = `nc -w 3 ${hostname} ${port} </dev/null >/dev/null 2>&1 && echo reached >&2 || echo unreachable >&2`
      await driver.start(orderOf(shell(script), client))
      await exitOf(driver, client)
      await until('the verdict', async () => (await logOf(driver, client)).length > 0)
      expect(await logOf(driver, client)).toEqual(['unreachable'])
    })
  }, 60_000)

  it('leaves containers running and takes them up again, in the same session', async () => {
    const first = open()
    const order = orderOf(everything)
    const unit = await first.start(order)
    expect(await handshake(await first.connect(order.uid))).toBe('mcp-servers/everything')
    await first.close()
    await withDriver(async (driver) => {
      expect(await driver.list()).toEqual([unit])
      expect(await driver.start(order)).toEqual(unit)
      // Tools are listed only to whom has shaken hands.
      const answer = await ask(await driver.connect(order.uid), { id: 'again', method: 'tools/list' })
      expect(JSON.stringify(answer)).toContain('"echo"')
    })
  }, 60_000)

  it('finds the containers of a killed daemon and goes on with their logs', async () => {
    const program = await bundle('test/support/driver-host.ts', 'driver-host-docker')
    const order = orderOf(shell('while true; do read line; echo "got $line" >&2; done'))
    const host = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
    try {
      host.stdin.end(JSON.stringify({ driver: 'docker', options: { storeId, epoch: 1, directory }, orders: [order] }))
      const [line] = (await once(createInterface({ input: host.stdout }), 'line')) as [string]
      const [unit] = JSON.parse(line) as Unit[]
      host.kill('SIGKILL')
      await once(host, 'exit')
      await withDriver(async (driver) => {
        expect(await driver.list()).toEqual([unit])
        const connection = await driver.connect(order.uid)
        if (connection.transport === 'stdio') connection.input.write('one\n')
        await until('the line', async () => (await logOf(driver, order.uid)).includes('got one'))
      })
    } finally {
      host.kill('SIGKILL')
      await rm(program)
    }
  }, 60_000)

  it('never touches what is not of its store', async () => {
    await withDriver(async (driver) => {
      const order = orderOf(everything)
      const { handle } = await driver.start(order)
      const stranger = open({ storeId: randomUUID() })
      expect(await stranger.list()).toEqual([])
      await stranger.stop(order.uid, 0)
      await stranger.close()
      expect((await docker.getContainer(handle).inspect()).State.Running).toBe(true)

      const other = orderOf(everything)
      const name = (await docker.getContainer(handle).inspect()).Name.slice(1).replace(order.uid, other.uid)
      const foreign = await docker.createContainer({ name, Image: everything.image ?? '' })
      try {
        await expect(driver.start(other)).rejects.toMatchObject({ name: 'StartError', reason: 'NameConflict' })
        await driver.stop(other.uid, 0)
        expect((await foreign.inspect()).State.Status).toBe('created')
      } finally {
        await foreign.remove()
      }
    })
  }, 60_000)

  it('says that the engine is away, and reports once it is back', async () => {
    const path = join(directory, 'engine.sock')
    const driver = open({ dockerHost: `unix://${path}` })
    const changes: string[] = []
    driver.onChange((uid) => changes.push(uid))
    const order = orderOf(everything)
    const isAway = async () => {
      for (const work of [driver.ping(), driver.list(), driver.start(order), driver.stop(order.uid, 0)])
        await expect(work).rejects.toThrow(RuntimeUnavailable)
    }
    await isAway()
    let engine = await openProxy(path)
    await driver.start(order)
    const connection = await driver.connect(order.uid)
    await handshake(connection)
    await engine.close()
    await isAway()
    changes.length = 0
    engine = await openProxy(path)
    await until('the change to be reported', () => Promise.resolve(changes.includes(order.uid)))
    expect(JSON.stringify(await ask(await driver.connect(order.uid), { id: 3, method: 'tools/list' }))).toContain(
      '"echo"',
    )
    await driver.stop(order.uid, 0)
    await driver.close()
    await engine.close()
  }, 60_000)
})

/** The engine behind another socket, so that it can go away without harm to anybody else. */
const openProxy = async (path: string): Promise<{ close(): Promise<void> }> => {
  const sockets = new Set<Socket>()
  const track = (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
  }
  const server: Server = createServer({ allowHalfOpen: true }, (client) => {
    const engine = connect({ path: socketPath, allowHalfOpen: true })
    track(client)
    track(engine)
    client.pipe(engine)
    engine.pipe(client)
  })
  server.listen(path)
  await once(server, 'listening')
  return {
    close: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}
