import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import Docker from 'dockerode'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { buffer } from 'node:stream/consumers'
import { bundle } from '../../test/support/bundle'
import { inputsPackage, inputsProgram, installInputs } from '../../test/support/inputs-package'
import { callTool, until } from './contract-client'
import { storeDigest } from './docker-container'
import { DockerDriver } from './docker-driver'
import { template } from './driver.contract'
import { PackageStore } from './package-store'
import { silent } from './runtime-log'
import { bytes, logTextOf, pem, secretInputs, secretOrder, seenBy, token } from './secret-orders.contract'

const docker = new Docker({ socketPath: '/var/run/docker.sock' })
const nodeImage = 'localhost/mcp-node-base:20'
const namedUser = 'localhost/mcpctl-test/inputs-of-app:1'
const wanted = template({ package: inputsPackage })
const forms = [
  token,
  pem.toString(),
  token.slice(0, 12),
  pem.toString('base64').slice(4, 40),
  'MIIEowIBAAKCAQEA4f5wg5l2hKsTeNem',
]

/** An image whose program runs as a user that it names. */
const buildNamedUser = async (): Promise<void> => {
  const context = await mkdtemp(join(tmpdir(), 'inputs-image-'))
  const lines = [
    `FROM ${nodeImage}`,
    "RUN echo 'app:x:4242:4242::/tmp:/bin/sh' >>/etc/passwd",
    'COPY server.mjs /server.mjs',
    'USER app',
    'ENTRYPOINT ["node", "/server.mjs"]',
  ]
  await writeFile(join(context, 'Dockerfile'), lines.join('\n'))
  await writeFile(join(context, 'server.mjs'), inputsProgram())
  const output = await docker.buildImage({ context, src: ['Dockerfile', 'server.mjs'] }, { t: namedUser })
  const text = (await buffer(output)).toString()
  await rm(context, { recursive: true })
  if (!text.includes('Successfully tagged')) throw new Error(text)
}

describe('secrets of instances under driver docker', () => {
  let shared: string
  let directory: string
  let storeId: string
  let driver: DockerDriver
  const packages = () => join(shared, 'packages')
  const rootOf = () => `/dev/shm/mcpctl-${String(process.getuid?.())}-${storeDigest(storeId)}-docker`
  const optionsOf = () => ({ storeId, epoch: 1, directory, nodeImage })
  const open = () => new DockerDriver({ ...optionsOf(), packages: new PackageStore(packages(), silent) })
  const inspect = async (uid: string) => {
    const handle = (await driver.list()).find(({ instanceUid }) => instanceUid === uid)?.handle ?? ''
    return docker.getContainer(handle).inspect()
  }

  /** Environment of the first process of the container. */
  const environOf = async (uid: string) => {
    const text = await callTool(await driver.connect(uid), 'get-file', { path: '/proc/1/environ' })
    return Buffer.from((JSON.parse(text) as { content: string }).content, 'base64').toString()
  }

  beforeAll(async () => {
    shared = await mkdtemp(join(tmpdir(), 'secret-orders-'))
    await installInputs(packages())
    await buildNamedUser()
  }, 180_000)
  afterAll(() => rm(shared, { recursive: true, force: true }))
  beforeEach(async () => {
    directory = await mkdtemp(join(shared, 'driver-'))
    storeId = randomUUID()
    driver = open()
  })
  afterEach(async () => {
    for (const { instanceUid } of await driver.list()) await driver.stop(instanceUid, 0)
    await driver.close()
  }, 60_000)

  it('are in its environment and in files of its own, byte for byte, for its user alone', async () => {
    const order = secretOrder(wanted)
    await driver.start(order)
    const { env, files } = await seenBy(driver, order.uid)
    expect(env).toMatchObject({
      LOG: 'info',
      TOKEN: token,
      PEM_FILE: '/run/secrets/pem',
      BYTES_FILE: '/run/secrets/deep/bytes',
    })
    expect(files).toEqual([
      { path: '/run/secrets/pem', mode: '400', own: true, content: pem },
      { path: '/run/secrets/deep/bytes', mode: '400', own: true, content: bytes },
    ])
    const { Config, Path, Args, Mounts } = await inspect(order.uid)
    expect(JSON.stringify([Path, Args, Config.Cmd, Config.Entrypoint])).not.toContain(token)
    expect(Mounts.map(({ Destination, RW }) => [Destination, RW])).toEqual([['/run/secrets', false]])
  }, 120_000)

  it('are as files in nothing that the engine tells of the container, and in none of its layers', async () => {
    const inputs = { ...secretInputs(), env: [], secretEnv: [] }
    const order = secretOrder(wanted, inputs)
    await driver.start(order)
    await seenBy(driver, order.uid)
    const found = await inspect(order.uid)
    const text = JSON.stringify(found) + JSON.stringify(await docker.getImage(found.Image).history())
    const changes = JSON.stringify(await docker.getContainer(found.Id).changes())
    const image = (await buffer(await docker.getContainer(found.Id).export())).toString('latin1')
    const environ = await environOf(order.uid)
    for (const form of forms) for (const place of [text, changes, image, environ]) expect(place).not.toContain(form)
    expect(environ).toContain('PEM_FILE=/run/secrets/pem')
  }, 120_000)

  it('are as variables in what the engine tells: who may ask it may read them', async () => {
    const order = secretOrder(wanted)
    await driver.start(order)
    const { Config } = await inspect(order.uid)
    expect(Config.Env).toContain(`TOKEN=${token}`)
    await seenBy(driver, order.uid)
    expect(await environOf(order.uid)).toContain(`TOKEN=${token}`)
    expect(JSON.stringify(Config.Labels)).not.toContain(token)
  }, 120_000)

  it('lie where the template says, and belong to the user that the image names', async () => {
    const order = secretOrder(template({ image: namedUser }), secretInputs({ pem: '/etc/app/key.pem' }))
    await driver.start(order)
    const { files } = await seenBy(driver, order.uid)
    expect(files).toEqual([
      { path: '/etc/app/key.pem', mode: '400', own: true, content: pem },
      { path: '/run/secrets/deep/bytes', mode: '400', own: true, content: bytes },
    ])
  }, 120_000)

  it('are in no log line, nor after another daemon has taken the container up', async () => {
    const order = secretOrder(wanted)
    const line = 'TOKEN is ***, {"value":"***"}, ***'
    await driver.start(order)
    await seenBy(driver, order.uid)
    await callTool(await driver.connect(order.uid), 'log-env', { name: 'TOKEN' })
    await until('the line', async () => (await logTextOf(driver, order.uid)) === line)
    await driver.close()
    driver = open()
    await driver.list()
    await callTool(await driver.connect(order.uid), 'log-env', { name: 'TOKEN' })
    await until('the second line', async () => (await logTextOf(driver, order.uid)).split('\n').length === 2)
    expect(await logTextOf(driver, order.uid)).toBe(`${line}\n${line}`)
  }, 120_000)

  it('are gone once the instance is stopped', async () => {
    const order = secretOrder(wanted)
    await driver.start(order)
    expect(await readdir(rootOf())).toEqual([order.uid])
    await driver.stop(order.uid, 0)
    expect(await readdir(rootOf())).toEqual([])
    await driver.close()
    expect(existsSync(rootOf())).toBe(false)
    driver = open()
  }, 120_000)

  it('stay with a container that outlives a killed daemon, and go with it', async () => {
    const program = await bundle('test/support/driver-host.ts', 'driver-host-docker-secrets')
    const order = secretOrder(wanted)
    await symlink(packages(), join(directory, 'packages'))
    const host = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
    try {
      host.stdin.end(JSON.stringify({ driver: 'docker', options: optionsOf(), orders: [order] }))
      await once(createInterface({ input: host.stdout }), 'line')
      host.kill('SIGKILL')
      await once(host, 'exit')
      await driver.close()
      driver = open()
      await driver.list()
      expect((await seenBy(driver, order.uid)).files[0]?.content).toEqual(pem)
      const { Id } = await inspect(order.uid)
      // Removed behind everybody's back: what is known no more is swept by the next daemon.
      await docker.getContainer(Id).remove({ force: true })
      await driver.close()
      driver = open()
      await driver.list()
      await until('the files are gone', async () => (await readdir(rootOf()).catch(() => [])).length === 0)
    } finally {
      host.kill('SIGKILL')
      await rm(program, { force: true })
    }
  }, 120_000)

  it('are read anew for an instance that starts again', async () => {
    const order = secretOrder(wanted)
    const { handle } = await driver.start(order)
    await docker.getContainer(handle).kill({ signal: 'SIGKILL' })
    await until('the exit', async () => (await driver.list()).some(({ state }) => state === 'exited'))
    const inputs = secretInputs()
    inputs.env = [{ name: 'TOKEN', value: 'the next one' }]
    await driver.start({ ...order, inputs })
    expect((await seenBy(driver, order.uid)).env).toMatchObject({ TOKEN: 'the next one' })
  }, 120_000)
})
