import { Module } from '@nestjs/common'
import { userNamePattern } from '@mcpctl/contracts'
import { defineResource } from '@mcpctl/resource'
import { ApplyUser, DeleteUser, userHandlers } from './user.commands'
import { userDecider } from './user.decider'
import { userKind } from './user.kind'
import { UserSpec } from './user.schema'
import { userView } from './user.view'

const user = defineResource({
  kind: userKind,
  schema: UserSpec,
  namePattern: userNamePattern,
  apply: ApplyUser,
  delete: DeleteUser,
  decider: userDecider,
  view: userView,
  statusEvents: ['PasswordSet', 'SetupCodeIssued', 'SetupCodeUsed', 'TokenIssued', 'TokenRevoked'],
})

@Module({ providers: [...userHandlers] })
export class UserModule {
  static readonly resource = user
  /** For credentials, whose side rows commit with the events. */
  static readonly decider = userDecider
}
