import { once } from 'node:events'
import { finished } from 'node:stream/promises'
import type { ClientBase } from 'pg'
import { from as copyFrom, type CopyStreamQuery } from 'pg-copy-streams'

const chunkBytes = 1024 * 1024
/** Bytes that a character of a JavaScript string may take at most. */
const widest = 3

const special: Record<string, string> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }

/** A text as a field of COPY's text format. */
export const textField = (text: string): string => text.replace(/[\\\t\n\r]/g, (found) => special[found] ?? '')

/** JSON as a field of COPY's text format: everything else that means something there JSON has escaped itself. */
export const jsonField = (json: string): string => (json.includes('\\') ? json.replaceAll('\\', '\\\\') : json)

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

  /** A line in COPY's text format, its end included. */
  add(line: string): void {
    const most = line.length * widest
    if (this.used + most > this.chunk.length) this.renew(most)
    this.used += this.chunk.write(line, this.used)
  }

  /** Sends what was added, as fast as the database takes it. Until `end` the transaction can be used for nothing else. */
  async send(tx: ClientBase): Promise<void> {
    this.renew(0)
    for (const chunk of this.full.splice(0)) {
      const { stream, ended } = (this.copying ??= this.begin(tx))
      // An error ends the stream, which then drains no more.
      if (!stream.write(chunk)) await Promise.race([once(stream, 'drain'), ended])
    }
  }

  /** Resolves when everything that was sent is in the table. */
  async end(): Promise<void> {
    const { copying } = this
    this.copying = undefined
    copying?.stream.end()
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

  private begin(tx: ClientBase): Copying {
    const stream = tx.query(copyFrom(`copy ${this.into} from stdin`))
    const copying = { stream, ended: finished(stream), hasFailed: false }
    // Told to whoever sends or ends; until then it is nobody's.
    copying.ended.catch(() => {
      copying.hasFailed = true
    })
    return copying
  }

  private renew(atLeast: number): void {
    if (this.used > 0) this.full.push(this.chunk.subarray(0, this.used))
    // What was pushed is not written to any more.
    this.chunk = atLeast === 0 ? this.chunk.subarray(this.used) : Buffer.allocUnsafe(Math.max(chunkBytes, atLeast))
    this.used = 0
  }
}
