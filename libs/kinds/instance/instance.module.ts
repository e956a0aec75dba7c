import { Module } from '@nestjs/common'
import { defineResource } from '@mcpctl/resource'
import { DeleteInstance, instanceHandlers } from './instance.commands'
import { InstanceController } from './instance.controller'
import { instanceDecider } from './instance.decider'
import { instanceKind } from './instance.kind'
import { instanceView } from './instance.view'

const instance = defineResource({
  kind: instanceKind,
  delete: DeleteInstance,
  decider: instanceDecider,
  view: instanceView,
})

@Module({ controllers: [InstanceController], providers: [...instanceHandlers] })
export class InstanceModule {
  static readonly resource = instance
}
