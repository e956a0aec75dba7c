import { DomainError } from '@mcpctl/contracts'
import type { EventLog } from '@mcpctl/event-store'

const instant = /^\d{4}-\d{2}-\d{2}([Tt]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2}))?$/

const faulty = (message: string): DomainError =>
  new DomainError('Invalid', `at ${message}`, { errors: [{ pointer: '/at', code: 'invalid', message }] })

/** The position that a moment stands for: a position itself, or the last event until an instant. Throws Invalid for what is none or still to come. */
export const positionAt = async (log: EventLog, text: string): Promise<bigint> => {
  const head = await log.head()
  if (/^\d{1,18}$/.test(text)) {
    if (BigInt(text) <= head) return BigInt(text)
    throw faulty(`is a position to come: the log ends at ${String(head)}`)
  }
  const until = instant.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(until)) throw faulty('must be a position, or a time like 2026-07-02T09:12:00Z')
  if (until > Date.now()) throw faulty('is a time to come')
  return lastUntil(log, until, head)
}

/** Times never run backwards along the log, so that halving finds the place. */
const lastUntil = async (log: EventLog, until: number, head: bigint): Promise<bigint> => {
  let [low, high] = [0n, head]
  while (low < high) {
    const middle = (low + high + 1n) / 2n
    const [event] = await log.read(middle - 1n, 1)
    if (event && Date.parse(event.recordedAt) <= until) low = middle
    else high = middle - 1n
  }
  return low
}
