import type { EventTypes } from '@mcpctl/event-store'

/** What operators did to a read model and to the processor that feeds it. Streams are named after the processor. */
export const processorEvents = {
  category: 'processor',
  events: {
    RebuildRequested: [],
    ParkedEventRetried: [],
    ParkedEventSkipped: [],
  },
} satisfies EventTypes

export type ProcessorEventType = keyof typeof processorEvents.events
