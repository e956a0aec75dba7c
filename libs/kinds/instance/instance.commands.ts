import { DeleteRequest, handlerFor, type CommandContext } from '@mcpctl/resource'
import { instanceDecider } from './instance.decider'
import type { InstanceIdentity, InstanceObservation } from './instance.kind'

/** Sent by the server's saga: a slot gets its copy. */
export class ScheduleInstance {
  constructor(
    readonly uid: string,
    readonly identity: InstanceIdentity,
    readonly context: CommandContext,
  ) {}
}

/** Sent by the server's saga: what became of an instance, or that it is to go. */
export class ObserveInstance {
  constructor(
    readonly uid: string,
    readonly observation: InstanceObservation,
    readonly context: CommandContext,
  ) {}
}

/** A person wants this copy gone; the reconciler drains it and makes another. */
export class DeleteInstance extends DeleteRequest {}

export const instanceHandlers = [
  handlerFor(ScheduleInstance, instanceDecider, ({ identity }) => ({ type: 'Schedule', identity })),
  handlerFor(ObserveInstance, instanceDecider, ({ observation }) => observation),
  handlerFor(DeleteInstance, instanceDecider, () => ({ type: 'Drain', reason: 'deleted by request' })),
]
