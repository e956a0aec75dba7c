import { once } from 'node:events'
import { finished } from 'node:stream/promises'
import type { ClientBase } from 'pg'
import { from as copyFrom, type CopyStreamQuery } from 'pg-copy-streams'

const chunkBytes = 1024 * 1024
/** Bytes that a character of a JavaScript string may take at most. */
export const widest = 3

/** `PGCOPY`, flags, no extension; and what stands in place of a row at the end. */
const signature = Buffer.from('5047434f50590aff0d0a000000000000000000', 'hex')
const trailer = Buffer.from('ffff', 'hex')

const int = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

const bytesOf = (...parts: Buffer[]): string =>
  Buffer.concat([int(Buffer.concat(parts).length), ...parts]).toString('latin1')

/** Fields of COPY's binary format, a character per byte: as strings they are kept and written cheaply. */
export const textField = (text: string): string => bytesOf(Buffer.from(text))
export const jsonbField = (json: string): string => bytesOf(Buffer.from([1]), Buffer.from(json))
export const uuidField = (uuid: string): string => bytesOf(Buffer.from(uuid.replaceAll('-', ''), 'hex'))
/** What a row begins with: the number of its columns. */
export const rowStart = (columns: number): string => String.fromCharCode(columns >> 8, columns & 255)

interface Copying {
  stream: CopyStreamQuery
  ended: Promise<void>
  hasFailed: boolean
}

/**
 * Rows on their way into a table, by one COPY for many of them: starting one costs a round trip, in which nobody works. Rows are
 * written into bytes at once: as strings they would be most of the garbage of a rebuild.
 */
export class CopyRows {
  private full: Buffer[] = []
  private chunk = Buffer.allocUnsafe(0)
  private used = 0
  private copying: Copying | undefined

  /** `into`: the table with its columns. */
  constructor(private readonly into: string) {}

  /** Fields as they are, the first with what the row begins with. To be followed by the others, `most` bytes in all. */
  begin(fields: string, most: number): void {
    const room = fields.length + most
    if (this.used + room > this.chunk.length) this.renew(room)
    this.used += this.chunk.write(fields, this.used, 'latin1')
  }

  bigint(value: bigint | null): void {
    const { chunk } = this
    if (value === null) {
      this.used = chunk.writeInt32BE(-1, this.used)
      return
    }
    this.used = chunk.writeInt32BE(8, this.used)
    const number = Number(value)
    chunk.writeInt32BE(Math.floor(number / 2 ** 32), this.used)
    this.used = chunk.writeUInt32BE(number >>> 0, this.used + 4)
  }

  text(text: string): void {
    const length = this.chunk.write(text, this.used + 4)
    this.chunk.writeInt32BE(length, this.used)
    this.used += 4 + length
  }

  /** Sends what was added, as fast as the database takes it. Until `end` the transaction can be used for nothing else. */
  async send(tx: ClientBase): Promise<void> {
    this.renew(0)
    for (const chunk of this.full.splice(0)) {
      const { stream, ended } = (this.copying ??= this.start(tx))
      // An error ends the stream, which then drains no more.
      if (!stream.write(chunk)) await Promise.race([once(stream, 'drain'), ended])
    }
  }

  /** Resolves when everything that was sent is in the table. */
  async end(): Promise<void> {
    const { copying } = this
    this.copying = undefined
    copying?.stream.end(trailer)
    await copying?.ended
  }

  /** Gives up what is under way, so that the transaction can be taken back. */
  async cancel(): Promise<void> {
    const { copying } = this
    this.copying = undefined
    if (!copying || copying.hasFailed) return
    copying.stream.destroy()
    await copying.ended.catch(() => undefined)
  }

  private start(tx: ClientBase): Copying {
    const stream = tx.query(copyFrom(`copy ${this.into} from stdin (format binary)`))
    const copying = { stream, ended: finished(stream), hasFailed: false }
    // Told to whoever sends or ends; until then it is nobody's.
    copying.ended.catch(() => {
      copying.hasFailed = true
    })
    stream.write(signature)
    return copying
  }

  private renew(atLeast: number): void {
    if (this.used > 0) this.full.push(this.chunk.subarray(0, this.used))
    // What was pushed is not written to any more.
    this.chunk = atLeast === 0 ? this.chunk.subarray(this.used) : Buffer.allocUnsafe(Math.max(chunkBytes, atLeast))
    this.used = 0
  }
}
