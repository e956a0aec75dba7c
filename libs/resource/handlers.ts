import type { Type } from '@nestjs/common'
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs'
import type { Decider, DomainEvent } from '@mcpctl/event-store'
import { decideOn, type CommandContext } from './requests'

interface Addressed {
  uid: string
  context: CommandContext
}

type RequestType<R> = abstract new (...parameters: never[]) => R

/** The handler of a request that gathers no facts: request → command → decide → stage. */
export const handlerFor = <R extends Addressed, State, const Command, Event extends DomainEvent>(
  request: RequestType<R>,
  decider: Decider<State, Command, Event>,
  toCommand: (request: R) => NoInfer<Command>,
): Type<ICommandHandler> => {
  class Handler {
    execute(incoming: R): Promise<Event[]> {
      return decideOn(decider, incoming, toCommand(incoming))
    }
  }
  CommandHandler(request as unknown as Type<R & { constructor: Type<R> }>)(Handler)
  return Handler
}
