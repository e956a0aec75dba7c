import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { Canary } from '../support/canary'
import { execute } from '../support/binaries'
import { inspector, startedAs } from '../support/mcp-clients'
import { Sandbox } from '../support/mcpd-process'
import { everything } from './world'

describe('the configuration of a client', () => {
  const token = Canary.plain().value
  let sandbox: Sandbox
  let file: string
  beforeAll(async () => {
    sandbox = await Sandbox.create()
    file = join(sandbox.directory, 'client.json')
    await sandbox.start()
    const made = await sandbox.type(token, 'create', 'secret', 'gh', '--from-stdin', 'token')
    expect(made.code).toBe(0)
    const { package: source } = everything('env', 1)
    const server = ['create', 'server', 'env', '--package', source, '--arg', 'stdio', '--env-secret', 'TOKEN=gh:token']
    await sandbox.must(...server, '--wait', '--timeout', '2m')
    await sandbox.must('create', 'project', 'web', '--server', 'env')
  }, 240_000)
  afterAll(() => sandbox.remove(), 60_000)

  it('is one with which a client reaches the servers of a project, and their secrets through them only', async () => {
    const { code, out, err } = await sandbox.mcpctl(
      'config',
      'claude-desktop',
      '--project',
      'web',
      '--write',
      '--file',
      file,
    )
    expect(code).toBe(0)
    expect(out + err + readFileSync(file, 'utf8')).not.toContain(token)
    const answer = await inspector(
      sandbox,
      ...['--config', file, '--server', 'web', '--method', 'tools/call', '--tool-name', 'env__get-env'],
    )
    expect(answer.out).toContain(token)
  }, 120_000)

  it('is one with which a client runs a server that finds what was put into the blanks', async () => {
    await sandbox.must('config', 'claude-desktop', '--direct', 'env', '--write', '--file', file)
    const written = readFileSync(file, 'utf8')
    expect(written).not.toContain(token)
    const { mcpServers } = JSON.parse(written) as {
      mcpServers: { env: { command: string; args: string[]; env: { TOKEN: string } } }
    }
    const { command, args, env } = mcpServers.env
    expect(env.TOKEN).toBe('<value of secret gh, key token>')
    // Downloads it, which may take longer than a client waits.
    const download = ['-y', `--package=${everything('env', 0).package.slice('npm:'.length)}`, '--', 'node', '-v']
    expect((await execute('npx', download, { env: sandbox.env, cwd: sandbox.directory, limitMs: 200_000 })).code).toBe(
      0,
    )
    const client = await startedAs(sandbox, { command, args, env: { TOKEN: 'put in' } })
    expect(JSON.parse(await client.call('get-env'))).toMatchObject({ TOKEN: 'put in' })
    await client.close()
  }, 240_000)
})
