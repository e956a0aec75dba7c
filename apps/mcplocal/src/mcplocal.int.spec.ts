import { until as untilTrue } from '../../../test/support/binaries'
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import type { Connections } from '@mcpctl/gateway/connections'
import { gatewayFor, serve } from '@mcpctl/gateway/fixtures/edge'
import { crooked, everything, stopAll, until } from '@mcpctl/gateway/fixtures/servers'
import type { Gateway } from '@mcpctl/gateway/gateway'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { build } from 'esbuild'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

let directory: string
let program: string
let connections: Connections
let gateway: () => Gateway
let edge: Awaited<ReturnType<typeof serve>>
const running: ChildProcess[] = []

const configure = (server: string, token = 'alice') =>
  writeFile(
    join(directory, 'config.json'),
    JSON.stringify({ currentContext: 'local', contexts: { local: { server, token } } }),
    { mode: 0o600 },
  )

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mcplocal-'))
  program = join(directory, 'main.mjs')
  await build({
    entryPoints: ['apps/mcplocal/src/main.ts'],
    outfile: program,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    logLevel: 'error',
  })
  const made = await gatewayFor({ everything, odd: crooked })
  connections = made.connections
  gateway = made.gateway
  edge = await serve(gateway())
  await configure(edge.origin)
})

afterEach(async () => {
  for (const child of running.splice(0)) child.kill('SIGKILL')
  await configure(edge.origin)
})

afterAll(async () => {
  await edge.close()
  await connections.close()
  await stopAll()
  await rm(directory, { recursive: true, force: true })
})

const environment = () => ({ PATH: process.env['PATH'] ?? '', MCPCTL_CONFIG: join(directory, 'config.json') })

const connectClient = async (...args: string[]) => {
  const client = new Client({ name: 'spec', version: '1' })
  const command = { command: process.execPath, args: [program, '--project', 'web', ...args], env: environment() }
  await client.connect(new StdioClientTransport({ ...command, stderr: 'ignore' }))
  return client
}

/** mcplocal with its raw lines. */
const run = (...args: string[]) => {
  const child = spawn(process.execPath, [program, ...args], { env: environment(), stdio: 'pipe' })
  running.push(child)
  const lines: Record<string, unknown>[] = []
  const errors: string[] = []
  const output = createInterface({ input: child.stdout })
  output.on('line', (line) => lines.push(JSON.parse(line) as Record<string, unknown>))
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk.toString()))
  const say = (frame: unknown) => child.stdin.write(`${typeof frame === 'string' ? frame : JSON.stringify(frame)}\n`)
  const answer = async (id: unknown) => {
    await until(() => lines.some((line) => line['id'] === id))
    return lines.find((line) => line['id'] === id)
  }
  // Of a child that has closed everything is read that it has printed; of one that has exited, perhaps not.
  const exit = () => once(child, 'close').then(([code]: unknown[]) => code)
  return { child, lines, errors, say, answer, exit }
}

const initialize = {
  jsonrpc: '2.0',
  id: 'hello',
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
}
const call = (id: unknown, name: string, more: Record<string, unknown> = {}) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, ...more },
})

describe('mcplocal', () => {
  it('serves the client of the SDK', async () => {
    const client = await connectClient('--server-name', 'tools of web')
    expect(client.getServerVersion()).toMatchObject({ name: 'tools of web' })
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toContain('everything__echo')
    const echoes = Array.from({ length: 100 }, (_, n) =>
      client.callTool({ name: 'everything__echo', arguments: { message: `m${n}` } }),
    )
    const texts = (await Promise.all(echoes)).map(({ content }) => (content as { text: string }[])[0]?.text)
    expect(texts).toEqual(Array.from({ length: 100 }, (_, n) => `Echo: m${n}`))
    const heard: number[] = []
    const params = { name: 'everything__trigger-long-running-operation', arguments: { duration: 0.2, steps: 2 } }
    await client.callTool(params, undefined, { onprogress: ({ progress }) => void heard.push(progress) })
    // The SDK drops the last progress when the answer comes in the same chunk.
    expect(heard[0]).toBe(1)
    await expect(client.callTool({ name: 'everything__ecko' })).rejects.toThrow('did you mean "everything__echo"?')
    await client.close()
  })

  it('opens the session anew when the daemon was restarted, and finds it under another address', async () => {
    const first = await serve(gateway())
    await configure(first.origin)
    const client = await connectClient()
    const echo = (message: string) => client.callTool({ name: 'everything__echo', arguments: { message } })
    await echo('before')
    await first.close()
    const second = await serve(gateway(), first.port)
    // A call on a connection that breaks at that very moment is refused rather than perhaps done twice: the client asks again.
    await untilTrue('the session goes on', () => echo('again'))
    const answers = await Promise.all([echo('a'), echo('b'), echo('c')])
    expect(JSON.stringify(answers)).toContain('Echo: c')
    await second.close()
    const refusal = () => echo('down').then(String, String)
    const words = `mcpd at ${first.origin} is not reachable; run: mcpctl up`
    await untilTrue('it says in words that nobody is there', async () => (await refusal()).includes(words))
    await configure(edge.origin)
    expect(JSON.stringify(await echo('moved'))).toContain('Echo: moved')
    await client.close()
  })

  it('says in words why it cannot serve', async () => {
    const refusal = async (...args: string[]) => {
      const { say, answer } = run(...args)
      say(initialize)
      return answer('hello')
    }
    expect(await refusal('--project', 'nope')).toMatchObject({
      error: { message: 'projects "nope" not found; see: mcpctl get projects' },
    })
    expect(await refusal('--project', 'web', '--context', 'locale')).toMatchObject({
      error: { message: expect.stringContaining('did you mean "local"?') },
    })
    await configure(edge.origin, 'bad')
    expect(await refusal('--project', 'web')).toMatchObject({
      error: { message: `mcpd at ${edge.origin} does not accept the token of context "local"; run: mcpctl up` },
    })
    await configure('http://127.0.0.1:9')
    expect(await refusal('--project', 'web')).toMatchObject({
      error: { message: 'mcpd at http://127.0.0.1:9 is not reachable; run: mcpctl up' },
    })
  })

  it('answers lines that are no messages, and keeps frames as they are', async () => {
    const { say, answer, lines } = run('--project', 'web')
    say('not json')
    expect(await answer(null)).toMatchObject({ error: { code: -32700 } })
    say(initialize)
    say({ jsonrpc: '2.0', method: 'notifications/initialized' })
    say(call(7, 'odd__echo', { arguments: { message: 'x' } }))
    expect(await answer(7)).toEqual({
      jsonrpc: '2.0',
      id: 7,
      result: { content: [{ type: 'text', text: 'x' }], futureField: { kept: true } },
    })
    say(call(8, 'odd__error'))
    expect(await answer(8)).toMatchObject({ error: { code: -31999, data: { why: 'kept' } } })
    expect(lines).toHaveLength(4)
  })

  it('does not answer what the client cancelled', async () => {
    const { say, answer, lines } = run('--project', 'web')
    say(initialize)
    await answer('hello')
    say(call('slow', 'odd__hang'))
    await until(() => connections.available('odd')?.inFlight === 1)
    say({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'slow' } })
    await until(() => connections.available('odd')?.inFlight === 0)
    say(call('next', 'odd__pid'))
    await answer('next')
    expect(lines.map(({ id }) => id)).toEqual(['hello', 'next'])
  })

  it('finishes calls under way when its client closes the input, and leaves', async () => {
    const { say, answer, child, exit, lines } = run('--project', 'web')
    say(initialize)
    await answer('hello')
    say(call('slow', 'everything__trigger-long-running-operation', { arguments: { duration: 0.3, steps: 1 } }))
    const code = exit()
    child.stdin.end()
    expect(await code).toBe(0)
    expect(lines.map(({ id }) => id)).toEqual(['hello', 'slow'])
  })

  it('explains its command line', async () => {
    const result = async (...args: string[]) => {
      const { exit, errors } = run(...args)
      return [await exit(), errors.join('')]
    }
    const see = "See 'mcplocal --help'.\n"
    expect(await result('--projct', 'x')).toEqual([
      2,
      `error: unknown flag: --projct; did you mean "--project"?\n${see}`,
    ])
    expect(await result()).toEqual([2, `error: --project is required\n${see}`])
    expect(await result('--project')).toEqual([2, `error: flag needs a value: --project\n${see}`])
    expect(await result('--project', 'x', 'y')).toEqual([2, `error: unexpected argument "y"\n${see}`])
  })
})
