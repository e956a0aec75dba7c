import type { IncomingMessage } from 'node:http'
import type {
  KeysStatus,
  ModelStatus,
  ParkedEvent,
  Problem,
  RebuildAnswer,
  RetireAnswer,
  RewrapAnswer,
  RotateAnswer,
  Settled,
  VerifyProgress,
  VerifyReport,
} from '@mcpctl/contracts'
import { ApiError, ConnectionError } from './errors'
import type { HttpClient } from './http'
import { linesOf } from './lines'

export interface VerifyOptions {
  /** Lines of seals that were kept outside of the database. */
  seals?: string[]
  /** Public keys (PEM) that may have signed seals. */
  keys?: string[]
  onProgress?: (progress: VerifyProgress) => void
  /** Milliseconds that the whole may take; no limit unless told. */
  timeoutMs?: number | undefined
}

type VerifyLine = { progress: VerifyProgress } | { report: VerifyReport } | { problem: Problem }

const root = '/api/v1/admin'
const segment = encodeURIComponent
/** A verification tells every few seconds how far it is; a daemon that is silent for so long is gone. */
const silentMs = 60_000

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
  retry(processor: string, position: string): Promise<Settled> {
    return this.post(`parked/${segment(processor)}/${segment(position)}/retry`)
  }

  /** Leaves the event out for good and applies what waits behind it. */
  skip(processor: string, position: string): Promise<Settled> {
    return this.post(`parked/${segment(processor)}/${segment(position)}/skip`)
  }

  async models(): Promise<ModelStatus[]> {
    return (await this.http.request<{ models: ModelStatus[] }>({ path: `${root}/models` })).body.models
  }

  async model(name: string): Promise<ModelStatus> {
    return (await this.http.request<ModelStatus>({ path: `${root}/models/${segment(name)}` })).body
  }

  /** Asks for a rebuild. Refused with `Conflict` while one is under way. */
  rebuild(name: string): Promise<RebuildAnswer> {
    return this.post(`models/${segment(name)}/rebuild`)
  }

  async keys(): Promise<KeysStatus> {
    return (await this.http.request<KeysStatus>({ path: `${root}/keys` })).body
  }

  /** Makes a new key-encryption key and has data keys wrapped anew with it. */
  rotateKeys({ dryRun = false } = {}): Promise<RotateAnswer> {
    return this.post('keys:rotate', dryRun)
  }

  /** Has data keys wrapped anew that are not under the current key-encryption key; `keys` tells how far it is. */
  rewrapKeys({ dryRun = false } = {}): Promise<RewrapAnswer> {
    return this.post('keys:rewrap', dryRun)
  }

  /** Forgets key-encryption keys that wrap nothing. */
  retireKeys({ dryRun = false } = {}): Promise<RetireAnswer> {
    return this.post('keys:retire', dryRun)
  }

  /** Checks the log and every read model. Throws `ConnectionError` with code `TIMEOUT` when it takes longer than it may. */
  async verify(options: VerifyOptions = {}): Promise<VerifyReport> {
    const { timeoutMs = 0 } = options
    const limit = timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined
    try {
      return await this.verifyWithin(options, limit)
    } catch (error) {
      if (limit?.aborted)
        throw this.http.unreachable({ code: 'TIMEOUT', message: `no answer within ${String(timeoutMs / 1000)} s` })
      throw error instanceof ApiError || error instanceof ConnectionError ? error : this.http.unreachable(error)
    }
  }

  private async verifyWithin(options: VerifyOptions, signal: AbortSignal | undefined): Promise<VerifyReport> {
    const { seals, keys, onProgress } = options
    const message = await this.http.stream({
      method: 'POST',
      path: `${root}/verify`,
      ...(keys && { body: { keys, ...(seals && { seals }) } }),
      headers: { accept: 'application/x-ndjson' },
      timeoutMs: silentMs,
      signal,
    })
    try {
      return await reportIn(message, onProgress)
    } finally {
      message.destroy()
    }
  }

  private async post<T>(path: string, dryRun = false): Promise<T> {
    const query = { dryRun: dryRun ? 'All' : undefined }
    return (await this.http.request<T>({ method: 'POST', path: `${root}/${path}`, query })).body
  }
}

const reportIn = async (message: IncomingMessage, onProgress: VerifyOptions['onProgress']): Promise<VerifyReport> => {
  for await (const text of linesOf(message)) {
    const line = JSON.parse(text) as VerifyLine
    if ('report' in line) return line.report
    if ('problem' in line) throw new ApiError(line.problem, undefined)
    onProgress?.(line.progress)
  }
  throw Object.assign(new Error('the answer ended before its last line'), { code: 'ECONNRESET' })
}
