import { PassThrough, Writable } from 'node:stream'
import type { Connection } from './driver'

const unreadLimit = 16 * 1024 * 1024

/**
 * The standard streams of one unit, lent to one connection at a time. What the unit writes is always taken, so that it never stalls on a full pipe: with
 * nobody connected it is discarded, and a reader who falls 16 MiB behind is cut off.
 */
export class StdioChannel {
  #output: PassThrough | undefined
  #isOver = false

  constructor(private readonly input: Writable) {}

  /** What the unit wrote. */
  push(chunk: Buffer): void {
    const output = this.#output
    if (!output) return
    output.write(chunk)
    if (output.readableLength + output.writableLength <= unreadLimit) return
    this.#output = undefined
    output.destroy(new Error('the reader of the unit has fallen too far behind'))
  }

  /** The unit is gone or can no longer be heard: the connection ends. */
  end(): void {
    this.#isOver = true
    this.#output?.end()
    this.#output = undefined
  }

  /** A new connection; the one before it ends. Closing it does not end the unit's input. */
  connect(): Connection {
    this.#output?.end()
    const output = new PassThrough()
    // A reader who has left must not take the daemon with him.
    output.on('error', () => undefined)
    if (this.#isOver) output.end()
    else this.#output = output
    const input = this.#inputFor(output)
    const close = () => {
      if (this.#output === output) this.#output = undefined
      output.end()
      output.resume()
      input.destroy()
    }
    return { transport: 'stdio', input, output, close }
  }

  #inputFor(output: PassThrough): Writable {
    const input = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        if (this.#output !== output) done(new Error('the connection is closed'))
        else this.input.write(chunk, done)
      },
    })
    input.on('error', () => undefined)
    return input
  }
}
