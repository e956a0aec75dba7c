import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import type { Pool } from 'pg'
import { DomainError } from '@mcpctl/contracts'
import { genesis } from '../chain/chain-check'
import { asDomainError, storeLost } from '../database-errors'
import { digestedHeader, exportFormat, headerLine, trailerLine, type ExportHeader } from './format'
import { logLines } from './log-lines'

export interface ExportOptions {
  /** Leaves out everything up to this position: what an earlier export has. Default 0. */
  after?: bigint
  /** The last position; default the head at the moment of the call. */
  to?: bigint
}

/**
 * The log as JSON Lines in UTF-8: a header (`ExportHeader`), one line per event in order, a trailer (`ExportTrailer`).
 *
 * The end is fixed at the start and the log before it never changes, so appends go on meanwhile and are not in the export. It is read
 * by ranges as fast as the reader takes it: no transaction is older than one range, and the memory needed does not grow with the log.
 * The same range has the same bytes always, also from the store into which it was imported, but for the header's `epoch`.
 * Exports that follow each other (`after` is the `to` of the one before) may be imported one behind the other.
 *
 * The stream fails with `Invalid` when the log does not reach so far, `Conflict` when events are missing in it or `es.store` is empty, `Unavailable` when
 * the database goes away. Then the trailer is missing, and no import takes the file.
 */
export const exportEvents = (pool: Pool, options: ExportOptions = {}): Readable =>
  Readable.from(exported(pool, options), { objectMode: false })

async function* exported(pool: Pool, options: ExportOptions): AsyncGenerator<Buffer> {
  const header = await readHeader(pool, options)
  const digest = createHash('sha256').update(digestedHeader(header))
  yield Buffer.from(`${headerLine(header)}\n`)
  for await (const { bytes, lines, reached } of logLines(pool, BigInt(header.from), BigInt(header.to))) {
    if (reached !== undefined && lines !== Number(reached) - header.from + 1)
      throw new DomainError('Conflict', `positions are missing up to ${reached}; verify the log and restore a backup`)
    if (bytes.length === 0) continue
    digest.update(bytes)
    yield bytes
  }
  yield Buffer.from(`${trailerLine({ ...header, sha256: digest.digest('hex') })}\n`)
}

interface EndsRow {
  store: string
  epoch: number
  head: string
  previous: string | null
  hash: string | null
}

const ends = `select origin_id::text as store, epoch, h.head::text,
    (select encode(hash, 'hex') from es.event where position = $1) as previous,
    (select encode(hash, 'hex') from es.event where position = coalesce($2, h.head)) as hash
  from es.store, (select coalesce(max(position), 0) as head from es.event) h`

const readHeader = async (pool: Pool, { after = 0n, to }: ExportOptions): Promise<ExportHeader> => {
  const { store, epoch, head, ...hashes } = await readEnds(pool, after, to)
  const last = to ?? BigInt(head)
  if (after < 0n || last < after || last > BigInt(head))
    throw new DomainError('Invalid', `the log has positions 1 to ${head}; after ${after} to ${last} is no part of it`)
  const hashAt = (position: bigint, hash: string | null): string => {
    if (position === 0n) return genesis(store)
    if (hash === null) throw lacks(position)
    return hash
  }
  const [from, end] = [Number(after) + 1, Number(last)]
  const [previous, hash] = [hashAt(after, hashes.previous), hashAt(last, hashes.hash)]
  return { format: exportFormat, store, epoch, from, to: end, count: end - from + 1, previous, hash }
}

const lacks = (position: bigint) =>
  new DomainError('Conflict', `the log lacks the event at position ${position}; verify it and restore a backup`)

const readEnds = async (pool: Pool, after: bigint, to: bigint | undefined): Promise<EndsRow> => {
  try {
    const { rows } = await pool.query<EndsRow>(ends, [String(after), to === undefined ? null : String(to)])
    const [row] = rows
    if (!row) throw storeLost()
    return row
  } catch (error) {
    throw asDomainError(error)
  }
}
