import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ResourceObject } from '@mcpctl/contracts'

export interface Request {
  method: string
  path: string
  query: URLSearchParams
  headers: IncomingMessage['headers']
  body: unknown
}

export interface Reply {
  status: number
  body?: unknown
  /** Chunks of a stream, in place of a body. */
  lines?: unknown[]
  /** Break the connection after the lines. */
  cut?: boolean
  /** Neither end nor break the answer. */
  silent?: boolean
}

export type Route = (request: Request) => Reply | undefined

export const problem = (status: number, reason: string, detail: string, more: object = {}): Reply => ({
  status,
  body: { type: '', title: reason, status, detail, instance: 'urn:request:r-1', reason, ...more },
})

export const notFound = (plural: string, name: string): Reply =>
  problem(404, 'NotFound', `${plural} "${name}" not found`, { kind: plural, name })

const typeOf = ({ body, lines }: Reply): string => {
  if (lines) return 'application/x-ndjson'
  const isProblem = typeof body === 'object' && body !== null && 'reason' in body && 'detail' in body
  return isProblem ? 'application/problem+json' : 'application/json'
}

/** A small HTTP server that answers as mcpd's REST contract says, from objects held here. */
export class TestDaemon {
  readonly objects = new Map<string, ResourceObject[]>()
  readonly requests: Request[] = []
  /** Asked first; what it leaves undefined is answered from the objects. */
  route: Route = () => undefined
  private readonly server = createServer((request, response) => void this.serve(request, response))

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    return `http://${this.address}`
  }

  get address(): string {
    return `127.0.0.1:${String((this.server.address() as AddressInfo).port)}`
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }

  put(plural: string, ...objects: ResourceObject[]): void {
    this.objects.set(plural, objects)
  }

  /** Method and path of each mutation, in order. */
  get mutations(): string[] {
    return this.requests
      .filter(({ method, path }) => method !== 'GET' && path !== question)
      .map(({ method, path }) => `${method} ${path}`)
  }

  private async serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const chunk of message) text += String(chunk)
    const url = new URL(message.url ?? '/', 'http://localhost')
    const request: Request = {
      method: message.method ?? 'GET',
      path: url.pathname,
      query: url.searchParams,
      headers: message.headers,
      body: text === '' ? undefined : JSON.parse(text),
    }
    this.requests.push(request)
    this.reply(response, this.route(request) ?? this.fromObjects(request))
  }

  private reply(response: ServerResponse, reply: Reply): void {
    const { status, body, lines, cut, silent } = reply
    response.writeHead(status, { 'content-type': typeOf(reply), 'x-request-id': 'r-1' })
    for (const line of lines ?? []) response.write(`${JSON.stringify(line)}\n`)
    if (cut) response.write('', () => response.destroy())
    else if (!silent) response.end(body === undefined ? undefined : JSON.stringify(body))
  }

  private fromObjects({ method, path, query, body }: Request): Reply {
    if (path === question) return { status: 200, body: { allowed: true, user: 'admin', paths: [], nearest: [] } }
    const [, , , plural = '', name] = path.split('/').map(decodeURIComponent)
    const all = this.objects.get(plural) ?? []
    if (name === undefined && method === 'POST') return { status: 201, body: { ...blank, metadata: body } }
    if (name === undefined) return { status: 200, body: listOf(all, query) }
    const object = all.find(({ metadata }) => metadata.name === name)
    if (!object) return notFound(plural, name)
    if (method === 'DELETE') {
      this.objects.set(
        plural,
        all.filter((one) => one !== object),
      )
      return { status: 202, body: object }
    }
    return { status: 200, body: object }
  }
}

/** Asked by POST, and changes nothing. */
const question = '/api/v1/authz/can-i'

const blank = { kind: '', spec: {}, status: {} }

const listOf = (all: ResourceObject[], query: URLSearchParams) => {
  const [key, value] = query.get('labelSelector')?.split('=') ?? []
  const server = query.get('fieldSelector')?.split('=')[1]
  const items = all
    .filter(({ metadata }) => key === undefined || metadata.labels[key] === value)
    .filter(({ spec }) => server === undefined || spec['server'] === server)
  return { kind: 'List', metadata: { resourceVersion: '1.9' }, items }
}
