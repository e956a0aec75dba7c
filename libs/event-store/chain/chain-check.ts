import { hash } from 'node:crypto'
import { broken } from './broken'
import { contentOf, parseEventLine, type EventLine } from './event-line'

/** Where the chain of a log begins: sha256 of the id of the store in which the log began, hex. */
export const genesis = (originId: string): string => hash('sha256', originId)

/** A place in the log and the chain's hash there. */
export interface ChainEnd {
  position: number
  hash: string
}

/**
 * Follows the chain from event to event: positions without a gap, time that never runs backwards, content hashes and chain
 * hashes computed again. Knows nothing but the end of what it has seen, so it needs no more memory for a longer log.
 */
export class ChainCheck {
  private readonly input = Buffer.alloc(88)
  private lastTime = ''
  private second = { text: '', micros: 0n }

  constructor(private end: ChainEnd) {}

  /** The last event that is in order. */
  get last(): ChainEnd {
    return this.end
  }

  /** Takes the line of the next event. Throws `Broken` with what is wrong with it. */
  next(text: string): EventLine {
    const expected = this.end.position + 1
    const event = parseEventLine(text, expected)
    this.checkPlace(event, expected)
    if (hash('sha256', contentOf(event, text)) !== event.contentHash)
      throw broken(
        'content',
        expected,
        'contentHash',
        'the event is not the one that was appended: its content hash differs',
      )
    if (this.chained(event) !== event.hash)
      throw broken('chain', expected, 'hash', 'the event does not follow from the one before it: the chain breaks here')
    this.lastTime = event.recordedAt
    this.end = { position: expected, hash: event.hash }
    return event
  }

  private checkPlace({ position, recordedAt }: EventLine, expected: number) {
    if (position > expected) throw broken('missing', expected, 'position', `position ${expected} is missing`)
    if (position < expected)
      throw broken('inserted', expected, 'position', `position ${position} comes again where ${expected} should be`)
    if (recordedAt < this.lastTime)
      throw broken('time', expected, 'recordedAt', `time runs backwards, from ${this.lastTime} to ${recordedAt}`)
  }

  private chained({ position, version, recordedAt, contentHash }: EventLine): string {
    const { input } = this
    input.write(this.end.hash, 0, 'hex')
    input.write(contentHash, 32, 'hex')
    input.writeBigInt64BE(BigInt(position), 64)
    input.writeBigInt64BE(BigInt(version), 72)
    input.writeBigInt64BE(this.microsOf(recordedAt, position), 80)
    return hash('sha256', input)
  }

  /** Microseconds since 1970. Events that follow each other mostly share the second. */
  private microsOf(recordedAt: string, position: number): bigint {
    const text = recordedAt.slice(0, 19)
    if (text !== this.second.text) {
      const time = new Date(`${text}Z`)
      // The 30th of February would be taken for the 1st of March.
      if (Number.isNaN(time.getTime()) || !time.toISOString().startsWith(text))
        throw broken('format', position, 'recordedAt', 'is no time that exists')
      this.second = { text, micros: BigInt(time.getTime()) * 1000n }
    }
    return this.second.micros + BigInt(recordedAt.slice(20, 26))
  }
}
