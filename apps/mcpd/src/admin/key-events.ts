import type { EventTypes } from '@mcpctl/event-store'

/** An event about keys of the store. */
export type KeyEvent =
  | { type: 'KekRotated'; data: { from: string; to: string } }
  | { type: 'KeysRewrapped'; data: { kek: string; count: number; failed: number } }
  | { type: 'KeksRetired'; data: { keks: string[] } }

/** What was done to key-encryption keys, by their names: which one took over, what was wrapped with it anew, which are kept no more. */
export const keyEvents = {
  category: 'keys',
  events: {
    KekRotated: [],
    KeysRewrapped: [],
    KeksRetired: [],
  },
} satisfies EventTypes<KeyEvent['type']>

/** Keys are those of the whole store: one stream. */
export const keyStream = 'store'
