import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { program } from '../support/binaries'
import { inspector, overHttp, throughMcplocal, type ToolClient } from '../support/mcp-clients'
import { Sandbox } from '../support/mcpd-process'
import { converged, everything, memory, packageOf } from './world'

describe('servers that nobody here wrote', () => {
  let sandbox: Sandbox
  let files: string
  let project: ToolClient

  beforeAll(async () => {
    sandbox = await Sandbox.create()
    files = await sandbox.folder('files')
    await writeFile(join(files, 'greeting.txt'), 'hello from a file\n')
    await sandbox.start()
    const manifest = {
      servers: [
        everything('everything', 1),
        everything('web', 1, { transport: 'http', args: ['streamableHttp'], path: '/mcp' }),
        memory('memory', 1, { env: [{ name: 'MEMORY_FILE_PATH', value: join(files, 'memory.jsonl') }] }),
        { name: 'files', package: packageOf('filesystem'), transport: 'stdio', args: [files], replicas: 1 },
        { name: 'thinking', package: packageOf('sequential-thinking'), transport: 'stdio', replicas: 1 },
      ],
      projects: [{ name: 'all', servers: ['everything', 'web', 'memory', 'files', 'thinking'] }],
    }
    const { code, err } = await sandbox.type(JSON.stringify(manifest), 'apply', '-f', '-', '--wait', '--timeout=120s')
    expect({ code, err }).toMatchObject({ code: 0 })
    await converged(sandbox)
    project = await throughMcplocal(sandbox, 'all')
  }, 180_000)
  afterAll(() => sandbox.remove(), 60_000)

  it('offers the tools of all of them under one roof', async () => {
    const tools = await project.tools()
    expect(new Set(tools.map((name) => name.split('__')[0]))).toEqual(
      new Set(['everything', 'web', 'memory', 'files', 'thinking']),
    )
  })

  it.each(['everything', 'web'])('everything answers over its own transport: %s', async (server) => {
    expect(await project.call(`${server}__echo`, { message: 'hi' })).toBe('Echo: hi')
    expect(await project.call(`${server}__get-sum`, { a: 19, b: 23 })).toContain('42')
    const heard: number[] = []
    await project.client.callTool(
      { name: `${server}__trigger-long-running-operation`, arguments: { duration: 0.3, steps: 3 } },
      undefined,
      { onprogress: ({ progress }) => void heard.push(progress) },
    )
    expect(heard[0]).toBe(1)
  })

  it('memory remembers', async () => {
    const entities = [{ name: 'mcpctl', entityType: 'program', observations: ['runs servers'] }]
    await project.call('memory__create_entities', { entities })
    expect(await project.call('memory__read_graph')).toContain('runs servers')
    expect(await readFile(join(files, 'memory.jsonl'), 'utf8')).toContain('mcpctl')
  })

  it('filesystem reads and writes where it may, and nowhere else', async () => {
    expect(await project.call('files__read_text_file', { path: join(files, 'greeting.txt') })).toContain(
      'hello from a file',
    )
    await project.call('files__write_file', { path: join(files, 'new.txt'), content: 'written' })
    expect(await readFile(join(files, 'new.txt'), 'utf8')).toBe('written')
    await expect(project.call('files__read_text_file', { path: '/etc/hostname' })).rejects.toThrow(/denied/i)
  })

  it('sequential-thinking thinks', async () => {
    const thought = { thought: 'one', nextThoughtNeeded: false, thoughtNumber: 1, totalThoughts: 1 }
    expect(await project.call('thinking__sequentialthinking', thought)).toContain('"thoughtNumber": 1')
  })

  it.each(['everything', 'web', 'memory', 'files', 'thinking'])(
    'answers on the endpoint of its own: %s',
    async (name) => {
      const client = await overHttp(sandbox, `servers/${name}`)
      const tools = await client.tools()
      expect(tools.length).toBeGreaterThan(0)
      expect((await project.tools()).filter((tool) => tool.startsWith(`${name}__`))).toEqual(
        tools.map((tool) => `${name}__${tool}`),
      )
      await client.close()
    },
  )

  it('the inspector works through mcplocal', async () => {
    const local = ['--', process.execPath, program('mcplocal'), '--project', 'all']
    // It hands down next to nothing of its own environment.
    const config = ['-e', `MCPCTL_CONFIG=${sandbox.config}`]
    const tools = await inspector(sandbox, '--method', 'tools/list', ...config, ...local)
    expect(tools).toMatchObject({ code: 0 })
    expect(tools.out).toContain('thinking__sequentialthinking')
  })

  it('the inspector works on the HTTP endpoint, and is refused without the token', async () => {
    const { server, token } = sandbox.context()
    const at = ['--server-url', `${server}/mcp/servers/everything`, '--transport', 'http', '--protocol-era', 'legacy']
    const call = ['--method', 'tools/call', '--tool-name', 'echo', '--tool-arg', 'message=hi', '--format', 'json']
    const answer = await inspector(sandbox, ...at, '--header', `Authorization: Bearer ${token}`, ...call)
    expect(answer).toMatchObject({ code: 0 })
    expect(answer.out).toContain('Echo: hi')
    const refused = await inspector(sandbox, ...at, ...call)
    expect(refused.code).not.toBe(0)
    expect(refused.out + refused.err).toMatch(/auth_required|401/)
  })
})
