import { Module } from '@nestjs/common'
import { provideResource } from '@mcpctl/resource'
import { DeleteInstance, instanceHandlers } from './instance.commands'
import { instanceKind } from './instance.kind'
import { instanceView } from './instance.view'

const instance = { kind: instanceKind, delete: DeleteInstance, view: instanceView }

@Module({ providers: [...instanceHandlers, provideResource(instance)] })
export class InstanceModule {}
