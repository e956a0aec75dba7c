import type { Connection } from '@mcpctl/runtime/driver'
import type { Writable } from 'node:stream'
import { answerServer, isNotification, isRequest, maxFrameBytes, parseFrame, progressToken, renumbered } from './frames'
import { InFlight, Once } from './in-flight'
import { LineReader } from './lines'
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

type StdioConnection = Extract<Connection, { transport: 'stdio' }>

/** Requests that may wait for one server; more are refused, so that a server that stopped reading costs bounded memory. */
const maxWaiting = 1024

interface Waiting {
  request: JsonRpcRequest
  resolve: (response: JsonRpcResponse) => void
  reject: (error: Error) => void
  progress: (notification: JsonRpcNotification) => void
}

/**
 * One MCP session over the standard streams of a server, shared by all its callers: ids, progress tokens and cancelled ids
 * are rewritten to `<boot id>:<n>`, so that answers to a former life of the daemon are told apart and dropped.
 */
export class StdioUpstream implements Upstream {
  negotiated: Negotiated = { protocolVersion: '', capabilities: {}, serverInfo: { name: '', version: '' } }
  /** Lines of the server that were dropped, by reason. */
  readonly dropped = { garbage: 0, oversized: 0, unknown: 0 }
  readonly #waiting = new Map<string, Waiting>()
  readonly #calls = new InFlight()
  readonly #closed = new Once()
  readonly #listeners: ((notification: JsonRpcNotification) => void)[] = []
  #last = 0
  #drained: Promise<void> | undefined

  constructor(
    readonly connection: StdioConnection,
    readonly bootId: string,
  ) {
    const end = () => this.#end()
    const reader = new LineReader(
      { line: (text) => this.#receive(text), oversize: (head, tail) => this.#oversized(head, tail) },
      maxFrameBytes,
    )
    connection.output.on('data', (chunk: Buffer) => reader.push(chunk))
    for (const event of ['end', 'close', 'error']) connection.output.on(event, end)
    for (const event of ['close', 'error']) connection.input.on(event, end)
  }

  get inFlight(): number {
    return this.#calls.count
  }

  request(request: JsonRpcRequest, options: RequestOptions = {}): Promise<JsonRpcResponse> {
    return this.#calls.during(() => this.#send(request, options))
  }

  async notify(notification: JsonRpcNotification): Promise<void> {
    if (this.#closed.done) throw new UpstreamGone('the server has ended', false)
    await this.#write(notification)
  }

  /** A ping is no call: it neither counts as in flight nor keeps a drain waiting. */
  async ping(timeoutMs: number): Promise<void> {
    await this.#send({ jsonrpc: '2.0', id: 0, method: 'ping' }, { timeoutMs })
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
    this.#end()
    this.connection.close()
    return Promise.resolve()
  }

  async #send(request: JsonRpcRequest, options: RequestOptions): Promise<JsonRpcResponse> {
    const { signal, timeoutMs } = options
    if (this.#closed.done) throw new UpstreamGone('the server has ended', false)
    if (signal?.aborted) throw new RequestCancelled('cancelled before it was sent')
    if (this.#waiting.size >= maxWaiting)
      throw new UpstreamRefused(`${maxWaiting} requests wait for this server already`)
    const id = `${this.bootId}:${++this.#last}`
    let timer: NodeJS.Timeout | undefined
    let abort: (() => void) | undefined
    try {
      return await new Promise<JsonRpcResponse>((resolve, reject) => {
        const giveUp = (error: Error) => {
          reject(error)
          // MCP forbids to cancel the handshake.
          if (request.method !== 'initialize') this.#cancel(id, error.message)
        }
        if (timeoutMs !== undefined)
          timer = setTimeout(() => giveUp(new UpstreamTimeout(`no answer within ${timeoutMs} ms`)), timeoutMs)
        abort = () => giveUp(new RequestCancelled('cancelled by the client'))
        signal?.addEventListener('abort', abort, { once: true })
        const progress = (notification: JsonRpcNotification) => {
          timer?.refresh()
          options.onProgress?.(notification)
        }
        this.#waiting.set(id, { request, resolve, reject, progress })
        this.#write(renumbered(request, id)).catch(reject)
      })
    } finally {
      clearTimeout(timer)
      if (abort) signal?.removeEventListener('abort', abort)
      this.#waiting.delete(id)
    }
  }

  #cancel(requestId: string, reason: string): void {
    if (this.#closed.done) return
    const params = { requestId, reason }
    this.#write({ jsonrpc: '2.0', method: 'notifications/cancelled', params }).catch(() => this.#end())
  }

  async #write(frame: JsonRpcMessage): Promise<void> {
    const line = `${JSON.stringify(frame)}\n`
    while (this.#drained) await this.#drained
    if (this.#closed.done) throw new UpstreamGone('the server has ended', false)
    if (this.connection.input.write(line)) return
    this.#drained = drained(this.connection.input).finally(() => (this.#drained = undefined))
  }

  #receive(line: string): void {
    if (line === '') return
    const message = parseFrame(line)
    if (!message) this.dropped.garbage++
    else if (isRequest(message)) this.#reply(message)
    else if (isNotification(message)) this.#notified(message)
    else this.#answered(message)
  }

  #reply(request: JsonRpcRequest): void {
    // A server that does not read its input gets no answer to its own questions: keeping them would grow without bound.
    if (this.#drained || this.#closed.done) return
    this.#write(answerServer(request)).catch(() => this.#end())
  }

  #answered(response: JsonRpcResponse): void {
    const waiting = this.#waiting.get(String(response.id))
    if (waiting) waiting.resolve({ ...response, id: waiting.request.id })
    else this.dropped.unknown++
  }

  #notified(notification: JsonRpcNotification): void {
    if (notification.method !== 'notifications/progress') {
      for (const listener of this.#listeners) listener(notification)
      return
    }
    const waiting = this.#waiting.get(String(notification.params?.['progressToken']))
    const token = waiting && progressToken(waiting.request)
    if (token === undefined) return
    waiting?.progress({ ...notification, params: { ...notification.params, progressToken: token } })
  }

  /** The answer is lost, but its caller must not wait for ever: the id stands at one end of the line. */
  #oversized(head: string, tail: string): void {
    this.dropped.oversized++
    for (const text of [head, tail]) {
      for (const [, id] of text.matchAll(/"id"\s*:\s*"([^"\\]{1,80})"/g)) {
        const error = new UpstreamRefused(`the answer is larger than ${maxFrameBytes / 1024 / 1024} MiB`)
        this.#waiting.get(id ?? '')?.reject(error)
      }
    }
  }

  /** Who routes by this session hears of its end before its callers do, so that a retry goes elsewhere. */
  #end(): void {
    if (this.#closed.done) return
    this.#closed.fire()
    for (const { reject } of this.#waiting.values()) reject(new UpstreamGone('the server ended before it answered'))
  }
}

const drained = (input: Writable): Promise<void> =>
  new Promise((resolve) => {
    const events = ['drain', 'close', 'error']
    const done = () => {
      for (const event of events) input.off(event, done)
      resolve()
    }
    for (const event of events) input.on(event, done)
  })
