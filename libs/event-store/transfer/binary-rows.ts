/** What precedes the first row in COPY's binary format. */
const signatureBytes = 19
/** Before each row: the number of columns (int16), and the length of the only one (int32). */
const rowBytes = 6
const endOfRows = -1

/** Takes the framing off `COPY (SELECT text …) TO STDOUT (FORMAT binary)`, and leaves the texts one behind the other. */
export class BinaryRows {
  private skipped = 0
  private framing = Buffer.alloc(0)
  private payload = 0
  private count = 0

  /** Rows that have begun. */
  get rows(): number {
    return this.count
  }

  /** What the next chunk of the answer holds of the texts. */
  take(chunk: Buffer): Buffer {
    const texts: Buffer[] = []
    let at = this.skipSignature(chunk)
    while (at < chunk.length) {
      if (this.payload === 0) {
        at = this.readFraming(chunk, at)
        continue
      }
      const end = Math.min(at + this.payload, chunk.length)
      texts.push(chunk.subarray(at, end))
      this.payload -= end - at
      at = end
    }
    return texts.length === 1 ? (texts[0] as Buffer) : Buffer.concat(texts)
  }

  private skipSignature(chunk: Buffer): number {
    const skip = Math.min(signatureBytes - this.skipped, chunk.length)
    this.skipped += skip
    return skip
  }

  private readFraming(chunk: Buffer, at: number): number {
    let [frame, start] = [chunk, at]
    let next = at + rowBytes
    if (this.framing.length > 0 || next > chunk.length) {
      next = at + rowBytes - this.framing.length
      this.framing = Buffer.concat([this.framing, chunk.subarray(at, next)])
      if (this.framing.length < rowBytes) return this.atEnd(this.framing) ? chunk.length : Math.min(next, chunk.length)
      ;[frame, start] = [this.framing, 0]
      this.framing = Buffer.alloc(0)
    }
    this.payload = frame.readInt32BE(start + 2)
    this.count++
    return next
  }

  private atEnd(framing: Buffer): boolean {
    return framing.length >= 2 && framing.readInt16BE(0) === endOfRows
  }
}
