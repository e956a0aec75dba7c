import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../../support/binaries'
import { Canary, Search } from '../../support/canary'
import { inputsPackage, installInputs } from '../../support/inputs-package'
import { overHttp } from '../../support/mcp-clients'
import { Sandbox } from '../../support/mcpd-process'
import { copies } from '../world'
import { Engine } from './engine'

const engine = new Engine()
const canary = Canary.plain()
const { value: token } = canary
const search = new Search({ token: canary })

describe('a server that takes a secret, in a container', () => {
  let sandbox: Sandbox
  let storeId: string
  beforeAll(async () => {
    sandbox = await Sandbox.create({
      driver: 'docker',
      sharedPackages: false,
      env: { MCPD_NODE_IMAGE: 'localhost/mcp-node-base:20' },
    })
    await installInputs(join(sandbox.data, 'instances', 'packages'))
    await sandbox.start()
    storeId = (await sandbox.api().status()).store.id
  }, 120_000)
  afterAll(async () => {
    await sandbox.mcpctl('down', '--all')
    const left = await engine.clear(storeId)
    await sandbox.remove()
    expect(left).toEqual([])
  }, 90_000)

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
    const seen = JSON.parse(await call('get-file', { path })) as { mode: string; own: boolean; content: string }
    return { mode: seen.mode, own: seen.own, content: Buffer.from(seen.content, 'base64').toString() }
  }
  const whole = { mode: '400', own: true, content: token }
  const container = async () => {
    const [copy] = await copies(sandbox, 'app')
    return engine.docker.getContainer(String(copy?.status['handle'])).inspect()
  }
  const placeOf = async () => (await container()).Mounts.map(({ Source }) => Source).join()
  const logged = async (lines: number) => {
    const found = await until('the log has it', async () => {
      const all = (await sandbox.must('logs', 'app')).split('\n').filter((line) => line.includes('TOKEN is'))
      return all.length === lines && all
    })
    expect(search.in(found.join('\n'), 'logs')).toEqual([])
    expect(found.at(-1)).toContain('TOKEN is ***')
  }

  it('waits in CreateConfigError until secret and key are there, then runs with both', async () => {
    const flags = ['--env-secret', 'TOKEN=gh:token', '--secret-file', 'gh:token:/etc/app/token']
    await sandbox.must('create', 'server', 'app', '--package', inputsPackage, ...flags)
    await until('it says so', async () =>
      (await sandbox.must('describe', 'server', 'app')).includes('secret "gh" not found'),
    )
    expect(await engine.ids(storeId)).toEqual([])
    await sandbox.must('create', 'secret', 'gh', '--from-literal', 'tokne=x')
    await until('it names the key', async () =>
      (await sandbox.must('describe', 'server', 'app')).includes('secret "gh" has no key "token"; it has tokne'),
    )
    const secrets = [{ name: 'gh', data: { token } }]
    expect((await sandbox.type(JSON.stringify({ secrets }), 'apply', '-f', '-')).code).toBe(0)
    await sandbox.must('wait', '--for=condition=Available', 'server/app', '--timeout=120s')
    const seen = await env()
    expect(seen).toMatchObject({ TOKEN: token, TOKEN_FILE: '/etc/app/token' })
    expect(await file('/etc/app/token')).toEqual(whole)
    await call('log-env', { name: 'TOKEN' })
    await logged(1)
  }, 240_000)

  it('is told by the engine of the variable alone, and by no label or argument', async () => {
    const { Config, ...rest } = await container()
    const { Env, ...others } = Config
    expect(Env).toContain(`TOKEN=${token}`)
    expect(search.in(JSON.stringify([rest, others]), 'inspect')).toEqual([])
    expect(Env.filter((entry) => entry.includes(token))).toHaveLength(1)
  }, 60_000)

  it('keeps it while mcpd is killed and started again, and shows it in no log then either', async () => {
    const { Id } = await container()
    await sandbox.end('SIGKILL')
    await sandbox.start()
    await engine.converged(sandbox)
    expect((await container()).Id).toBe(Id)
    expect(await file('/etc/app/token')).toEqual(whole)
    await call('log-env', { name: 'TOKEN' })
    await logged(2)
  }, 120_000)

  it('leaves nothing of it on the host once it is deleted', async () => {
    const place = await placeOf()
    expect(existsSync(place)).toBe(true)
    await sandbox.must('delete', 'server', 'app')
    await until('the files are gone', () => !existsSync(place))
    expect(search.in(await sandbox.log(), 'log')).toEqual([])
  }, 90_000)
})
