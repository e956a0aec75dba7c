import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { Pool } from 'pg'
import { contentHash } from '../append/event-text'
import type { EventLine } from '../chain/event-line'
import { exportEvents } from '../transfer/export'
import type { ExportOptions } from '../transfer/export'
import { digestedHeader, exportFormat, headerLine, trailerLine, type ExportHeader } from '../transfer/format'
import { chained, genesis } from './chain'

/** A whole export as text. For tests. */
export const exported = (pool: Pool, options?: ExportOptions): Promise<string> => text(exportEvents(pool, options))

/** A file as a source of bytes, in pieces that end anywhere. For tests. */
export const fileOf = (content: string | Buffer, pieceBytes = 1 << 16): Readable => {
  const bytes = Buffer.from(content)
  const pieces = Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, i) =>
    bytes.subarray(i * pieceBytes, (i + 1) * pieceBytes),
  )
  return Readable.from(pieces, { objectMode: false })
}

/** The events of an export. For tests. */
export const eventsIn = (file: string): EventLine[] =>
  file
    .trimEnd()
    .split('\n')
    .slice(1, -1)
    .map((line) => JSON.parse(line) as EventLine)

/**
 * Writes an export of these events in which all hashes are right, whatever the events say: what a forger would hand in who knows
 * the format. For tests.
 */
export const forge = (store: string, events: EventLine[], header: Partial<ExportHeader> = {}): string => {
  let hash = genesis(store)
  const lines = events.map((event) => {
    const content = contentHash(event, event)
    const recorded = { ...event, position: BigInt(event.position), contentHash: content, hash: '' }
    hash = chained(hash, recorded)
    return JSON.stringify({ ...event, contentHash: content, hash })
  })
  const count = events.length
  const previous = genesis(store)
  const full = { format: exportFormat, store, epoch: 1, from: 1, to: count, count, previous, hash, ...header } as const
  return sealed(full, lines)
}

/** Puts header and trailer around lines, so that the digest is right. For tests. */
export const sealed = (header: ExportHeader, lines: string[]): string => {
  const body = lines.map((line) => `${line}\n`).join('')
  const sha256 = createHash('sha256').update(digestedHeader(header)).update(body).digest('hex')
  return `${headerLine(header)}\n${body}${trailerLine({ ...header, sha256 })}\n`
}
