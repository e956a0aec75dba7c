/** The first line of an export. */
export interface ExportHeader {
  format: typeof exportFormat
  /** Id of the store in which the log began. */
  store: string
  /** How often the log has been moved to another store, plus one. */
  epoch: number
  /** First and last position. `to` is `from` − 1 when the export holds no event. */
  from: number
  to: number
  count: number
  /** The chain's hash before the first event. */
  previous: string
  /** The chain's hash at `to`. */
  hash: string
}

/** The last line of an export. */
export interface ExportTrailer {
  count: number
  hash: string
  /** Over all bytes before the trailer, the header's epoch left out, hex. */
  sha256: string
}

export const exportFormat = 'event-log/1'

/** The header as a line, without its end. */
export const headerLine = ({ format, store, epoch, from, to, count, previous, hash }: ExportHeader): string =>
  JSON.stringify({ format, store, epoch, from, to, count, previous, hash })

/** What the trailer's sha256 covers of the header: two exports of one log differ in the epoch and in nothing else. */
export const digestedHeader = ({ format, store, from, to, count, previous, hash }: ExportHeader): string =>
  `${JSON.stringify({ format, store, from, to, count, previous, hash })}\n`

/** The trailer as a line, without its end. */
export const trailerLine = ({ count, hash, sha256 }: ExportTrailer): string => JSON.stringify({ count, hash, sha256 })
