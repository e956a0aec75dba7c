import { loadContext, type Context } from '@mcpctl/client/config'
import { ConfigError } from '@mcpctl/client/errors'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { createInterface } from 'node:readline'

export interface Session {
  id: string
  protocolVersion: string
}

/** What mcpd answered: its head, and the frames in its body as they come. */
export interface Reply {
  status: number
  sessionId: string | undefined
  frames: AsyncIterable<string>
}

/** Why a message got no answer from mcpd; the text is meant for the person in front of the AI client. */
export class Unanswered extends Error {
  override readonly name = 'Unanswered'
}

export interface DaemonOptions {
  project: string
  context?: string
  /** Said once about the configuration file. */
  warn: (text: string) => void
}

const unreachable = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'EAI_AGAIN'])

/** The way to a project's endpoint on mcpd, with the address and token of the CLI's configuration. */
export class Daemon {
  readonly #http = new HttpAgent({ keepAlive: true, timeout: 3000 })
  readonly #https = new HttpsAgent({ keepAlive: true, timeout: 3000 })
  #known: Context | undefined

  constructor(readonly options: DaemonOptions) {}

  /** Sends one frame. Throws Unanswered when mcpd cannot be reached or does not know us. */
  async post(frame: string, session?: Session): Promise<Reply> {
    const answer = await this.#send('POST', session, frame)
    return {
      status: answer.statusCode ?? 0,
      sessionId: single(answer.headers['mcp-session-id']),
      frames: frames(answer),
    }
  }

  async end(session: Session): Promise<void> {
    const answer = await this.#send('DELETE', session)
    answer.resume()
  }

  /** mcpd may have come back under another address or with another token meanwhile: the file knows. */
  async #send(method: 'POST' | 'DELETE', session?: Session, body?: string): Promise<IncomingMessage> {
    const before = this.#context()
    const first = await this.#try(before, { method, session, body })
    if (!(first instanceof Unanswered) && first.statusCode !== 401) return first
    this.#known = undefined
    const after = this.#context()
    const changed = after.server !== before.server || after.token !== before.token
    const answer = changed ? await this.#try(after, { method, session, body }) : first
    if (answer instanceof Unanswered) throw answer
    if (answer.statusCode !== 401) return answer
    answer.resume()
    throw new Unanswered(`mcpd at ${after.server} does not accept the token of context "${after.name}"; run: mcpctl up`)
  }

  #context(): Context {
    const { context, warn } = this.options
    try {
      this.#known ??= loadContext({ warn, ...(context !== undefined && { context }) })
      return this.#known
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      throw new Unanswered(error.hint === undefined ? error.message : `${error.message}; run: ${error.hint}`)
    }
  }

  async #try(context: Context, message: Message): Promise<IncomingMessage | Unanswered> {
    try {
      return await this.#request(context, message)
    } catch (error) {
      const { code } = error as { code?: unknown }
      if (typeof code !== 'string') throw error
      if (unreachable.has(code)) return new Unanswered(`mcpd at ${context.server} is not reachable; run: mcpctl up`)
      // It may have been carried out: whether to ask again is for the client to say.
      throw new Unanswered(
        `the connection to mcpd at ${context.server} broke before the answer came (${code}); try again`,
      )
    }
  }

  #request({ server, token }: Context, { method, session, body }: Message): Promise<IncomingMessage> {
    const url = new URL(`/mcp/projects/${encodeURIComponent(this.options.project)}`, server)
    const secure = url.protocol === 'https:'
    const headers = {
      authorization: `Bearer ${token}`,
      accept: 'application/json, text/event-stream',
      ...(body !== undefined && {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(body)),
      }),
      ...(session && { 'mcp-session-id': session.id, 'mcp-protocol-version': session.protocolVersion }),
    }
    return new Promise((resolve, reject) => {
      const agent = secure ? this.#https : this.#http
      const request = (secure ? httpsRequest : httpRequest)(url, { method, agent, headers }, resolve)
      request.on('error', reject)
      request.end(body)
    })
  }
}

interface Message {
  method: 'POST' | 'DELETE'
  session: Session | undefined
  body: string | undefined
}

const single = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value)

/** The frames of an answer: one as JSON, or several as server-sent events. */
async function* frames(answer: IncomingMessage): AsyncGenerator<string> {
  if (single(answer.headers['content-type'])?.startsWith('text/event-stream')) {
    let lines: string[] = []
    for await (const line of createInterface({ input: answer, crlfDelay: Infinity })) {
      if (line.startsWith('data:')) lines.push(line.slice(5))
      if (line !== '' || lines.length === 0) continue
      yield lines.join('\n')
      lines = []
    }
    return
  }
  const chunks: Buffer[] = []
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk)
  if (chunks.length > 0) yield Buffer.concat(chunks).toString('utf8')
}
