import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Connections } from './connections'
import { gatewayFor, serve } from './fixtures/edge'
import { crooked, everything, stopAll, until } from './fixtures/servers'

let edge: Awaited<ReturnType<typeof serve>>
let connections: Connections

beforeAll(async () => {
  const made = await gatewayFor({ everything, odd: crooked })
  connections = made.connections
  edge = await serve(made.gateway())
})

afterAll(async () => {
  await edge.close()
  await connections.close()
  await stopAll()
})

const send = (init: {
  method?: string
  path?: string
  headers?: Record<string, string>
  body?: unknown
  signal?: AbortSignal
}) =>
  fetch(`${edge.origin}${init.path ?? '/mcp/projects/web'}`, {
    method: init.method ?? 'POST',
    headers: {
      authorization: 'Bearer alice',
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...init.headers,
    },
    ...(init.body !== undefined && { body: typeof init.body === 'string' ? init.body : JSON.stringify(init.body) }),
    ...(init.signal && { signal: init.signal }),
  })

const hello = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {} },
}
const ping = { jsonrpc: '2.0', id: 2, method: 'ping' }

const openSession = async (headers: Record<string, string> = {}) => {
  const answer = await send({ body: hello, headers })
  expect(answer.status).toBe(200)
  return { ...headers, 'mcp-session-id': answer.headers.get('mcp-session-id') ?? '' }
}

describe('the HTTP edge', () => {
  it('opens a session, answers in it, and ends it', async () => {
    const headers = await openSession()
    expect(headers['mcp-session-id']).toMatch(/^[\w-]{22}$/)
    const answer = await send({ body: ping, headers })
    expect(answer.headers.get('content-type')).toBe('application/json')
    expect(await answer.json()).toEqual({ jsonrpc: '2.0', id: 2, result: {} })
    const initialized = { jsonrpc: '2.0', method: 'notifications/initialized' }
    expect((await send({ body: initialized, headers })).status).toBe(202)
    expect((await send({ method: 'DELETE', headers })).status).toBe(204)
    expect((await send({ body: ping, headers })).status).toBe(404)
  })

  it('keeps a session to the user and the endpoint that opened it', async () => {
    const headers = await openSession()
    expect((await send({ body: ping, headers: { ...headers, authorization: 'Bearer bob' } })).status).toBe(404)
    expect((await send({ method: 'DELETE', headers: { ...headers, authorization: 'Bearer bob' } })).status).toBe(404)
    expect((await send({ body: ping, headers, path: '/mcp/servers/everything' })).status).toBe(404)
    expect((await send({ body: ping })).status).toBe(400)
    expect((await send({ body: ping, headers })).status).toBe(200)
  })

  it('refuses what is no message', async () => {
    const headers = await openSession()
    const status = async (body: unknown, more: Record<string, string> = {}) =>
      (await send({ body, headers: { ...headers, ...more } })).status
    expect(await status('{')).toBe(400)
    expect(await status([ping])).toBe(400)
    expect(await status({ hello: 'world' })).toBe(400)
    expect(await status({ ...ping, id: null })).toBe(400)
    expect(await status(`${'['.repeat(10_000)}${']'.repeat(10_000)}`)).toBe(400)
    expect(await status({ ...ping, params: { text: '[['.repeat(10_000) } })).toBe(200)
    expect(await status(ping, { 'content-type': 'text/plain' })).toBe(415)
    expect(await status(ping, { accept: 'text/html' })).toBe(406)
    expect(await status(ping, { 'mcp-protocol-version': '2026-07-28' })).toBe(400)
    expect(await status(ping, { 'mcp-protocol-version': '2025-06-18' })).toBe(200)
  })

  it('has no stream of its own', async () => {
    const answer = await send({ method: 'GET' })
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST, DELETE'])
    expect((await send({ method: 'PUT' })).status).toBe(405)
  })

  it('passes on that an endpoint does not exist', async () => {
    expect((await send({ body: hello, path: '/mcp/projects/nope' })).status).toBe(404)
  })

  it('cancels the call of a client that has gone', async () => {
    const headers = await openSession()
    const gone = new AbortController()
    const body = { jsonrpc: '2.0', id: 3, method: 'tools/call', params: { name: 'odd__hang' } }
    const call = send({ body, headers, signal: gone.signal }).catch(() => 'gone')
    await until(() => connections.available('odd')?.inFlight === 1)
    gone.abort()
    expect(await call).toBe('gone')
    await until(() => connections.available('odd')?.inFlight === 0)
  })

  it('serves the client of the SDK, progress included', async () => {
    const client = new Client({ name: 'spec', version: '1' })
    const transport = new StreamableHTTPClientTransport(new URL(`${edge.origin}/mcp/projects/web`), {
      requestInit: { headers: { authorization: 'Bearer alice' } },
    })
    await client.connect(transport)
    expect(client.getServerVersion()).toMatchObject({ name: 'mcpctl' })
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toContain('everything__echo')
    const heard: number[] = []
    const params = { name: 'everything__trigger-long-running-operation', arguments: { duration: 0.3, steps: 3 } }
    const onprogress = ({ progress }: { progress: number }) => void heard.push(progress)
    const result = await client.callTool(params, undefined, { onprogress })
    expect(JSON.stringify(result)).toContain('completed')
    expect(heard).toEqual([1, 2, 3])
    await transport.terminateSession()
    await client.close()
  })
})
