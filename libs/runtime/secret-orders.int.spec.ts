import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, readlink, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { bundle } from '../../test/support/bundle'
import { inputsPackage, installInputs } from '../../test/support/inputs-package'
import { callTool, until } from './contract-client'
import { storeDigest } from './docker-container'
import { StartError } from './driver'
import { template } from './driver.contract'
import { PackageStore } from './package-store'
import { ProcessDriver } from './process-driver'
import { silent } from './runtime-log'
import { bytes, logTextOf, pem, secretInputs, secretOrder, seenBy, token } from './secret-orders.contract'

const wanted = template({ package: inputsPackage })

describe('secrets of instances under driver process', () => {
  let shared: string
  let directory: string
  let storeId: string
  let driver: ProcessDriver
  const rootOf = () => `/dev/shm/mcpctl-${String(process.getuid?.())}-${storeDigest(storeId)}-process`
  const packages = () => join(shared, 'packages')
  const optionsOf = (at: string) => ({ storeId, directory: at, packages: new PackageStore(packages(), silent) })

  beforeAll(async () => {
    shared = await mkdtemp(join(tmpdir(), 'secret-orders-'))
    await installInputs(packages())
  }, 120_000)
  afterAll(() => rm(shared, { recursive: true, force: true }))
  beforeEach(async () => {
    directory = await mkdtemp(join(shared, 'driver-'))
    storeId = randomUUID()
    driver = new ProcessDriver(optionsOf(directory))
  })
  afterEach(() => driver.close())

  it('are in its environment and in files of its own, byte for byte, for its user alone', async () => {
    const order = secretOrder(wanted)
    const unit = await driver.start(order)
    const { env, files } = await seenBy(driver, order.uid)
    expect(env).toMatchObject({ LOG: 'info', TOKEN: token })
    expect(files).toEqual([
      { path: env['PEM_FILE'], mode: '400', own: true, content: pem },
      { path: env['BYTES_FILE'], mode: '400', own: true, content: bytes },
    ])
    expect(env['PEM_FILE']).toMatch(/\/pem$/)
    expect(env['BYTES_FILE']).toMatch(/\/deep\/bytes$/)
    for (const path of files.map((file) => dirname(file.path))) expect((await stat(path)).mode & 0o777).toBe(0o700)
    const line = await readFile(`/proc/${unit.handle}/cmdline`, 'utf8')
    expect(line).not.toContain(token)
    // In memory, where the machine has a place for that; nothing of it is below the daemon's directory then.
    expect(env['PEM_FILE']).toMatch(/^\/dev\/shm\//)
  }, 60_000)

  it('are in no log line that the server writes, in any usual form', async () => {
    const order = secretOrder(wanted)
    await driver.start(order)
    await seenBy(driver, order.uid)
    await callTool(await driver.connect(order.uid), 'log-env', { name: 'TOKEN' })
    await until('the line', async () => /TOKEN is .*\n?/.test(await logTextOf(driver, order.uid)))
    expect(await logTextOf(driver, order.uid)).toBe('TOKEN is ***, {"value":"***"}, ***')
  }, 60_000)

  it('are gone once the instance is stopped, or never came up', async () => {
    const order = secretOrder(wanted)
    await driver.start(order)
    const { files } = await seenBy(driver, order.uid)
    await driver.stop(order.uid, 1)
    expect(files.filter(({ path }) => existsSync(path))).toEqual([])
    expect(await readdir(rootOf())).toEqual([])

    // A place below a file: that start cannot succeed.
    const broken = secretInputs({ pem: '/run/secrets/a', bytes: '/run/secrets/a/b' })
    const refusal: unknown = await driver.start(secretOrder(wanted, broken)).catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(StartError)
    expect(refusal).toMatchObject({ message: expect.stringMatching(/^the files of its secrets cannot be written: E/) })
    expect(await readdir(rootOf())).toEqual([])
    await driver.close()
    expect(existsSync(rootOf())).toBe(false)
  }, 60_000)

  it('that are too long for an environment are told of; no file and no open log is left of such a start', async () => {
    const order = secretOrder(wanted)
    const long = 'x'.repeat(64 * 1024)
    order.inputs.env.push(...Array.from({ length: 256 }, (_, at) => ({ name: `LONG_${String(at)}`, value: long })))
    const refusal: unknown = await driver.start(order).catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(StartError)
    expect(refusal).toMatchObject({ reason: 'RunContainerError', message: expect.stringMatching(/E2BIG.* as files/) })
    expect(await readdir(rootOf())).toEqual([])
    const open = await readdir('/proc/self/fd')
    const targets = await Promise.all(open.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
    expect(targets.filter((target) => target.startsWith(directory))).toEqual([])
  }, 60_000)

  it('are replaced by what the next start is given', async () => {
    const order = secretOrder(wanted)
    const unit = await driver.start(order)
    const before = await seenBy(driver, order.uid)
    process.kill(Number(unit.handle), 'SIGKILL')
    await until('the exit', async () => (await driver.list()).some(({ state }) => state === 'exited'))
    const next = secretInputs()
    next.files = next.files.slice(1)
    next.env = [{ name: 'TOKEN', value: 'the next one' }]
    await driver.start({ ...order, inputs: next })
    await driver.connect(order.uid)
    await expect(seenBy(driver, order.uid)).rejects.toThrow(/ENOENT|no such file/)
    expect(existsSync(before.files[0]?.path ?? '')).toBe(false)
    expect(await readFile(before.files[1]?.path ?? '')).toEqual(bytes)
  }, 60_000)

  it('that a killed daemon has left are removed by the next one; those of a daemon that lives are not', async () => {
    const program = await bundle('test/support/driver-host.ts', 'driver-host-secrets')
    const order = secretOrder(wanted)
    const { packages: _, ...options } = optionsOf(await mkdtemp(join(shared, 'host-')))
    await symlink(packages(), join(options.directory, 'packages'))
    const host = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
    try {
      host.stdin.end(JSON.stringify({ driver: 'process', options, orders: [order] }))
      await once(createInterface({ input: host.stdout }), 'line')
      const root = rootOf()
      expect(await readdir(root)).toHaveLength(1)
      await driver.list()
      expect(await readdir(root)).toHaveLength(1)
      host.kill('SIGKILL')
      await once(host, 'exit')
      const next = new ProcessDriver(optionsOf(options.directory))
      await next.list()
      expect(await readdir(root)).toEqual([])
      await next.close()
    } finally {
      host.kill('SIGKILL')
      await rm(program, { force: true })
    }
  }, 60_000)

  it('must lie below /run/secrets: a process has no file system of its own', () => {
    const at = (path: string) => ({ ...wanted, secretFiles: [{ secret: 's', key: 'k', env: 'K_FILE', path }] })
    expect(driver.unsupported(at('/run/secrets/k'))).toEqual([])
    expect(driver.unsupported(at('/etc/k')).map(({ pointer }) => pointer)).toEqual(['/spec/secretFiles/0/path'])
  })

  it('must not take the variables that the driver sets itself', () => {
    const told = (env: string, transport: 'stdio' | 'http') => ({
      ...wanted,
      transport,
      secretFiles: [{ secret: 's', key: 'k', path: '/run/secrets/k', env }],
    })
    const refused = (env: string, transport: 'stdio' | 'http') =>
      driver.unsupported(told(env, transport)).map(({ pointer }) => pointer)
    expect(refused('PORT', 'stdio')).toEqual([])
    expect(refused('PORT', 'http')).toEqual(['/spec/secretFiles/0/env'])
    expect(refused('MCPCTL_STORE', 'stdio')).toEqual(['/spec/secretFiles/0/env'])
  })
})
