import { Module, type DynamicModule, type Type } from '@nestjs/common'
import { CqrsModule } from '@nestjs/cqrs'
import { Tokens } from '@mcpctl/access'
import { Connections, Gateway } from '@mcpctl/gateway'
import { kindModules } from '@mcpctl/kinds/modules'
import { Objects } from '@mcpctl/read-model'
import { RolloutPace } from '@mcpctl/reconcile'
import { RequestRunner, Resources, ResourceWriter } from '@mcpctl/resource'
import { Drivers } from '@mcpctl/runtime'
import { Vault } from '@mcpctl/vault'
import type { Logger } from 'pino'
import { KeysController } from './admin/keys.controller'
import { ModelsController } from './admin/models.controller'
import { ParkedController } from './admin/parked.controller'
import { Rewrapping } from './admin/rewrapping'
import { VerifyController } from './admin/verify.controller'
import { AuthzController } from './authz/authz.controller'
import { Daemon } from './daemon'
import { ApplyController } from './http/apply.controller'
import { HealthController } from './http/health.controller'
import { GATEWAY, McpController } from './http/mcp.controller'
import { ApiDescription, OpenApiController } from './http/openapi.controller'
import { OpenStreams } from './http/open-streams'
import { ResourcesController } from './http/resources.controller'
import { StatusController } from './http/status.controller'
import { Watches } from './http/watches'
import { CredentialChanges } from './identity/credential-changes'
import { LoginController } from './identity/login.controller'
import { Logins } from './identity/logins'
import { PasswordController } from './identity/password.controller'
import { TokensController } from './identity/tokens.controller'
import { LOGGER } from './log'
import { STORE, type Store } from './store/store'

export interface Opened {
  logger: Logger
  store: Store
  drivers: Drivers
  connections: Connections
  gateway: Gateway
  daemon: Daemon
  tokens: Tokens
  logins: Logins
  changes: CredentialChanges
  streams: OpenStreams
  pace: RolloutPace
}

/** What mcpd serves besides the kinds' own routes. */
export const controllers = [
  HealthController,
  StatusController,
  OpenApiController,
  ApplyController,
  ParkedController,
  ModelsController,
  KeysController,
  VerifyController,
  AuthzController,
  McpController,
  LoginController,
  TokensController,
  PasswordController,
  ResourcesController,
] as const

@Module({})
class OpenedModule {}

@Module({})
export class AppModule {
  /** Wires the kinds and the HTTP edge to what has been opened before. */
  static of({
    logger,
    store,
    drivers,
    connections,
    gateway,
    daemon,
    tokens,
    logins,
    changes,
    streams,
    pace,
  }: Opened): DynamicModule {
    const opened = [
      { provide: LOGGER, useValue: logger },
      { provide: STORE, useValue: store },
      { provide: Resources, useValue: store.resources },
      { provide: Objects, useValue: store.objects },
      { provide: RequestRunner, useValue: store.requests },
      { provide: Drivers, useValue: drivers },
      { provide: Connections, useValue: connections },
      { provide: GATEWAY, useValue: gateway },
      { provide: Daemon, useValue: daemon },
      { provide: Tokens, useValue: tokens },
      { provide: Logins, useValue: logins },
      { provide: CredentialChanges, useValue: changes },
      { provide: Vault, useValue: store.vault },
      { provide: OpenStreams, useValue: streams },
      { provide: RolloutPace, useValue: pace },
      { provide: Rewrapping, useValue: new Rewrapping(store, logger) },
      ResourceWriter,
      Watches,
      ApiDescription,
    ]
    return {
      module: AppModule,
      imports: [
        {
          module: OpenedModule,
          global: true,
          imports: [CqrsModule.forRoot()],
          providers: opened,
          exports: [...opened.map(tokenOf), CqrsModule],
        },
        ...kindModules,
      ],

      controllers: [...controllers],
    }
  }
}

const tokenOf = (provider: { provide: symbol | (abstract new (...parameters: never[]) => unknown) } | Type) =>
  'provide' in provider ? provider.provide : provider
