import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { until } from '../support/binaries'
import { Canary, Search } from '../support/canary'
import { inputsPackage, installInputs } from '../support/inputs-package'
import { overHttp } from '../support/mcp-clients'
import { Sandbox } from '../support/mcpd-process'
import { converged, copies } from './world'

const canary = Canary.plain()
const { value: token } = canary
const search = new Search({ token: canary })

describe('a server that takes a secret, in a process', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    sandbox = await Sandbox.create({ sharedPackages: false })
    await installInputs(join(sandbox.data, 'instances', 'packages'))
    await sandbox.start()
  }, 120_000)
  afterAll(() => sandbox.remove(), 60_000)

  const call = async (tool: string, given: Record<string, unknown> = {}): Promise<string> => {
    const client = await overHttp(sandbox, 'servers/app')
    try {
      return await client.call(tool, given)
    } finally {
      await client.close()
    }
  }
  const env = async () => JSON.parse(await call('get-env')) as Record<string, string>
  const file = async (path: string) => {
    const { mode, content } = JSON.parse(await call('get-file', { path })) as { mode: string; content: string }
    return { mode, content: Buffer.from(content, 'base64').toString() }
  }
  /** Where the files of the instance lie, with everything that belongs to them. */
  const placeOf = (path: string) => dirname(dirname(path))

  it('waits in CreateConfigError for what is not there, and says what', async () => {
    const flags = ['--env', 'LOG=info', '--env-secret', 'TOKEN=gh:token', '--secret-file', 'gh:token']
    await sandbox.must('create', 'server', 'app', '--package', inputsPackage, ...flags)
    await until('it says so', async () =>
      / 0\/1 .* CreateConfigError /.test(await sandbox.must('get', 'server', 'app', '--no-headers')),
    )
    const text = await sandbox.must('describe', 'server', 'app')
    expect(text).toMatch(/SecretsReady +False +CreateConfigError .*secret "gh" not found/)
    expect(await sandbox.must('get', 'instances', '--no-headers')).toMatch(/^app-\S+ +app +no +CreateConfigError /)
  }, 90_000)

  it('waits for the key too, and starts by itself once it is there', async () => {
    await sandbox.must('create', 'secret', 'gh', '--from-literal', 'tokne=x')
    await until('it names the key', async () =>
      (await sandbox.must('describe', 'server', 'app')).includes('secret "gh" has no key "token"; it has tokne'),
    )
    const secrets = [{ name: 'gh', data: { token } }]
    const applied = await sandbox.type(JSON.stringify({ secrets }), 'apply', '-f', '-')
    expect(applied.code).toBe(0)
    await sandbox.must('wait', '--for=condition=Available', 'server/app', '--timeout=60s')
    const seen = await env()
    expect(seen).toMatchObject({ LOG: 'info', TOKEN: token })
    expect(await file(seen['TOKEN_FILE'] ?? '')).toEqual({ mode: '400', content: token })
    expect(await sandbox.must('get', 'secret', 'gh', '--no-headers')).toMatch(/^gh +2 +2 +app /)
    expect(await sandbox.must('describe', 'server', 'app')).toMatch(/SecretsReady +True /)
  }, 120_000)

  it('can be written back as it is shown', async () => {
    const shown = await sandbox.must('get', 'server', 'app', '-o', 'yaml')
    expect(shown).not.toContain(token)
    const again = await sandbox.type(shown, 'apply', '-f', '-')
    expect(again).toMatchObject({ code: 0, out: 'server/app unchanged\n' })
  }, 60_000)

  it('gives it to nobody by a command line, and to the environment of no process but its own', async () => {
    const [copy] = await copies(sandbox, 'app')
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
    const read = (pid: string, name: string) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')
    const [lines, environments] = await Promise.all(
      ['cmdline', 'environ'].map((name) => Promise.all(pids.map((pid) => read(pid, name)))),
    )
    expect(search.in(lines?.join('\n') ?? '', 'command lines')).toEqual([])
    const holders = pids.filter((_, index) => environments?.[index]?.includes(token))
    expect(holders).toEqual([String(copy?.status['handle'])])
  }, 60_000)

  it('is refused to be taken away while it is in use', async () => {
    const { code, err } = await sandbox.mcpctl('delete', 'secret', 'gh')
    expect(code).not.toBe(0)
    expect(err).toMatch(/InUse|in use|used by/)
    expect(err).toContain('app')
  }, 60_000)

  it('has nothing left in its place when mcpd was killed, and runs with it again', async () => {
    const before = (await env())['TOKEN_FILE'] ?? ''
    expect(existsSync(before)).toBe(true)
    await sandbox.end('SIGKILL')
    await sandbox.start()
    await converged(sandbox)
    const seen = await env()
    expect(seen).toMatchObject({ TOKEN: token })
    expect(seen['TOKEN_FILE']).not.toBe(before)
    expect(existsSync(placeOf(before))).toBe(false)
    expect((await file(seen['TOKEN_FILE'] ?? '')).content).toBe(token)
  }, 120_000)

  it('leaves nothing once mcpd has ended', async () => {
    const { TOKEN_FILE = '' } = await env()
    await sandbox.must('down')
    expect(existsSync(placeOf(TOKEN_FILE))).toBe(false)
    expect(existsSync(dirname(placeOf(TOKEN_FILE)))).toBe(false)
    const log = await sandbox.log()
    expect(search.in(log, 'log')).toEqual([])
  }, 60_000)
})
