import type { IncomingMessage } from 'node:http'
import type { Problem } from '@mcpctl/contracts'
import { ApiError } from './errors'
import type { HttpClient } from './http'
import { linesOf } from './lines'

export interface ParkedEvent {
  processor: string
  position: string
  streamId: string
  type: string
  error: string
  /** RFC 3339: when it was parked. */
  since: string
  /** Later events of its stream that wait for it. */
  behind: number
}

export interface Settled {
  /** Events that are part of the model now. */
  applied: number
  /** The event that is parked still. */
  stoppedAt?: { position: string; type: string; error: string }
}

export interface RebuildStatus {
  version: number
  state: 'building' | 'indexing' | 'swapping' | 'failed'
  position: string
  eventsPerSecond?: number
  lastError?: string
}

export interface ModelStatus {
  name: string
  /** The version that readers see. */
  version: number
  position: string
  /** Position of the last event of the log. */
  head: string
  status: string
  lastError?: string
  rebuild?: RebuildStatus
}

/** How far a check has come. */
export interface VerifyProgress {
  /** `log`, or the name of a read model. */
  subject: string
  position: string
  to: string
}

export type Finding =
  | { in: 'log'; problem: string; position: string; field: string; message: string }
  | {
      in: 'model'
      model: string
      /** Model and log were compared as of here. */
      comparedAt: string
      subject: Record<string, string>
      position?: string
      path?: string
      stored?: unknown
      expected?: unknown
    }

export interface VerifyReport {
  ok: boolean
  finding?: Finding
  log?: { events: string; head: string; hash: string; claims: string; seals: number; anchored: boolean }
  models: { name: string; position: string }[]
}

export interface VerifyOptions {
  /** Lines of seals that were kept outside of the database. */
  seals?: string[]
  /** Public keys (PEM) that may have signed seals. */
  keys?: string[]
  onProgress?: (progress: VerifyProgress) => void
}

type VerifyLine = { progress: VerifyProgress } | { report: VerifyReport } | { problem: Problem }

const root = '/api/v1/admin'
const segment = encodeURIComponent

/** What operators do: read models and the events that these could not hold. Every method throws `ApiError` or `ConnectionError`. */
export class Admin {
  constructor(private readonly http: HttpClient) {}

  /** The parked events that are the first of their streams, by processor and position. */
  async parked(processor?: string): Promise<ParkedEvent[]> {
    const { body } = await this.http.request<{ parked: ParkedEvent[] }>({
      path: `${root}/parked`,
      query: { processor },
    })
    return body.parked
  }

  /** Applies the event and what waits behind it. */
  retry(processor: string, position: string, reason?: string): Promise<Settled> {
    return this.settle('retry', { processor, position, reason })
  }

  /** Leaves the event out for good and applies what waits behind it. */
  skip(processor: string, position: string, reason?: string): Promise<Settled> {
    return this.settle('skip', { processor, position, reason })
  }

  async models(): Promise<ModelStatus[]> {
    return (await this.http.request<{ models: ModelStatus[] }>({ path: `${root}/models` })).body.models
  }

  async model(name: string): Promise<ModelStatus> {
    return (await this.http.request<ModelStatus>({ path: `${root}/models/${segment(name)}` })).body
  }

  /** Asks for a rebuild and answers the version that it will make. Refused with `Conflict` while one is under way. */
  async rebuild(name: string): Promise<number> {
    const path = `${root}/models/${segment(name)}/rebuild`
    return (await this.http.request<{ version: number }>({ method: 'POST', path })).body.version
  }

  /** Checks the log and every read model, however long it takes. */
  async verify({ seals, keys, onProgress }: VerifyOptions = {}): Promise<VerifyReport> {
    const body = keys && { keys, ...(seals && { seals }) }
    const message = await this.http.stream({
      method: 'POST',
      path: `${root}/verify`,
      ...(body && { body }),
      headers: { accept: 'application/x-ndjson' },
    })
    try {
      return await this.reportIn(message, onProgress)
    } catch (error) {
      throw error instanceof ApiError ? error : this.http.unreachable(error)
    } finally {
      message.destroy()
    }
  }

  private async reportIn(message: IncomingMessage, onProgress: VerifyOptions['onProgress']): Promise<VerifyReport> {
    for await (const text of linesOf(message)) {
      const line = JSON.parse(text) as VerifyLine
      if ('report' in line) return line.report
      if ('problem' in line) throw new ApiError(line.problem, undefined)
      onProgress?.(line.progress)
    }
    throw Object.assign(new Error('the answer ended before its last line'), { code: 'ECONNRESET' })
  }

  private async settle(
    verb: 'retry' | 'skip',
    { processor, position, reason }: { processor: string; position: string; reason: string | undefined },
  ): Promise<Settled> {
    const path = `${root}/parked/${segment(processor)}/${segment(position)}/${verb}`
    const body = reason === undefined ? {} : { body: { reason } }
    return (await this.http.request<Settled>({ method: 'POST', path, ...body })).body
  }
}
