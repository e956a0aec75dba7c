import { isUtf8 } from 'node:buffer'
import { broken } from '../chain/broken'

/** An event holds at most 1 MiB, which is several times as much when numbers are written out. */
const maxLineBytes = 64 * 1024 * 1024
const newline = 0x0a

/** Some whole lines: their text without, and their bytes with the ends of the lines. */
export interface Block {
  lines: string[]
  bytes: Buffer
}

/** Cuts a stream of bytes into blocks of whole lines. Throws `Broken` for bytes that are no UTF-8, endless lines and a last line without its end. */
export async function* blocksOf(source: AsyncIterable<Uint8Array | string>): AsyncGenerator<Block> {
  let open: Buffer[] = []
  let openBytes = 0
  let line = 1
  for await (const piece of source) {
    const chunk = toBuffer(piece)
    const end = chunk.lastIndexOf(newline) + 1
    const bytes = end > 0 ? Buffer.concat([...open, chunk.subarray(0, end)]) : undefined
    if (bytes) {
      const block = toBlock(bytes, line)
      line += block.lines.length
      yield block
      open = []
      openBytes = 0
    }
    if (end < chunk.length) open.push(chunk.subarray(end))
    openBytes += chunk.length - end
    if (openBytes > maxLineBytes) throw broken('format', 0, 'line', `line ${line} is longer than any event`)
  }
  if (openBytes > 0) throw broken('format', 0, 'line', `line ${line} has no end: the file was cut off`)
}

const toBuffer = (piece: Uint8Array | string): Buffer =>
  typeof piece === 'string' ? Buffer.from(piece) : Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)

const toBlock = (bytes: Buffer, firstLine: number): Block => {
  if (!isUtf8(bytes)) throw broken('format', 0, 'line', `line ${firstLine + firstBadLine(bytes)} is not UTF-8`)
  return { lines: bytes.toString('utf8', 0, bytes.length - 1).split('\n'), bytes }
}

const firstBadLine = (bytes: Buffer): number => {
  let start = 0
  for (let index = 0; ; index++) {
    const end = bytes.indexOf(newline, start)
    if (end === -1 || !isUtf8(bytes.subarray(start, end))) return index
    start = end + 1
  }
}
