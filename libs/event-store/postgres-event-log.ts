import { DomainError } from '@mcpctl/contracts'
import { inTransaction } from '@mcpctl/postgres/transaction'
import type { ClientBase, Pool } from 'pg'
import { answered, asDomainError, storeLost } from './database-errors'
import { encodeRequest } from './append/encode'
import { GroupCommit } from './append/group-commit'
import { send, sendByJson, toPositions } from './append/send'
import { eventsAfter, eventsMatching, eventsOfStream, streamExists } from './rows'
import type {
  AlongsideWork,
  AppendRequest,
  EventFilter,
  EventLog,
  JsonObject,
  RecordedEvent,
  StoredCommand,
  StreamRange,
  Verdict,
} from './types'

/** Takes the transaction back, and tells why the log refused. */
class Refused extends Error {
  constructor(readonly verdict: Verdict) {
    super(verdict.status)
  }
}

export interface PostgresEventLogOptions {
  /** Its connections act as `mcpd_app`. */
  pool: Pool
  /** Appends that may wait in this process before more are refused; default 4096. */
  maxQueued?: number
  /** Bytes that may wait, default 64 MiB. */
  maxQueuedBytes?: number
}

/** The log in PostgreSQL (schema `es`). Appends of this process share commits. Throws `Unavailable` while the database is away. */
export class PostgresEventLog implements EventLog {
  private readonly pool: Pool
  private readonly commits: GroupCommit<Verdict>

  constructor({ pool, maxQueued = 4096, maxQueuedBytes = 64 * 1024 * 1024 }: PostgresEventLogOptions) {
    this.pool = pool
    // Without a listener a connection that is lost while idle would end the process.
    if (pool.listenerCount('error') === 0) pool.on('error', () => {})
    this.commits = new GroupCommit((requests) => send(pool, requests), {
      requests: maxQueued,
      bytes: maxQueuedBytes,
    })
  }

  async append(request: AppendRequest): Promise<Verdict> {
    return this.commits.add(encodeRequest(request))
  }

  /** Appends as the last statement of the caller's own READ COMMITTED transaction, for rows that must commit with the events. */
  async appendWithin(transaction: ClientBase, request: AppendRequest): Promise<Verdict> {
    const [verdict] = await sendByJson(transaction, [encodeRequest(request)])
    return verdict as Verdict
  }

  async appendAlongside(request: AppendRequest, work: AlongsideWork): Promise<Verdict> {
    try {
      return await inTransaction(this.pool, async (transaction) => {
        await work(transaction)
        if (request.streams.length === 0 && !request.command)
          return { status: 'ok', first: null, last: null, versions: {} }
        const verdict = await this.appendWithin(transaction, request)
        if (verdict.status !== 'ok') throw new Refused(verdict)
        return verdict
      })
    } catch (error) {
      if (error instanceof Refused) return error.verdict
      throw asDomainError(error, 'the append')
    }
  }

  read(after: bigint, limit: number, filter?: EventFilter): Promise<RecordedEvent[]> {
    return answer(
      filter ? eventsMatching(this.pool, { after, limit, ...filter }) : eventsAfter(this.pool, after, limit),
    )
  }

  readStream(streamId: string, range?: StreamRange): Promise<RecordedEvent[]> {
    return answer(eventsOfStream(this.pool, streamId, range))
  }

  async getStream(streamId: string, range?: StreamRange): Promise<RecordedEvent[]> {
    const events = await this.readStream(streamId, range)
    if (events.length === 0 && !(await answer(streamExists(this.pool, streamId))))
      throw new DomainError('NotFound', `there is no stream "${streamId}"`)
    return events
  }

  async head(): Promise<bigint> {
    const row = await this.first<{ head: string }>('select max(position)::text as head from es.event')
    return BigInt(row?.head ?? 0)
  }

  async claimOwner(scope: string, key: string): Promise<string | undefined> {
    const text = 'select stream_id from es.claim where scope = $1 and key = $2'
    return (await this.first<{ stream_id: string }>(text, [scope, key]))?.stream_id
  }

  async command(id: string): Promise<StoredCommand | undefined> {
    const row = await this.first<{ hash: string; first: string | null; last: string | null; result: JsonObject }>(
      `select request_hash as hash, first_position::text as first, last_position::text as last, result
       from es.command where command_id = $1`,
      [id],
    )
    return row && { requestHash: row.hash, ...toPositions(row), result: row.result }
  }

  async store(): Promise<{ id: string; epoch: number }> {
    const row = await this.first<{ id: string; epoch: number }>('select id::text, epoch from es.store')
    if (!row) throw storeLost()
    return row
  }

  private async first<Row extends object>(text: string, values: unknown[] = []): Promise<Row | undefined> {
    const { rows } = await answer(this.pool.query<Row>(text, values))
    return rows[0]
  }
}

const answer = <T>(query: Promise<T>): Promise<T> => answered('reading the log', query)
