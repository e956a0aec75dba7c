import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs'
import { ApplyRequest, decideOn, DeleteRequest, handlerFor } from '@mcpctl/resource'
import { groupDecider, type GroupEvent, type NamedMember } from './group.decider'
import type { GroupSpec } from './group.schema'

export class ApplyGroup extends ApplyRequest<GroupSpec> {}
export class DeleteGroup extends DeleteRequest {}

/** Gathers who bears the names of the members now, users of the same request included. */
@CommandHandler(ApplyGroup)
export class ApplyGroupHandler implements ICommandHandler<ApplyGroup> {
  async execute(request: ApplyGroup): Promise<GroupEvent[]> {
    const { name, labels, annotations, spec, mode } = request.desired
    const { unit } = request.context
    const members = await Promise.all(
      spec.members.map(async (member): Promise<NamedMember> => {
        const named = typeof member === 'string' ? { name: member } : member
        const bearer = (await unit.owner('name', `user/${named.name}`))?.slice('user-'.length)
        const uid = named.uid ?? bearer
        return { name: named.name, ...(uid !== undefined && { uid }), exists: uid !== undefined && uid === bearer }
      }),
    )
    return decideOn(groupDecider, request, {
      type: 'Apply',
      mode,
      identity: { name, labels, annotations },
      desired: { ...(spec.description !== undefined && { description: spec.description }), members },
    })
  }
}

export const groupHandlers = [ApplyGroupHandler, handlerFor(DeleteGroup, groupDecider, () => ({ type: 'Delete' }))]
