/** What precedes the first row in COPY's binary format. */
const signatureBytes = 19

/** Cuts the binary format of COPY into rows, however its bytes arrive. */
export class BinaryRows {
  /** Where the columns of the present row begin and end in `bytes`. A column that is null ends where it begins, and so does an empty one. */
  readonly starts: Int32Array
  readonly ends: Int32Array
  bytes: Buffer = Buffer.alloc(0)
  private skip = signatureBytes
  private parts: Buffer[] = []
  private buffered = 0
  /** Without so many bytes it is no use to look at a row again. */
  private needed = 0

  constructor(private readonly columns: number) {
    this.starts = new Int32Array(columns)
    this.ends = new Int32Array(columns)
  }

  /** Calls back for every row that the chunk completes. */
  take(chunk: Buffer, onRow: () => void): void {
    this.parts.push(chunk)
    this.buffered += chunk.length
    if (this.buffered < this.needed) return
    const bytes = this.parts.length === 1 ? chunk : Buffer.concat(this.parts)
    this.bytes = bytes
    let at = Math.min(this.skip, bytes.length)
    this.skip -= at
    for (let end = this.findRow(bytes, at); end > 0; end = this.findRow(bytes, at)) {
      onRow()
      at = end
    }
    this.parts = [bytes.subarray(at)]
    this.buffered = bytes.length - at
    this.needed -= at
  }

  text(column: number): string {
    return this.bytes.toString('utf8', this.starts[column], this.ends[column])
  }

  /** What jsonb sends begins with the number of its format. */
  json(column: number): string {
    return this.bytes.toString('utf8', (this.starts[column] as number) + 1, this.ends[column])
  }

  hex(column: number): string {
    return this.bytes.toString('hex', this.starts[column], this.ends[column])
  }

  int4(column: number): number {
    return this.bytes.readInt32BE(this.starts[column])
  }

  int8(column: number): bigint {
    return this.bytes.readBigInt64BE(this.starts[column])
  }

  isEmpty(column: number): boolean {
    return this.starts[column] === this.ends[column]
  }

  /** Notes where the columns of the row at `at` lie. Returns its end, or 0 when it is not there as a whole. */
  private findRow(bytes: Buffer, at: number): number {
    let next = at + 2
    this.needed = next
    // The last "row" has -1 columns.
    if (next > bytes.length || bytes.readInt16BE(at) !== this.columns) return 0
    for (let column = 0; column < this.columns; column++) {
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
}

const year2000 = 946_684_800_000
const second = 1_000_000

const digits = Buffer.from('0123456789abcdef')
const uuid = Buffer.from('00000000-0000-0000-0000-000000000000')
/** Where each byte of a uuid stands in its text. */
const places = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34]

/** Written in one place: pieces of text would be a tenth of the garbage of a rebuild. */
export const uuidAt = ({ bytes, starts }: BinaryRows, column: number): string => {
  let at = starts[column] as number
  for (const place of places) {
    const byte = bytes[at++] as number
    uuid[place] = digits[byte >> 4] as number
    uuid[place + 1] = digits[byte & 15] as number
  }
  return uuid.toString('latin1')
}

/** Writes timestamps as RFC 3339 with microseconds. Events that follow each other mostly share the second. */
export class Timestamps {
  private lastSecond = 0
  private text = ''

  at(micros: bigint): string {
    // Exact until the year 2285, and a bigint is slow; later times have what they need of one.
    const number = Number(micros)
    const isExact = Number.isSafeInteger(number)
    const rest = isExact ? number % second : Number(micros % BigInt(second))
    const fraction = rest < 0 ? rest + second : rest
    const seconds = isExact ? (number - fraction) / second : Number((micros - BigInt(fraction)) / BigInt(second))
    if (seconds !== this.lastSecond || this.text === '') {
      const time = new Date(seconds * 1000 + year2000)
      this.text = Number.isNaN(time.getTime()) ? 'infinity' : time.toISOString().slice(0, -5)
      this.lastSecond = seconds
    }
    return `${this.text}.${String(fraction).padStart(6, '0')}Z`
  }
}
