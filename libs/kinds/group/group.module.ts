import { Module } from '@nestjs/common'
import { defineResource } from '@mcpctl/resource'
import { ApplyGroup, DeleteGroup, groupHandlers } from './group.commands'
import { groupDecider } from './group.decider'
import { groupKind } from './group.kind'
import { GroupSpec } from './group.schema'
import { groupJoins, groupReferences, groupView } from './group.view'

const group = defineResource({
  kind: groupKind,
  schema: GroupSpec,
  apply: ApplyGroup,
  delete: DeleteGroup,
  decider: groupDecider,
  view: groupView,
  references: groupReferences,
  joins: groupJoins,
})

@Module({ providers: [...groupHandlers] })
export class GroupModule {
  static readonly resource = group
  /** For the first start, which makes the administrators. */
  static readonly decider = groupDecider
}
