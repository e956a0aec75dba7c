const lineLimit = 64 * 1024
const newline = 10

/** Where to cut so that no UTF-8 character is torn. */
const cutBefore = (buffer: Buffer, limit: number): number => {
  let end = limit
  while (end > limit - 4 && ((buffer[end] ?? 0) & 0xc0) === 0x80) end--
  return end
}

/** Turns bytes into lines. A line longer than 64 KiB comes out in pieces, so that memory stays bounded. */
export class LineSplitter {
  #rest: Buffer = Buffer.alloc(0)

  push(chunk: Buffer): string[] {
    const lines: string[] = []
    let buffer = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    for (;;) {
      const at = buffer.indexOf(newline)
      if (at >= 0 && at <= lineLimit) {
        lines.push(text(buffer.subarray(0, at)))
        buffer = buffer.subarray(at + 1)
      } else if (buffer.length > lineLimit) {
        const cut = cutBefore(buffer, lineLimit)
        lines.push(text(buffer.subarray(0, cut)))
        buffer = buffer.subarray(cut)
      } else {
        // A copy, so that a short rest does not keep a long chunk alive.
        this.#rest = Buffer.from(buffer)
        return lines
      }
    }
  }

  /** What came after the last newline. */
  end(): string[] {
    const rest = this.#rest
    this.#rest = Buffer.alloc(0)
    return rest.length === 0 ? [] : [text(rest)]
  }
}

const text = (line: Buffer): string => {
  const end = line.at(-1) === 13 ? line.length - 1 : line.length
  return line.toString('utf8', 0, end)
}
