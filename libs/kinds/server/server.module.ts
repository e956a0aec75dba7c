import { Module } from '@nestjs/common'
import { serverNamePattern } from '@mcpctl/contracts'
import { defineResource } from '@mcpctl/resource'
import { ApplyServer, DeleteServer, serverHandlers } from './server.commands'
import { ServerConfigController } from './server-config.controller'
import { ServerController } from './server.controller'
import { serverDecider } from './server.decider'
import { serverKind } from './server.kind'
import { ServerReconciler } from './server.reconciler'
import { ServerSaga } from './server.saga'
import { ServerSpec } from './server.schema'
import { serverReferences, serverView } from './server.view'

const server = defineResource({
  kind: serverKind,
  schema: ServerSpec,
  namePattern: serverNamePattern,
  apply: ApplyServer,
  delete: DeleteServer,
  decider: serverDecider,
  view: serverView,
  statusEvents: ['ServerStatusReported'],
  references: serverReferences,
})

@Module({
  controllers: [ServerController, ServerConfigController],
  providers: [...serverHandlers, ServerSaga, ServerReconciler],
  exports: [ServerReconciler],
})
export class ServerModule {
  static readonly resource = server
}
