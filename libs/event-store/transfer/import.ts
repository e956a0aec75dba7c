import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Pool, PoolClient } from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { DomainError } from '@mcpctl/contracts'
import { Broken, broken } from '../chain/broken'
import { asDomainError } from '../database-errors'
import { ExportCheck } from './export-check'
import type { ExportHeader } from './format'
import { blocksOf } from './lines'

export interface Imported {
  /** Events of the log, and so the position of the last one. */
  events: bigint
  /** The chain's hash at the last event. */
  hash: string
  /** Id of the store in which the log began. */
  origin: string
  /** Of this store from now on: one more than the export's. */
  epoch: number
}

// Whole lines as they are: neither mark can stand in a line, because JSON has no bare control characters.
const stage = `copy pg_temp.es_import from stdin (format csv, quote E'\\x01', delimiter E'\\x02')`

/**
 * Makes an export, or several that follow each other from position 1, the log of an empty store: no event, claim, answered command,
 * seal, parked event or subject's key, and no processor past position 0. Positions, ids, times and hashes stay as they are, so the chain still
 * verifies; the claims follow from the events; the store gets a new id and the export's epoch + 1, and `live_from` becomes the head.
 *
 * Everything is checked and stored in one transaction: whatever goes wrong, also a killed process, leaves the store as it was. Appends
 * of others wait at the end only. The epoch of the header is the one thing that a file cannot prove.
 *
 * Throws `Invalid` for a file that is not what was exported, naming the line and the field; `Conflict` when the store is not empty;
 * `Unavailable` when the database is away or the log is held by somebody else. An error of `source` is thrown as it is.
 */
export const importEvents = async (pool: Pool, source: AsyncIterable<Uint8Array | string>): Promise<Imported> => {
  const check = new ExportCheck()
  const client = await pool
    .connect()
    .catch((error: unknown) => Promise.reject(asDomainError(error, 'the import') as Error))
  const lost = () => {}
  client.on('error', lost)
  try {
    const imported = await importWithin(client, check, source)
    client.off('error', lost)
    client.release()
    return imported
  } catch (error) {
    // Closing the connection takes the transaction back, whatever state it is in.
    client.release(true)
    throw asRefusal(error, check)
  }
}

const importWithin = async (client: PoolClient, check: ExportCheck, source: AsyncIterable<Uint8Array | string>) => {
  await client.query('begin isolation level read committed')
  await client.query('set local statement_timeout = 0')
  await client.query('select es.begin_import()')
  await pipeline(Readable.from(checkedEvents(check, source), { objectMode: false }), client.query(copyFrom(stage)))
  const { header, last } = check.finish()
  await client.query('select es.finish_import($1, $2, $3, $4)', [
    header.store,
    header.epoch,
    String(last.position),
    Buffer.from(last.hash, 'hex'),
  ])
  await client.query('commit')
  return { events: BigInt(last.position), hash: last.hash, origin: header.store, epoch: header.epoch + 1 }
}

async function* checkedEvents(check: ExportCheck, source: AsyncIterable<Uint8Array | string>) {
  for await (const block of blocksOf(source)) {
    const events = check.take(block)
    requireBeginning(check.opening)
    if (events.length > 0) yield events
  }
}

const requireBeginning = (header: ExportHeader | undefined) => {
  if (header && header.from !== 1)
    throw broken('format', 1, 'from', `the export begins at position ${header.from}; put the ones before it first`)
}

const asRefusal = (error: unknown, check: ExportCheck): unknown => {
  if (error instanceof Broken) return invalidFile(check.describe(error), error.fault.field, error)
  const { code, detail, column, message } = error as {
    code?: string
    detail?: string
    column?: string
    message: string
  }
  if (code === 'ES001') {
    const line = check.lineOf(Number(detail))
    return invalidFile(`line ${line}, ${column ?? 'line'}: ${message}`, column ?? 'line', error)
  }
  if (code === 'ES002')
    return new DomainError('Conflict', `${message}; import into a new database, where nothing has happened yet`, {
      cause: error,
    })
  return asDomainError(error, 'the import')
}

const invalidFile = (found: string, field: string, cause: unknown): DomainError => {
  const line = /^line (\d+)/.exec(found)?.[1] ?? '1'
  return new DomainError('Invalid', `${found}; nothing was imported: take the file from its source again`, {
    errors: [
      { pointer: `/${line}/${field}`, code: cause instanceof Broken ? cause.fault.problem : 'import', message: found },
    ],
    cause,
  })
}
