import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from '@jest/globals'
import { ApiError, ConnectionError } from './errors'
import { Client } from './resources'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

const json =
  (status: number, body: unknown, type = 'application/json'): Answer =>
  (_, response) => {
    response.writeHead(status, { 'content-type': type, 'x-request-id': 'r-1' }).end(JSON.stringify(body))
  }
const problem = (status: number, reason: string, detail: string) =>
  json(status, { type: '', title: '', status, detail, instance: '', reason }, 'application/problem+json')
const hangUp: Answer = (request) => request.socket.destroy()

const entry = { name: 'github' }
const object = { kind: 'Server', metadata: { name: 'github' }, spec: {}, status: {} }

describe('the client', () => {
  let server: Server | undefined
  let client: Client
  let seen: IncomingMessage[]

  /** Answers the n-th request with the n-th answer. */
  const serve = async (...answers: Answer[]): Promise<void> => {
    seen = []
    server = createServer((request, response) => {
      seen.push(request)
      request.resume()
      const answer = answers[seen.length - 1]
      if (answer) answer(request, response)
      else response.writeHead(500).end()
    })
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    client = new Client({ server: `http://127.0.0.1:${String(port)}`, token: 'mcp_pat_x' })
  }

  afterEach(async () => {
    client.close()
    server?.closeAllConnections()
    await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)))
    server = undefined
  })

  it('sends its token, and a key with each mutation', async () => {
    await serve(json(200, object), json(201, object))
    await client.get('servers', 'github')
    await client.create('servers', entry)
    expect(seen.map(({ headers }) => headers.authorization)).toEqual(['Bearer mcp_pat_x', 'Bearer mcp_pat_x'])
    expect(seen[0]?.headers['idempotency-key']).toBeUndefined()
    expect(seen[1]?.headers['idempotency-key']).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('asks again where it asked too often and that passes soon, and else says so at once', async () => {
    const tooMany =
      (seconds: string): Answer =>
      (request, response) => {
        response.setHeader('retry-after', seconds)
        problem(429, 'TooManyRequests', 'too many')(request, response)
      }
    await serve(tooMany('1'), json(200, object), tooMany('900'))
    await expect(client.get('servers', 'github')).resolves.toMatchObject(object)
    await expect(client.get('servers', 'github')).rejects.toMatchObject({ problem: { reason: 'TooManyRequests' } })
    expect(seen).toHaveLength(3)
  })

  it('repeats a mutation under the same key while the daemon is not able to answer', async () => {
    await serve(problem(503, 'Unavailable', 'starting'), hangUp, json(201, object))
    await expect(client.create('servers', entry)).resolves.toEqual(object)
    expect(seen).toHaveLength(3)
    expect(new Set(seen.map(({ headers }) => headers['idempotency-key'])).size).toBe(1)
  })

  it('gives up after some attempts and says why', async () => {
    await serve(...Array.from({ length: 9 }, () => problem(503, 'Unavailable', 'the database is away')))
    await expect(client.get('servers', 'x')).rejects.toThrow('the database is away')
    expect(seen).toHaveLength(5)
  })

  it('passes a refusal on with its request id and does not repeat it', async () => {
    await serve(problem(404, 'NotFound', 'servers "x" not found'))
    const error: unknown = await client.get('servers', 'x').catch((e: unknown) => e)
    expect(error).toBeInstanceOf(ApiError)
    expect(error).toMatchObject({ message: 'servers "x" not found', problem: { reason: 'NotFound' }, requestId: 'r-1' })
    expect(seen).toHaveLength(1)
  })

  it('reports a committed write that is not visible yet, and does not repeat it', async () => {
    await serve(problem(202, 'CommittedNotVisible', 'committed at 7'))
    await expect(client.create('servers', entry)).rejects.toMatchObject({ problem: { reason: 'CommittedNotVisible' } })
    expect(seen).toHaveLength(1)
  })

  it('fetches every page of a list', async () => {
    await serve(
      json(200, { kind: 'ServerList', metadata: { resourceVersion: '1.9', continue: 'p2' }, items: [object] }),
      json(200, { kind: 'ServerList', metadata: { resourceVersion: '1.9' }, items: [object] }),
    )
    const list = await client.list('servers', { labelSelector: 'a=b,c!=d' })
    expect(list.items).toHaveLength(2)
    expect(seen.map(({ url }) => url)).toEqual([
      '/api/v1/servers?labelSelector=a%3Db%2Cc%21%3Dd&limit=500',
      '/api/v1/servers?labelSelector=a%3Db%2Cc%21%3Dd&limit=500&continue=p2',
    ])
  })

  it('streams log lines, also when one arrives in pieces', async () => {
    const line = JSON.stringify({ instance: 'g-1', at: '2026-01-01T00:00:00Z', stream: 'stderr', text: 'héllo' })
    const bytes = Buffer.from(`${line}\n${line}`)
    await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' })
      for (const byte of bytes) response.write(Buffer.of(byte))
      response.end()
    })
    const texts: string[] = []
    for await (const { text } of client.logs('servers', 'github', { tail: 2 })) texts.push(text)
    expect(texts).toEqual(['héllo', 'héllo'])
    expect(seen[0]?.url).toBe('/api/v1/servers/github/logs?tail=2')
  })

  it('tells a stream that broke from one that ended', async () => {
    await serve((request, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' })
      response.write('{"text":"one"}\n', () => request.socket.destroy())
    })
    const read = async () => {
      for await (const line of client.logs('servers', 'github')) expect(line.text).toBe('one')
    }
    await expect(read()).rejects.toBeInstanceOf(ConnectionError)
  })

  it('names the address that refused the connection', async () => {
    await serve()
    const { port } = server?.address() as AddressInfo
    await new Promise((resolve) => server?.close(resolve))
    server = undefined
    await expect(client.get('servers', 'x')).rejects.toMatchObject({
      code: 'ECONNREFUSED',
      address: `127.0.0.1:${String(port)}`,
    })
  })

  it('gives up on a daemon that accepts and never answers', async () => {
    await serve(() => undefined)
    await expect(client.http.request({ path: '/healthz', timeoutMs: 50 })).rejects.toMatchObject({ code: 'TIMEOUT' })
  })

  it('recognises an answer that is not the daemon’s', async () => {
    await serve((_, response) => response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>nginx</h1>'))
    await expect(client.get('servers', 'x')).rejects.toThrow('is it mcpd that listens there?')
  })

  it('refuses an address that is none', () => {
    expect(() => new Client({ server: '127.0.0.1:7777' })).toThrow('write it like http://127.0.0.1:7777')
  })
})
