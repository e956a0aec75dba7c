import { Readable } from 'node:stream'
import type { JsonRpcMessage } from './types'

/** Progress that a slow client has not read yet; more is dropped, since only the newest counts. */
const maxBuffered = 256 * 1024
const keepAliveMs = 15_000

/** An answer as server-sent events: progress as it comes, the response at the end. */
export class ProgressStream {
  readonly body = new Readable({ read: () => undefined })
  readonly #gone = new AbortController()
  readonly #keepAlive: NodeJS.Timeout

  constructor(signal?: AbortSignal) {
    const abort = () => this.#gone.abort()
    if (signal?.aborted) abort()
    signal?.addEventListener('abort', abort, { once: true })
    // Proxies and clients give up on a connection that is silent for long.
    this.#keepAlive = setInterval(() => this.body.push(': still working\n\n'), keepAliveMs).unref()
    this.body.on('close', () => {
      clearInterval(this.#keepAlive)
      signal?.removeEventListener('abort', abort)
      abort()
    })
  }

  /** Fires when nobody reads any more. */
  get gone(): AbortSignal {
    return this.#gone.signal
  }

  progress(message: JsonRpcMessage): void {
    if (this.body.readableLength < maxBuffered) this.#push(message)
  }

  finish(message: JsonRpcMessage | undefined): void {
    clearInterval(this.#keepAlive)
    if (this.body.destroyed) return
    if (message) this.#push(message)
    this.body.push(null)
  }

  #push(message: JsonRpcMessage): void {
    if (!this.body.destroyed) this.body.push(`event: message\ndata: ${JSON.stringify(message)}\n\n`)
  }
}
