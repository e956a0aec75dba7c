import type { AccessLog } from '@mcpctl/access'
import type { EventCatalogue, PostgresEventLog } from '@mcpctl/event-store'

/** The log as rights are folded from it: each event in its current shape. Its reads throw UnknownEvent. */
export const accessLog = (log: PostgresEventLog, catalogue: EventCatalogue): AccessLog => ({
  async read(after, limit, filter) {
    const events = await log.read(after, limit, filter)
    return events.map((event) => catalogue.toCurrent(event))
  },
})
