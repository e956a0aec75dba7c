import type { IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { streamEvents, type StreamEvent } from './event-stream'
import type { Connection } from '@mcpctl/runtime/driver'
import { AnswerTooLarge, Exchanger, header, isEventStream, readText } from './exchange'
import {
  answerServer,
  isNotification,
  isRequest,
  isResponse,
  maxFrameBytes,
  parseFrame,
  progressToken,
  renumbered,
} from './frames'
import { InFlight, Once } from './in-flight'
import type {
  JsonRpcMessage,
  JsonRpcNotification,
  JsonRpcRequest,
  JsonRpcResponse,
  Negotiated,
  RequestOptions,
  Upstream,
} from './types'
import { RequestCancelled, UpstreamGone, UpstreamRefused, UpstreamTimeout } from './types'

/** Answers that end before they are complete are taken up again at most this often. */
const maxResumes = 5

interface Call {
  request: JsonRpcRequest
  id: string
  signal: AbortSignal
  progress: (notification: JsonRpcNotification) => void
}

/** One MCP session over streamable HTTP, shared by all its callers; a session that the server forgot is opened anew. */
export class HttpUpstream implements Upstream {
  negotiated: Negotiated = { protocolVersion: '', capabilities: {}, serverInfo: { name: '', version: '' } }
  /** Shakes hands again after the server forgot the session; set by who opened it. */
  renew: () => Promise<void> = () => Promise.resolve()
  readonly #url: URL
  readonly #http: Exchanger
  readonly #calls = new InFlight()
  readonly #closed = new Once()
  readonly #listeners: ((notification: JsonRpcNotification) => void)[] = []
  #session: string | undefined
  #renewal: Promise<void> | undefined
  #last = 0

  constructor(
    { url, lookup }: Extract<Connection, { transport: 'http' }>,
    readonly bootId: string,
  ) {
    this.#url = new URL(url)
    this.#http = new Exchanger(lookup)
  }

  get inFlight(): number {
    return this.#calls.count
  }

  request(request: JsonRpcRequest, options: RequestOptions = {}): Promise<JsonRpcResponse> {
    return this.#calls.during(() => this.#send(request, options))
  }

  async notify(notification: JsonRpcNotification): Promise<void> {
    await this.#deliver(notification)
  }

  /** A server that refuses even a ping has lost the session without saying so: it ends here, and is opened anew. */
  async ping(timeoutMs: number): Promise<void> {
    try {
      await this.#send({ jsonrpc: '2.0', id: 0, method: 'ping' }, { timeoutMs })
    } catch (error) {
      if (error instanceof UpstreamRefused) this.#closed.fire()
      throw error
    }
  }

  onNotification(listener: (notification: JsonRpcNotification) => void): void {
    this.#listeners.push(listener)
  }

  onClose(listener: () => void): void {
    this.#closed.on(listener)
  }

  whenIdle(): Promise<void> {
    return this.#calls.whenIdle()
  }

  async close(): Promise<void> {
    const goodbye = this.#session !== undefined && !this.#closed.done
    this.#closed.fire()
    if (goodbye) await this.#exchange('DELETE', { signal: AbortSignal.timeout(500) }).then(drop, () => undefined)
    this.#http.close()
  }

  async #send(request: JsonRpcRequest, options: RequestOptions): Promise<JsonRpcResponse> {
    const { signal, timeoutMs } = options
    if (this.#closed.done) throw new UpstreamGone('the connection is closed', false)
    if (signal?.aborted) throw new RequestCancelled('cancelled before it was sent')
    const id = `${this.bootId}:${++this.#last}`
    const stop = new AbortController()
    const giveUp = (error: Error) => {
      if (stop.signal.aborted) return
      stop.abort(error)
      if (request.method !== 'initialize') this.#cancel(id, error.message)
    }
    const late = () => giveUp(new UpstreamTimeout(`no answer within ${timeoutMs ?? 0} ms`))
    const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs)
    const abort = () => giveUp(new RequestCancelled('cancelled by the client'))
    signal?.addEventListener('abort', abort, { once: true })
    const progress = (notification: JsonRpcNotification) => {
      timer?.refresh()
      options.onProgress?.(notification)
    }
    try {
      const response = await this.#ask({ request, id, signal: stop.signal, progress })
      return { ...response, id: request.id }
    } catch (error) {
      throw stop.signal.aborted ? stop.signal.reason : error
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
  }

  async #ask(call: Call): Promise<JsonRpcResponse> {
    const handshake = call.request.method === 'initialize'
    if (handshake) this.#session = undefined
    else if (this.#renewal) await this.#renewal
    const session = this.#session
    const answer = await this.#post(renumbered(call.request, call.id), call.signal)
    if (handshake) this.#session = header(answer.headers, 'mcp-session-id')
    if (answer.statusCode !== 404 || session === undefined) return this.#read(answer, call)
    drop(answer)
    await this.#renewed(session)
    return this.#read(await this.#post(renumbered(call.request, call.id), call.signal), call)
  }

  /** The server answers 404 before it looks at the request, so asking again under a new session does nothing twice. */
  async #renewed(lost: string): Promise<void> {
    if (this.#session !== lost) return this.#renewal
    this.#renewal ??= this.renew().finally(() => (this.#renewal = undefined))
    return this.#renewal
  }

  async #read(answer: IncomingMessage, call: Call): Promise<JsonRpcResponse> {
    if (isEventStream(answer.headers) && ok(answer)) return this.#follow(answer, call)
    const message = parseFrame(await this.#text(answer))
    if (!message || !isResponse(message))
      throw new UpstreamRefused(
        ok(answer) ? 'the answer is no JSON-RPC response' : `the server answered ${status(answer)}`,
      )
    if (!ok(answer) && call.request.method === 'ping')
      throw new UpstreamRefused(`the server answered a ping with ${status(answer)}`)
    return message
  }

  async #text(answer: IncomingMessage): Promise<string> {
    try {
      return await readText(answer, maxFrameBytes)
    } catch (error) {
      throw this.#broken(error)
    }
  }

  async #follow(first: IncomingMessage, call: Call): Promise<JsonRpcResponse> {
    for await (const { data } of this.#events(first, call)) {
      const response = data === '' ? undefined : this.#take(data, call)
      if (response) return response
    }
    throw new UpstreamGone('the server ended the stream before it answered')
  }

  /** A server may end the stream early, having numbered its events, and expects to be asked for the rest. */
  async *#events(first: IncomingMessage, call: Call): AsyncGenerator<StreamEvent> {
    let stream = first
    let last: StreamEvent = { data: '', retry: 1000 }
    for (let resumes = 0; ; resumes++) {
      try {
        for await (const event of streamEvents(stream, maxFrameBytes)) {
          last = { ...last, ...event }
          yield event
        }
      } catch (error) {
        if (call.signal.aborted || error instanceof AnswerTooLarge) throw this.#broken(error)
      }
      if (last.id === undefined || resumes === maxResumes) return
      await delay(last.retry, undefined, { signal: call.signal })
      stream = await this.#takenUp(last.id, call.signal)
    }
  }

  async #takenUp(lastEventId: string, signal: AbortSignal): Promise<IncomingMessage> {
    const stream = await this.#exchange('GET', { signal, headers: { 'last-event-id': lastEventId } })
    if (ok(stream) && isEventStream(stream.headers)) return stream
    drop(stream)
    throw new UpstreamGone('the server does not take up its answer again')
  }

  #take(data: string, call: Call): JsonRpcResponse | undefined {
    const message = parseFrame(data)
    if (!message) return undefined
    if (isResponse(message)) return message.id === call.id ? message : undefined
    if (isRequest(message)) this.#deliver(answerServer(message)).catch(() => undefined)
    else this.#notified(message, call)
    return undefined
  }

  #notified(notification: JsonRpcNotification, call: Call): void {
    if (notification.method !== 'notifications/progress') {
      for (const listener of this.#listeners) listener(notification)
      return
    }
    const token = progressToken(call.request)
    if (token === undefined || notification.params?.['progressToken'] !== call.id) return
    call.progress({ ...notification, params: { ...notification.params, progressToken: token } })
  }

  #cancel(requestId: string, reason: string): void {
    const params = { requestId, reason }
    this.#deliver({ jsonrpc: '2.0', method: 'notifications/cancelled', params }).catch(() => undefined)
  }

  /** Sends what has no answer. */
  async #deliver(message: JsonRpcMessage): Promise<void> {
    const answer = await this.#post(message, AbortSignal.timeout(5000))
    drop(answer)
    if (isNotification(message) && !ok(answer)) throw new UpstreamRefused(`the server answered ${status(answer)}`)
  }

  #post(message: JsonRpcMessage, signal: AbortSignal): Promise<IncomingMessage> {
    const headers = { 'content-type': 'application/json' }
    return this.#exchange('POST', { body: JSON.stringify(message), signal, headers })
  }

  async #exchange(
    method: 'POST' | 'GET' | 'DELETE',
    { headers = {}, ...rest }: { body?: string; signal: AbortSignal; headers?: Record<string, string> },
  ): Promise<IncomingMessage> {
    const version = this.negotiated.protocolVersion
    const all = {
      accept: method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream',
      ...headers,
      ...(this.#session !== undefined && { 'mcp-session-id': this.#session }),
      ...(version !== '' && { 'mcp-protocol-version': version }),
    }
    try {
      return await this.#http.send({ method, url: this.#url, headers: all, ...rest })
    } catch (error) {
      throw this.#broken(error)
    }
  }

  /** No way to the server: the session counts as ended, and whoever keeps connections dials again. */
  #broken(error: unknown): Error {
    const { code, message } = error as { code?: unknown; message?: unknown }
    if (typeof code !== 'string' || code === 'ABORT_ERR') return new UpstreamRefused(String(message))
    this.#closed.fire()
    return new UpstreamGone(`the connection broke: ${code}`, code !== 'ECONNREFUSED')
  }
}

const ok = (answer: IncomingMessage) => answer.statusCode !== undefined && answer.statusCode < 300

const status = (answer: IncomingMessage) => `HTTP ${answer.statusCode ?? 0}`

const drop = (answer: IncomingMessage): void => void answer.resume().on('error', () => undefined)
