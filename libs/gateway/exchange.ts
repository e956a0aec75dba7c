import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import type { LookupFunction } from 'node:net'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'

export interface Exchange {
  method: 'POST' | 'GET' | 'DELETE'
  url: URL
  headers: Record<string, string>
  body?: string
  signal?: AbortSignal
}

/** The answer grew over the limit that the reader set. */
export class AnswerTooLarge extends Error {
  override readonly name = 'AnswerTooLarge'
}

/**
 * HTTP over kept connections, without redirects and without a time limit of its own: node's fetch ends long answers after
 * five minutes, and follows a redirect to wherever it leads.
 */
export class Exchanger {
  // Idle connections are dropped before servers drop theirs (5 s is usual): a request on one just closed fails without having been seen.
  readonly #http: HttpAgent
  readonly #https: HttpsAgent

  /** `lookup` resolves every host name, where given: it finds no address that is forbidden. */
  constructor(lookup?: LookupFunction) {
    const options = { keepAlive: true, timeout: 3000, ...(lookup && { lookup }) }
    this.#http = new HttpAgent(options)
    this.#https = new HttpsAgent(options)
  }

  /** Resolves with the answer's head; its body is still to be read. Throws what node throws when there is no way to the server. */
  send({ method, url, headers, body, signal }: Exchange): Promise<IncomingMessage> {
    const secure = url.protocol === 'https:'
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    return new Promise((resolve, reject) => {
      const options = {
        method,
        agent: secure ? this.#https : this.#http,
        headers: { ...headers, ...length },
        ...(signal && { signal }),
      }
      const request = (secure ? httpsRequest : httpRequest)(url, options, resolve)
      request.on('error', reject)
      request.end(body)
    })
  }

  close(): void {
    this.#http.destroy()
    this.#https.destroy()
  }
}

/** The whole body as text. Throws AnswerTooLarge. */
export const readText = async (body: IncomingMessage, limit: number): Promise<string> => {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > limit) {
      body.destroy()
      throw new AnswerTooLarge(`the answer is larger than ${limit} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** A header's single value. */
export const header = (headers: IncomingHttpHeaders, name: string): string | undefined => {
  const value = headers[name]
  return Array.isArray(value) ? value[0] : value
}

export const isEventStream = (headers: IncomingHttpHeaders): boolean =>
  (header(headers, 'content-type') ?? '').toLowerCase().startsWith('text/event-stream')
