import type { EventTypes } from '@mcpctl/event-store'

/**
 * What is recorded of people at the door, whether they came in or not. A category of its own: a flood of it neither breaks an append condition
 * nor makes anybody fold rights anew.
 */
export const auditEvents = {
  category: 'audit',
  events: {
    LoginSucceeded: [],
    LoginFailed: [],
    SessionEnded: [],
    AccessDenied: [],
  },
} satisfies EventTypes
