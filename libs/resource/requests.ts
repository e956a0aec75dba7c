import type { Decider, DomainEvent, EventMeta, Fence, UnitOfWork } from '@mcpctl/event-store'

/** Who asks, and the unit of work that the request adds to. */
export interface CommandContext {
  meta: EventMeta
  unit: UnitOfWork
  /** RFC 3339: the instant at which the request is decided. */
  now: string
  /** Whether who asks may use an object, by plural and name, in what he writes; absent for the daemon itself, which may. */
  mayRun?: (kind: string, name: string) => boolean
  /** Whether who asks may know of an object; absent for the daemon itself. */
  mayView?: (kind: string, name: string) => boolean
}

export interface ObjectHead {
  name: string
  labels: Record<string, string>
  annotations: Record<string, string>
}

/** `create` refuses an existing object, `replace` a missing one, `apply` takes both. */
export type WriteMode = 'create' | 'replace' | 'apply'

/** Asks for an object to be as described. */
export abstract class ApplyRequest<Spec extends object> {
  constructor(
    readonly uid: string,
    readonly desired: ObjectHead & { spec: Spec; mode: WriteMode },
    readonly context: CommandContext,
  ) {}
}

export interface DeleteOptions {
  /** Also while others use it. */
  force?: boolean
}

/** Asks for an object to go. */
export abstract class DeleteRequest {
  constructor(
    readonly uid: string,
    readonly context: CommandContext,
    readonly options: DeleteOptions = {},
  ) {}
}

/** The stream of an object. */
export const streamOf = (category: string, uid: string): string => `${category}-${uid}`

/** Decides one command on one object. Every handler ends here. */
export const decideOn = <State, Command, Event extends DomainEvent>(
  decider: Decider<State, Command, Event>,
  request: { uid: string; context: CommandContext },
  command: Command,
): Promise<Event[]> => request.context.unit.decide(decider, streamOf(decider.category, request.uid), command)

export type { EventMeta, Fence }
