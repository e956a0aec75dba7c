import { ApplyRequest, DeleteRequest, handlerFor, type CommandContext } from '@mcpctl/resource'
import { userDecider, type CredentialCommand, type UserCommand } from './user.decider'
import type { UserSpec } from './user.schema'

export class ApplyUser extends ApplyRequest<UserSpec> {}
export class DeleteUser extends DeleteRequest {}

/** Asks for a change of a user's credentials, or of whether he may come in. */
export class ChangeUser {
  constructor(
    readonly uid: string,
    readonly command: CredentialCommand | Extract<UserCommand, { type: 'Enable' | 'Disable' }>,
    readonly context: CommandContext,
  ) {}
}

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
  handlerFor(ChangeUser, userDecider, ({ command }) => command),
]
