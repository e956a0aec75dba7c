import { EventCatalogue } from '@mcpctl/event-store'
import { resources } from '@mcpctl/kinds/modules'
import { processorEvents } from '../admin/processor-events'
import { userEvents } from '../setup/user-events'

/** Every event that this daemon can read: those of the kinds, and its own. */
export const catalogue = new EventCatalogue([...resources.map(({ decider }) => decider), userEvents, processorEvents])
