import { EventCatalogue } from '@mcpctl/event-store'
import { resources } from '@mcpctl/kinds/modules'
import { keyEvents } from '../admin/key-events'
import { processorEvents } from '../admin/processor-events'
import { auditEvents } from '../identity/audit-events'

/** Every event that this daemon can read: those of the kinds, and its own. */
export const catalogue = new EventCatalogue([
  ...resources.map(({ decider }) => decider),
  processorEvents,
  keyEvents,
  auditEvents,
])
