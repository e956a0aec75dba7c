import type { LogLine } from './driver'

const headerBytes = 8

/** Takes apart an attach stream: frames of a header (1: stdout, 2: stderr; big-endian length) and bytes. Payload is passed on as it comes. */
export class FrameSplitter {
  #header: Buffer = Buffer.alloc(0)
  #stream: LogLine['stream'] = 'stdout'
  #left = 0

  constructor(private readonly payload: (stream: LogLine['stream'], chunk: Buffer) => void) {}

  push(chunk: Buffer): void {
    let rest = chunk
    while (rest.length > 0) rest = this.#left > 0 ? this.#takePayload(rest) : this.#takeHeader(rest)
  }

  #takePayload(chunk: Buffer): Buffer {
    const own = chunk.subarray(0, this.#left)
    this.#left -= own.length
    this.payload(this.#stream, own)
    return chunk.subarray(own.length)
  }

  #takeHeader(chunk: Buffer): Buffer {
    const missing = headerBytes - this.#header.length
    this.#header = Buffer.concat([this.#header, chunk.subarray(0, missing)])
    if (this.#header.length === headerBytes) {
      this.#stream = this.#header[0] === 2 ? 'stderr' : 'stdout'
      this.#left = this.#header.readUInt32BE(4)
      this.#header = Buffer.alloc(0)
    }
    return chunk.subarray(missing)
  }
}
