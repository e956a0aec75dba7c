import { ApplyRequest, DeleteRequest, handlerFor } from '@mcpctl/resource'
import { userDecider } from './user.decider'
import type { UserSpec } from './user.schema'

export class ApplyUser extends ApplyRequest<UserSpec> {}
export class DeleteUser extends DeleteRequest {}

export const userHandlers = [
  handlerFor(ApplyUser, userDecider, ({ desired: { name, labels, annotations, spec, mode } }) => ({
    type: 'Apply',
    mode,
    identity: { name, labels, annotations },
    desired: {
      ...(spec.type !== undefined && { type: spec.type }),
      ...(spec.enabled !== undefined && { enabled: spec.enabled }),
      ...(spec.displayName !== undefined && spec.displayName !== '' && { displayName: spec.displayName }),
      ...(spec.email !== undefined && spec.email !== '' && { email: spec.email }),
    },
  })),
  handlerFor(DeleteUser, userDecider, () => ({ type: 'Delete' })),
]
