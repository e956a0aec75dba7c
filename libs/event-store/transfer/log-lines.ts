import type { Pool, PoolClient } from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import { asDomainError } from '../database-errors'
import { EventRows, rowColumns } from './event-rows'

/** Events per statement: the longest time for which an export keeps PostgreSQL from cleaning up, while it waits for its reader. */
const rangeEvents = 10_000

/** Some of the lines, and the positions that they reach. */
export interface LogPiece {
  bytes: Buffer
  /** Everything up to this position was read. */
  reached?: bigint
  /** Lines since the start. */
  lines: number
}

/**
 * The events from `from` to `to` as lines of an export, whatever is stored there: no check. Every range is a statement of its own
 * on a connection that is closed at the end. Throws `Unavailable` when the connection breaks.
 */
export async function* logLines(pool: Pool, from: bigint, to: bigint): AsyncGenerator<LogPiece> {
  const client = await connect(pool)
  let lines = 0
  try {
    // A slow reader holds a statement up; nothing is locked meanwhile.
    await client.query('set statement_timeout = 0')
    for (let first = from; first <= to; first += BigInt(rangeEvents)) {
      const last = first + BigInt(rangeEvents) - 1n < to ? first + BigInt(rangeEvents) - 1n : to
      const rows = new EventRows()
      const select = `select ${rowColumns} from es.event where event.position between ${first} and ${last} order by event.position`
      const answer = client.query(copyTo(`copy (${select}) to stdout (format binary)`))
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        yield { bytes: Buffer.from(rows.take(chunk)), lines: lines + rows.rows }
      }
      lines += rows.rows
      yield { bytes: Buffer.alloc(0), reached: last, lines }
    }
  } catch (error) {
    throw asDomainError(error, 'reading the log')
  } finally {
    // Its settings are not those of the pool any more, and an answer may be under way.
    client.release(true)
  }
}

const connect = async (pool: Pool): Promise<PoolClient> => {
  try {
    const client = await pool.connect()
    client.on('error', () => {})
    return client
  } catch (error) {
    throw asDomainError(error, 'reading the log')
  }
}
