import { Global, Module } from '@nestjs/common'
import { defineResource, SecretReader } from '@mcpctl/resource'
import { SecretOpening } from './secret.reader'
import { SecretUsers } from './secret-users.reader'
import { ApplySecret, DeleteSecret, secretHandlers } from './secret.commands'
import { SecretController } from './secret.controller'
import { secretDecider } from './secret.decider'
import { secretKind } from './secret.kind'
import { SecretReconciler } from './secret.reconciler'
import { SecretSaga } from './secret.saga'
import { SecretSpec } from './secret.schema'
import { secretView } from './secret.view'

const secret = defineResource({
  kind: secretKind,
  schema: SecretSpec,
  apply: ApplySecret,
  delete: DeleteSecret,
  heldByUse: true,
  decider: secretDecider,
  view: secretView,
  statusEvents: ['SecretRevealed', 'SecretUndecryptable', 'SecretVersionsShredded'],
})

/** Global: whoever starts something with secrets reads them here. */
@Global()
@Module({
  controllers: [SecretController],
  providers: [
    ...secretHandlers,
    SecretUsers,
    SecretSaga,
    SecretReconciler,
    { provide: SecretReader, useClass: SecretOpening },
  ],
  exports: [SecretReader, SecretReconciler],
})
export class SecretModule {
  static readonly resource = secret
}
