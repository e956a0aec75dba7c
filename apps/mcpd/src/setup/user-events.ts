import type { EventTypes } from '@mcpctl/event-store'

/** What is recorded of users, who are no kind of their own yet. */
export const userEvents = {
  category: 'user',
  events: {
    UserCreated: [],
    TokenIssued: [],
  },
} satisfies EventTypes
