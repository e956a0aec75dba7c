import type { EventTypes } from '@mcpctl/event-store'

/** An event about a processor. Positions are of the parked event, and of the one at which applying those behind it stopped. */
export type ProcessorEvent =
  | { type: 'RebuildRequested'; data: { processor: string; version: number } }
  | {
      type: 'ParkedEventRetried'
      data: { processor: string; position: string; applied: number; stoppedAt?: string }
    }
  | {
      type: 'ParkedEventSkipped'
      data: { processor: string; position: string; applied: number; stoppedAt?: string }
    }

/** What operators did to a read model and to the processor that feeds it. Streams are named after the processor. */
export const processorEvents = {
  category: 'processor',
  events: {
    RebuildRequested: [],
    ParkedEventRetried: [],
    ParkedEventSkipped: [],
  },
} satisfies EventTypes<ProcessorEvent['type']>
