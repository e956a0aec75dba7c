import { everybody, type OperationEntry, type RoleEntry } from '@mcpctl/access'
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs'
import { ApplyRequest, decideOn, DeleteRequest, handlerFor, type CommandContext } from '@mcpctl/resource'
import { rbacDecider, type NamedSubject, type RbacEvent } from './rbac.decider'
import type { Operation, RbacBindingSpec, RoleBinding, Subject } from './rbac.schema'

export class ApplyRbac extends ApplyRequest<RbacBindingSpec> {}
export class DeleteRbac extends DeleteRequest {}

/** Who bears the subject's name now, users and groups of the same request included. */
const named = async ({ kind, name, uid }: Subject, { unit }: CommandContext): Promise<NamedSubject> => {
  if (kind === 'Group' && name === everybody) return { kind, name, uid: everybody, exists: true }
  const category = kind === 'User' ? 'user' : 'group'
  const bearer = (await unit.owner('name', `${category}/${name}`))?.slice(category.length + 1)
  const wanted = uid ?? bearer
  return { kind, name, ...(wanted !== undefined && { uid: wanted }), exists: wanted !== undefined && wanted === bearer }
}

const roleOf = ({ role, resource, name }: RoleBinding): RoleEntry => ({
  role,
  resource,
  ...(name !== undefined && { name }),
})

const operationOf = ({ action, resource, name }: Operation): OperationEntry => ({
  action,
  ...(resource !== undefined && { resource }),
  ...(name !== undefined && { name }),
})

@CommandHandler(ApplyRbac)
export class ApplyRbacHandler implements ICommandHandler<ApplyRbac> {
  async execute(request: ApplyRbac): Promise<RbacEvent[]> {
    const { name, labels, annotations, spec, mode } = request.desired
    const subjects = await Promise.all(spec.subjects.map((subject) => named(subject, request.context)))
    return decideOn(rbacDecider, request, {
      type: 'Apply',
      mode,
      identity: { name, labels, annotations },
      desired: { subjects, bindings: spec.bindings.map(roleOf), operations: spec.operations.map(operationOf) },
    })
  }
}

export const rbacHandlers = [ApplyRbacHandler, handlerFor(DeleteRbac, rbacDecider, () => ({ type: 'Delete' }))]
