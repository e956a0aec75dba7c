/** The columns that `EventRows` reads, in its order. */
export const rowColumns = `position, version, recorded_at, category, stream_id, event_id, type, schema_version, claims, data, meta,
  content_hash, hash`
const columns = 13

/** What precedes the first row in COPY's binary format. */
const signatureBytes = 19
const year2000 = 946_684_800_000
const second = 1_000_000n

/**
 * Makes lines of an export out of `COPY (SELECT position, version …) TO STDOUT (FORMAT binary)`. PostgreSQL would take twice as long
 * for them as it takes to hand out the columns. Texts of jsonb are taken as they are: the same value has the same text everywhere.
 */
export class EventRows {
  private skip = signatureBytes
  private parts: Buffer[] = []
  private buffered = 0
  /** Without so many bytes it is no use to look at a row again. */
  private needed = 0
  private count = 0
  private lastSecond = { seconds: 0n, text: '' }
  private readonly starts = new Int32Array(columns)
  private readonly ends = new Int32Array(columns)

  /** Whole rows so far. */
  get rows(): number {
    return this.count
  }

  /** The lines of the rows that the next chunk completes. */
  take(chunk: Buffer): string {
    this.parts.push(chunk)
    this.buffered += chunk.length
    if (this.buffered < this.needed) return ''
    const bytes = this.parts.length === 1 ? chunk : Buffer.concat(this.parts)
    let at = Math.min(this.skip, bytes.length)
    this.skip -= at
    let lines = ''
    for (let end = this.findRow(bytes, at); end > 0; end = this.findRow(bytes, at)) {
      lines += this.line(bytes)
      this.count++
      at = end
    }
    this.parts = [bytes.subarray(at)]
    this.buffered = bytes.length - at
    this.needed -= at
    return lines
  }

  /** Notes where the columns of the row at `at` lie. Returns its end, or 0 when it is not there as a whole. */
  private findRow(bytes: Buffer, at: number): number {
    let next = at + 2
    this.needed = next
    // The last "row" has -1 columns.
    if (next > bytes.length || bytes.readInt16BE(at) !== columns) return 0
    for (let column = 0; column < columns; column++) {
      this.needed = next + 4
      if (this.needed > bytes.length) return 0
      const length = bytes.readInt32BE(next)
      this.starts[column] = next + 4
      next += 4 + Math.max(length, 0)
      this.ends[column] = next
    }
    this.needed = next
    return next > bytes.length ? 0 : next
  }

  private line(bytes: Buffer): string {
    const { starts, ends } = this
    const start = (column: number) => starts[column] as number
    const text = (column: number) => bytes.toString('utf8', start(column), ends[column])
    // What jsonb sends begins with the number of its format.
    const json = (column: number) => bytes.toString('utf8', start(column) + 1, ends[column])
    const hex = (column: number) => bytes.toString('hex', start(column), ends[column])
    const integer = (column: number) => Number(bytes.readBigInt64BE(start(column)))
    const claims = ends[8] === start(8) ? '[]' : json(8)
    return `{"position":${integer(0)},"version":${integer(1)},"recordedAt":"${this.time(bytes.readBigInt64BE(start(2)))}","category":${JSON.stringify(text(3))},"streamId":${JSON.stringify(text(4))},"id":"${uuid(hex(5))}","type":${JSON.stringify(text(6))},"schemaVersion":${bytes.readInt32BE(start(7))},"claims":${claims},"data":${json(9)},"meta":${json(10)},"contentHash":"${hex(11)}","hash":"${hex(12)}"}\n`
  }

  /** Events that follow each other mostly share the second. */
  private time(micros: bigint): string {
    const fraction = ((micros % second) + second) % second
    const seconds = (micros - fraction) / second
    if (seconds !== this.lastSecond.seconds || this.lastSecond.text === '') {
      const time = new Date(Number(seconds) * 1000 + year2000)
      const text = Number.isNaN(time.getTime()) ? 'infinity' : time.toISOString().slice(0, -5)
      this.lastSecond = { seconds, text }
    }
    return `${this.lastSecond.text}.${String(fraction).padStart(6, '0')}Z`
  }
}

const uuid = (hex: string): string =>
  `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
