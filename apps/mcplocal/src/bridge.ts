import type { Daemon, Reply, Session } from './daemon'
import { Unanswered } from './daemon'

type Id = string | number
interface Frame {
  id?: Id | null
  method?: string
  params?: Record<string, unknown>
  result?: Record<string, unknown>
  error?: { code: number; message: string }
  [field: string]: unknown
}

export interface BridgeOptions {
  daemon: Daemon
  /** Takes one frame for the client. */
  write: (line: string) => void
  /** Takes what is not for the client but for its log. */
  log: (text: string) => void
  /** Name under which the client sees this server, in place of mcpd's own. */
  serverName?: string
}

/** JSON-RPC code of everything that goes wrong on this side of mcpd. */
const failed = -32000

/**
 * Carries frames between one AI client and mcpd, unchanged. When mcpd has forgotten the session, as after a restart,
 * it is opened again with the client's own words, and the client never hears of it.
 */
export class Bridge {
  readonly #options: BridgeOptions
  readonly #underWay = new Set<Promise<void>>()
  /** Requests under way, and whether the client still wants their answer. */
  readonly #wanted = new Map<Id, boolean>()
  #handshake: Promise<void> = Promise.resolve()
  #initialize: Frame | undefined
  #session: Session | undefined
  #reopening: Promise<Session> | undefined

  constructor(options: BridgeOptions) {
    this.#options = options
  }

  /** Takes a line of the client; what comes of it is written later. */
  receive(line: string): void {
    if (line.trim() === '') return
    const frame = parse(line)
    if (!frame) return this.#fail(null, { code: -32700, message: 'the line is no JSON-RPC message' })
    const work = this.#carry(frame, line)
    if (frame.method === 'initialize') this.#handshake = work
    this.#underWay.add(work)
    void work.finally(() => this.#underWay.delete(work))
  }

  /** The client has gone: lets calls under way finish for so long, then ends the session. */
  async finish(graceMs: number): Promise<void> {
    await within(graceMs, Promise.all(this.#underWay))
    if (this.#session)
      await within(
        1000,
        this.#options.daemon.end(this.#session).catch(() => undefined),
      )
  }

  async #carry(frame: Frame, line: string): Promise<void> {
    const asked = frame.method === undefined ? undefined : (frame.id ?? undefined)
    if (asked !== undefined) this.#wanted.set(asked, true)
    try {
      await this.#forward(frame, line)
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      if (asked === undefined) this.#options.log(message)
      else this.#fail(asked, { code: failed, message })
    } finally {
      if (asked !== undefined) this.#wanted.delete(asked)
    }
  }

  async #forward(frame: Frame, line: string): Promise<void> {
    if (frame.method === 'initialize') return this.#open(frame, line)
    await this.#handshake
    if (frame.method === 'notifications/cancelled') this.#cancel(frame.params?.['requestId'] as Id)
    await this.#pass(frame, line)
  }

  /** Who cancels must not hear of the request again. */
  #cancel(id: Id): void {
    if (this.#wanted.has(id)) this.#wanted.set(id, false)
  }

  async #open(frame: Frame, line: string): Promise<void> {
    this.#session = undefined
    const { session, answer } = await this.#greet(line)
    this.#session = session
    this.#initialize = frame
    const { serverName } = this.#options
    const info = answer.result?.['serverInfo'] as Record<string, unknown> | undefined
    if (serverName === undefined || !answer.result) return this.#write(answer)
    this.#write({ ...answer, result: { ...answer.result, serverInfo: { ...info, name: serverName } } })
  }

  async #greet(line: string): Promise<{ session: Session | undefined; answer: Frame }> {
    const reply = await this.#options.daemon.post(line)
    const answer = await onlyFrame(reply)
    if (reply.status >= 400 || !answer) throw new Unanswered(explain(reply.status, answer))
    const { sessionId } = reply
    const protocolVersion = String(answer.result?.['protocolVersion'])
    return { session: sessionId === undefined ? undefined : { id: sessionId, protocolVersion }, answer }
  }

  async #pass(frame: Frame, line: string): Promise<void> {
    const session = this.#session ?? (await this.#reopened(undefined))
    const reply = await this.#options.daemon.post(line, session)
    // mcpd looks for the session before it looks at the message, so nothing is done twice.
    if (reply.status !== 404) return this.#relay(frame, reply)
    await onlyFrame(reply)
    await this.#relay(frame, await this.#options.daemon.post(line, await this.#reopened(session)))
  }

  async #relay(frame: Frame, reply: Reply): Promise<void> {
    if (reply.status >= 400) throw new Unanswered(explain(reply.status, await onlyFrame(reply)))
    let answered = frame.id === undefined || frame.method === undefined
    for await (const text of reply.frames) {
      const message = parse(text)
      if (message) this.#write(message)
      if (message && message.method === undefined) answered = true
    }
    if (!answered) throw new Unanswered('mcpd ended the answer before it was complete; try again')
  }

  /** Several calls may find the session lost at once; they wait for one new session. */
  #reopened(lost: Session | undefined): Promise<Session> {
    if (this.#session && this.#session !== lost) return Promise.resolve(this.#session)
    this.#reopening ??= this.#reopen().finally(() => (this.#reopening = undefined))
    return this.#reopening
  }

  async #reopen(): Promise<Session> {
    if (!this.#initialize) throw new Unanswered('the client has not sent initialize yet')
    const { session, answer } = await this.#greet(JSON.stringify({ ...this.#initialize, id: 'mcplocal' }))
    if (!session) throw new Unanswered(answer.error?.message ?? 'mcpd opened no session')
    const reply = await this.#options.daemon.post('{"jsonrpc":"2.0","method":"notifications/initialized"}', session)
    await onlyFrame(reply)
    this.#session = session
    return session
  }

  #fail(id: Id | null, error: { code: number; message: string }): void {
    this.#write({ jsonrpc: '2.0', id, error })
  }

  #write(frame: Frame): void {
    const unwanted = frame.method === undefined && frame.id != null && this.#wanted.get(frame.id) === false
    if (!unwanted) this.#options.write(JSON.stringify(frame))
  }
}

const parse = (text: string): Frame | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Frame) : undefined
  } catch {
    return undefined
  }
}

const onlyFrame = async (reply: Reply): Promise<Frame | undefined> => {
  let last: Frame | undefined
  for await (const text of reply.frames) last = parse(text) ?? last
  return last
}

/** mcpd refuses with problem details, its MCP edge with a JSON-RPC error: both say why. */
const explain = (status: number, body: Frame | undefined): string => {
  const reason = body?.error?.message ?? body?.['detail']
  const text = typeof reason === 'string' ? reason : `mcpd answered HTTP ${status}`
  return status === 404 ? `${text}; see: mcpctl get projects` : text
}

const within = async (ms: number, work: Promise<unknown>): Promise<void> => {
  let timer: NodeJS.Timeout | undefined
  await Promise.race([work, new Promise((resolve) => (timer = setTimeout(resolve, ms)))])
  clearTimeout(timer)
}
