import { Module } from '@nestjs/common'
import { defineResource } from '@mcpctl/resource'
import { ApplyRbac, DeleteRbac, rbacHandlers } from './rbac.commands'
import { rbacDecider } from './rbac.decider'
import { rbacKind } from './rbac.kind'
import { RbacBindingSpec } from './rbac.schema'
import { rbacJoins, rbacReferences, rbacView } from './rbac.view'

const rbac = defineResource({
  kind: rbacKind,
  schema: RbacBindingSpec,
  apply: ApplyRbac,
  delete: DeleteRbac,
  decider: rbacDecider,
  view: rbacView,
  references: rbacReferences,
  joins: rbacJoins,
})

@Module({ providers: [...rbacHandlers] })
export class RbacModule {
  static readonly resource = rbac
  /** For the first start, which makes the administrators. */
  static readonly decider = rbacDecider
}
