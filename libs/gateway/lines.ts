const edge = 512

export interface LineListener {
  line(text: string): void
  /** A line was longer than the limit and is dropped; its first and last bytes are left, to say whose it was. */
  oversize?(head: string, tail: string): void
}

/** Cuts a stream of bytes into lines, without their ends. Memory stays within the limit, whatever is sent. */
export class LineReader {
  #parts: Buffer[] = []
  #length = 0
  #edges: { head: Buffer; tail: Buffer } | undefined

  constructor(
    readonly listener: LineListener,
    readonly limit: number,
  ) {}

  push(chunk: Buffer): void {
    let start = 0
    for (;;) {
      const end = chunk.indexOf(0x0a, start)
      if (end === -1) return this.#keep(chunk.subarray(start))
      this.#keep(chunk.subarray(start, end))
      this.#finish()
      start = end + 1
    }
  }

  /** Takes what is left at the end of the stream for a line. */
  end(): void {
    if (this.#length > 0) this.#finish()
  }

  #keep(part: Buffer): void {
    if (part.length === 0) return
    this.#length += part.length
    if (this.#edges) {
      this.#edges.tail = Buffer.from(Buffer.concat([this.#edges.tail, part.subarray(-edge)]).subarray(-edge))
      return
    }
    this.#parts.push(part)
    if (this.#length <= this.limit) return
    const whole = Buffer.concat(this.#parts)
    this.#edges = { head: Buffer.from(whole.subarray(0, edge)), tail: Buffer.from(whole.subarray(-edge)) }
    this.#parts = []
  }

  #finish(): void {
    const { listener } = this
    const edges = this.#edges
    const whole = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts)
    this.#parts = []
    this.#length = 0
    this.#edges = undefined
    if (edges) return listener.oversize?.(edges.head.toString('latin1'), edges.tail.toString('latin1'))
    const text = whole?.toString('utf8') ?? ''
    listener.line(text.endsWith('\r') ? text.slice(0, -1) : text)
  }
}
