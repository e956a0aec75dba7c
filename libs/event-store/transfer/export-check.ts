import { createHash } from 'node:crypto'
import { type Broken, broken } from '../chain/broken'
import { ChainCheck, genesis, type ChainEnd } from '../chain/chain-check'
import type { EventLine } from '../chain/event-line'
import { digestedHeader, exportFormat, headerLine, trailerLine, type ExportHeader, type ExportTrailer } from './format'
import type { Block } from './lines'

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isHash = (value: unknown) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
const isEpoch = (value: unknown) => isCount(value) && value >= 1 && value < 2 ** 31 - 1
const isUuid = (value: unknown) =>
  typeof value === 'string' && /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(value)

const isPossible: Record<keyof ExportHeader, (value: unknown) => boolean> = {
  format: (value) => value === exportFormat,
  store: isUuid,
  epoch: isEpoch,
  from: (value) => isCount(value) && value >= 1,
  to: isCount,
  count: isCount,
  previous: isHash,
  hash: isHash,
}
const headerFields = Object.keys(isPossible) as (keyof ExportHeader)[]

/**
 * Checks an export, or several that follow each other, line by line: headers, every event by `ChainCheck`, trailers. What needs more
 * memory for a longer log (unique ids, versions of streams) is left to the caller.
 */
export class ExportCheck {
  private header: ExportHeader | undefined
  private first: ExportHeader | undefined
  private chain: ChainCheck | undefined
  private digest = createHash('sha256')
  private line = 0
  /** Was the last line a trailer? */
  private complete = false
  /** Where each header stood, for `lineOf`. */
  private readonly headers: { from: number; line: number }[] = []

  /** `onEvent` hears of every event that is in order, and of the position with which the first export begins. */
  constructor(private readonly onEvent: (event: EventLine, from: number) => void = () => {}) {}

  /** The first header. */
  get opening(): ExportHeader | undefined {
    return this.first
  }

  /** The last event that is in order. */
  private get last(): ChainEnd | undefined {
    return this.chain?.last
  }

  /** The line on which the event of a position stands. */
  lineOf(position: number): number {
    const header = this.headers.findLast(({ from }) => from <= position)
    return header ? header.line + position - header.from + 1 : 1
  }

  /** Line and text of whatever a check has found in the line under way. */
  describe({ fault }: Broken): string {
    const at = this.line === 0 ? '' : `line ${this.line}, ${fault.field}: `
    return `${at}${fault.message}`
  }

  /** Checks the next lines. Returns the bytes of the events among them. Throws `Broken`. */
  take(block: Block): Buffer {
    const { chain, header } = this
    if (chain && header && !this.complete && header.to - chain.last.position >= block.lines.length) {
      for (const text of block.lines) this.takeEvent(text)
      this.digest.update(block.bytes)
      return block.bytes
    }
    let events = ''
    for (const text of block.lines) if (this.takeLine(text)) events += `${text}\n`
    return Buffer.from(events)
  }

  /** To be called at the end of the source. Throws `Broken` unless it ended with a trailer. */
  finish(): { opening: ExportHeader; header: ExportHeader; last: ChainEnd } {
    const { first: opening, header, last } = this
    this.line++
    if (!opening || !header || !last || !this.complete)
      throw broken('format', (last?.position ?? 0) + 1, 'trailer', 'the file ends before its trailer: it was cut off')
    return { opening, header, last }
  }

  /** Was it an event? */
  private takeLine(text: string): boolean {
    if (!this.header || !this.chain || this.complete) {
      this.line++
      this.takeHeader(text)
      return false
    }
    if (this.chain.last.position < this.header.to) {
      this.takeEvent(text)
      this.digest.update(`${text}\n`)
      return true
    }
    this.line++
    this.takeTrailer(text, this.header)
    return false
  }

  private takeEvent(text: string) {
    this.line++
    this.onEvent((this.chain as ChainCheck).next(text), (this.first as ExportHeader).from)
  }

  private takeHeader(text: string) {
    const header = readHeader(text, (this.last?.position ?? 0) + 1)
    if (this.header && this.last) checkContinues(header, this.header, this.last)
    this.first ??= header
    this.header = header
    this.chain ??= new ChainCheck({ position: header.from - 1, hash: header.previous })
    this.digest = createHash('sha256').update(digestedHeader(header))
    this.headers.push({ from: header.from, line: this.line })
    this.complete = false
  }

  private takeTrailer(text: string, { count, hash, to }: ExportHeader) {
    const refuse = (field: string, message: string) => broken('format', to + 1, field, message)
    const last = (this.last as ChainEnd).hash
    if (hash !== last) throw refuse('hash', 'the header names another hash than the last event has')
    const sha256 = this.digest.digest('hex')
    if (text !== trailerLine({ count, hash, sha256 })) {
      const trailer = parseObject<ExportTrailer>(text)
      if (trailer?.count !== count) throw refuse('count', `a trailer with a count of ${count} should stand here`)
      if (trailer.hash !== hash) throw refuse('hash', 'the trailer names another hash than the last event has')
      throw refuse('sha256', 'the bytes of the file are not those that were exported')
    }
    this.complete = true
  }
}

const readHeader = (text: string, position: number): ExportHeader => {
  const refuse = (field: string, message: string) => broken('format', position, field, message)
  const header = parseObject<ExportHeader>(text)
  if (!header) throw refuse('header', 'is not the header of an export')
  for (const field of headerFields)
    if (!isPossible[field](header[field]))
      throw refuse(field, `is not what a header of format ${exportFormat} has here`)
  if (headerLine(header) !== text) throw refuse('header', 'is not written as an export writes it')
  const { from, to, count, store, previous } = header
  if (count !== to - from + 1) throw refuse('count', `positions ${from} to ${to} are not ${count}`)
  if (from === 1 && previous !== genesis(store)) throw refuse('previous', 'the chain does not begin with the store id')
  return header
}

const checkContinues = (header: ExportHeader, before: ExportHeader, last: ChainEnd) => {
  const refuse = (field: string, message: string) => broken('format', last.position + 1, field, message)
  if (header.store !== before.store) throw refuse('store', 'is another log than that of the export before it')
  if (header.from !== last.position + 1) throw refuse('from', `the export before it ends at position ${last.position}`)
  if (header.previous !== last.hash) throw refuse('previous', 'does not follow from the export before it')
  if (header.epoch < before.epoch) throw refuse('epoch', 'is older than that of the export before it')
}

const parseObject = <T extends object>(text: string): (Partial<T> & T) | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as T) : undefined
  } catch {
    return undefined
  }
}
