import { Agent, request as httpRequest } from 'node:http'
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders, RequestOptions } from 'node:http'
import type { Problem } from '@mcpctl/contracts'
import { ApiError, ConnectionError } from './errors'
import { warningsOf } from './warnings'

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

export interface ApiRequest {
  method?: Method
  /** Below the server's address, for example `/api/v1/servers`. */
  path: string
  query?: Record<string, string | undefined>
  body?: unknown
  headers?: Record<string, string>
  /** Overrides the client's timeout; 0 waits for ever. */
  timeoutMs?: number
  signal?: AbortSignal | undefined
}

export interface ApiResponse<T> {
  status: number
  body: T
  etag?: string
}

/** One attempt, told to whoever wants to see what goes over the wire. Holds no header and no body. */
export interface Trace {
  method: Method
  url: string
  /** HTTP status, or the system's error code. */
  outcome: string
  milliseconds: number
}

export interface HttpOptions {
  server: string
  token?: string | undefined
  /** Milliseconds that an answer may take; 30 s unless told, 0 for ever. */
  timeoutMs?: number | undefined
  onTrace?: ((trace: Trace) => void) | undefined
  /** Told of each warning that comes with an answer. */
  onWarning?: ((text: string) => void) | undefined
  /** Why changes are made: kept in the log with each of them. */
  reason?: string | undefined
  /** Changes are made also where a field looks like a credential. */
  allowCredentialLike?: boolean | undefined
  /** As whom the server is asked, with which groups besides his own. */
  impersonation?: { user: string; groups: readonly string[] } | undefined
}

const attempts = 5
const longestPauseMs = 2000
const retriedStatuses = new Set([502, 503, 504])
const retriedCodes = new Set(['ECONNRESET', 'EPIPE'])

// Not `instanceof Error`: an error of node's own may come from another realm, as it does under jest.
const read = (error: unknown, field: 'code' | 'message', otherwise: string): string => {
  const value: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, field) : undefined
  return typeof value === 'string' && value !== '' ? value : otherwise
}

const pause = (milliseconds: number, signal: AbortSignal | undefined) =>
  new Promise<void>((resolve, reject) => {
    const timer = setTimeout(done, milliseconds)
    function done() {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      if (signal?.aborted) reject(signal.reason as Error)
      else resolve()
    }
    signal?.addEventListener('abort', done)
  })

/** 100, 200, 400 … ms, spread so that several clients do not come back together; the server's wish counts, within bounds. */
const pauseBefore = (attempt: number, retryAfter: string | undefined): number => {
  const asked = Number(retryAfter) * 1000
  const own = 100 * 2 ** (attempt - 1) * (0.5 + Math.random())
  return Math.min(Number.isFinite(asked) ? Math.max(asked, own) : own, longestPauseMs)
}

/** Also what was asked too often, where that passes soon: it was not looked at, and others wait for their turn too. */
const isRetried = ({ statusCode = 0, headers }: IncomingMessage): boolean =>
  retriedStatuses.has(statusCode) || (statusCode === 429 && Number(headers['retry-after']) * 1000 <= longestPauseMs)

const readText = async (message: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

const isProblem = (value: unknown): value is Problem =>
  typeof value === 'object' && value !== null && 'reason' in value && 'detail' in value

/** What a proxy or another program on that port answers in place of a problem. */
const foreignProblem = (status: number, server: string): Problem => ({
  type: 'about:blank',
  title: 'unexpected answer',
  status,
  detail: `${server} answered ${String(status)} without saying why; is it mcpd that listens there?`,
  instance: '',
  reason: status === 401 ? 'Unauthorized' : retriedStatuses.has(status) ? 'Unavailable' : 'Internal',
})

type Outcome =
  | { message: IncomingMessage }
  | { error: ApiError | ConnectionError; mayRetry: boolean; retryAfter?: string | undefined }

/** JSON over HTTP/1.1 with kept-alive connections. Mutations carry an idempotency key, so that a retry is never a second execution. */
export class HttpClient {
  private readonly base: URL
  private readonly agent: Agent

  constructor(private readonly options: HttpOptions) {
    this.base = parseAddress(options.server)
    this.agent = new Agent({ keepAlive: true, maxSockets: 8 })
  }

  /** `host:port`, as error texts show it. */
  get address(): string {
    return this.base.host
  }

  /**
   * Sends the request, up to five times while the server is not able to answer, and returns the parsed body.
   * Throws `ApiError` for a refusal and for a committed but not yet visible write, `ConnectionError` when no answer came.
   */
  async request<T>(request: ApiRequest): Promise<ApiResponse<T>> {
    const message = await this.send(request)
    const text = await this.reading(() => readText(message))
    const { etag } = message.headers
    return {
      status: message.statusCode ?? 0,
      body: parseBody(text, this.options.server) as T,
      ...(etag ? { etag } : {}),
    }
  }

  /** The body as a stream, for answers that have no end. Throws as `request` does. */
  async stream(request: ApiRequest): Promise<IncomingMessage> {
    return this.send({ ...request, timeoutMs: request.timeoutMs ?? 0 })
  }

  /** Drops the connections. */
  close(): void {
    this.agent.destroy()
  }

  private async send(request: ApiRequest): Promise<IncomingMessage> {
    const key = (request.method ?? 'GET') === 'GET' ? {} : { 'idempotency-key': crypto.randomUUID() }
    const keyed = { ...request, headers: { ...key, ...request.headers } }
    const body = request.body === undefined ? undefined : JSON.stringify(request.body)
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.tryOnce(keyed, body)
      if ('message' in outcome) return outcome.message
      if (attempt === attempts || !outcome.mayRetry) throw outcome.error
      await pause(pauseBefore(attempt, outcome.retryAfter), request.signal)
    }
  }

  private async tryOnce(request: ApiRequest, body: string | undefined): Promise<Outcome> {
    try {
      const message = await this.attempt(request, body)
      for (const text of warningsOf(message)) this.options.onWarning?.(text)
      if (isSuccess(message)) return { message }
      return {
        error: await this.refusal(message),
        mayRetry: isRetried(message),
        retryAfter: message.headers['retry-after'],
      }
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
      return { error, mayRetry: retriedCodes.has(error.code) }
    }
  }

  private async refusal(message: IncomingMessage): Promise<ApiError> {
    const text = await this.reading(() => readText(message))
    const requestId = message.headers['x-request-id']
    let body: unknown
    try {
      body = JSON.parse(text)
    } catch {
      body = undefined
    }
    const problem = isProblem(body) ? body : foreignProblem(message.statusCode ?? 0, this.options.server)
    return new ApiError(problem, typeof requestId === 'string' ? requestId : undefined)
  }

  private async attempt(request: ApiRequest, body: string | undefined): Promise<IncomingMessage> {
    const url = this.url(request)
    const method = request.method ?? 'GET'
    const started = performance.now()
    const tell = (outcome: string) =>
      this.options.onTrace?.({ method, url: url.href, outcome, milliseconds: performance.now() - started })
    try {
      const message = await this.exchange(url, request, body)
      tell(String(message.statusCode))
      return message
    } catch (error) {
      if (request.signal?.aborted) throw error
      const failure = this.unreachable(error)
      tell(failure.code)
      throw failure
    }
  }

  private async exchange(url: URL, request: ApiRequest, body: string | undefined): Promise<IncomingMessage> {
    const open = url.protocol === 'https:' ? (await import('node:https')).request : httpRequest
    const agent = url.protocol === 'https:' ? undefined : this.agent
    const options: RequestOptions = {
      method: request.method ?? 'GET',
      headers: this.headers(request, body),
      ...(agent ? { agent } : {}),
      ...(request.signal ? { signal: request.signal } : {}),
    }
    return new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = open(url, options, (message) => {
        resolve(message)
      })
      outgoing.on('error', reject)
      limit(outgoing, request.timeoutMs ?? this.options.timeoutMs ?? 30_000)
      outgoing.end(body)
    })
  }

  private headers(request: ApiRequest, body: string | undefined): OutgoingHttpHeaders {
    const { token, reason, impersonation } = this.options
    const mutates = (request.method ?? 'GET') !== 'GET'
    return {
      accept: 'application/json',
      'user-agent': 'mcpctl',
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(impersonation && { 'impersonate-user': impersonation.user }),
      ...(impersonation?.groups.length && { 'impersonate-group': [...impersonation.groups] }),
      ...(mutates && reason !== undefined ? { 'x-mcpctl-reason': encodeURIComponent(reason) } : {}),
      ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      ...request.headers,
    }
  }

  private url(request: ApiRequest): URL {
    const url = new URL(this.base.pathname.replace(/\/$/, '') + request.path, this.base)
    for (const [name, value] of Object.entries(request.query ?? {}))
      if (value !== undefined) url.searchParams.set(name, value)
    if (this.options.allowCredentialLike && (request.method ?? 'GET') !== 'GET')
      url.searchParams.set('allowCredentialLike', 'true')
    return url
  }

  private async reading<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read()
    } catch (error) {
      throw this.unreachable(error)
    }
  }

  /** What a failure of the connection, also in the middle of a stream, is reported as. */
  unreachable(error: unknown): ConnectionError {
    const code = read(error, 'code', 'UNKNOWN')
    return new ConnectionError(this.address, code, `${this.address}: ${read(error, 'message', code)}`)
  }
}

const limit = (outgoing: ClientRequest, milliseconds: number) => {
  if (milliseconds === 0) return
  let answer: IncomingMessage | undefined
  outgoing.once('response', (message) => (answer = message))
  outgoing.setTimeout(milliseconds, () => {
    const error = Object.assign(new Error(`no answer within ${String(milliseconds / 1000)} s`), { code: 'TIMEOUT' })
    // One that has begun would only say that it was broken off.
    answer?.destroy(error)
    outgoing.destroy(error)
  })
}

const isSuccess = (message: IncomingMessage): boolean => {
  const status = message.statusCode ?? 0
  // A write that is committed but not visible yet answers 202 with a problem in place of the object.
  return status >= 200 && status < 300 && !message.headers['content-type']?.startsWith('application/problem+json')
}

const parseBody = (text: string, server: string): unknown => {
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    throw new ApiError(foreignProblem(200, server), undefined)
  }
}

const parseAddress = (server: string): URL => {
  const url = URL.canParse(server) ? new URL(server) : undefined
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url
  throw new ConnectionError(server, 'EINVAL', `"${server}" is no address; write it like http://127.0.0.1:7777`)
}
