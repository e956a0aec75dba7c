import type { EventTypes } from '@mcpctl/event-store'

/** What was done to key-encryption keys, by their names: which one took over, what was wrapped with it anew, which are kept no more. */
export const keyEvents = {
  category: 'keys',
  events: {
    KekRotated: [],
    KeysRewrapped: [],
    KeksRetired: [],
  },
} satisfies EventTypes

export type KeyEventType = keyof typeof keyEvents.events

/** Keys are those of the whole store: one stream. */
export const keyStream = 'store'
