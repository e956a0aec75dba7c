import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Tokens } from '@mcpctl/access'
import { Connections, Gateway } from '@mcpctl/gateway'
import { RolloutPace, type Leader } from '@mcpctl/reconcile'
import { openDrivers, type Drivers } from '@mcpctl/runtime'
import { NestFactory } from '@nestjs/core'
import type { NestFastifyApplication } from '@nestjs/platform-fastify'
import type { Logger } from 'pino'
import { Rewrapping } from './admin/rewrapping'
import { AppModule } from './app.module'
import type { Config } from './config'
import { Daemon } from './daemon'
import { ApiDescription } from './http/openapi.controller'
import { AdmissionRates } from './http/admission-rates'
import { choosePort } from './http/port'
import { AuthorizationGuard } from './http/authorization.guard'
import { requireDeclared } from './http/declared'
import { OpenStreams } from './http/open-streams'
import { httpAdapter, secure } from './http/server'
import { stopUnits } from './leadership'
import { openApiOf } from './openapi'
import { ObjectRoutes } from './reconcile/routes'
import { Denials } from './identity/denials'
import { CredentialChanges } from './identity/credential-changes'
import { Logins } from './identity/logins'
import { ensureAdmin, type SetupOutcome } from './setup/admin'
import { takeCare } from './setup/care'
import { Pending } from './setup/pending'
import type { Store } from './store/store'
import { version } from './version'

/** Requests and calls in flight get this long to end when the daemon is told to. */
const GOODBYE_MS = 10_000

/** Everything that one daemon is made of. */
export interface Parts {
  config: Config
  logger: Logger
  store: Store
  drivers: Drivers
  connections: Connections
  daemon: Daemon
  tokens: Tokens
  logins: Logins
  changes: CredentialChanges
  /** Ends what is done every now and then. */
  stopCare?: () => void
  app: NestFastifyApplication
}

/** Puts the daemon together around an open store; nothing listens or follows yet. */
export const assemble = async (config: Config, store: Store, logger: Logger): Promise<Parts> => {
  const drivers = await openOwnDrivers(config, store, logger)
  const serverInfo = { name: 'mcpctl', version }
  const connections = new Connections({ clientInfo: serverInfo })
  const gateway = new Gateway({
    routes: new ObjectRoutes(store.objects),
    connections,
    serverInfo,
    warn: (message) => logger.warn(message),
  })
  const daemon = new Daemon(config.dataDirectory)
  const tokens = new Tokens(store.pool, store.directory)
  const changes = new CredentialChanges(store)
  const logins = new Logins(store, tokens, changes, config.limits.logins)
  const { directory, resources, objects } = store
  const streams = new OpenStreams(directory, tokens)
  const module = AppModule.of({
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
    pace: new RolloutPace(config.secretSettleMs),
  })
  const door = {
    tokens,
    directory,
    denials: new Denials(store.log, (error) => logger.warn({ error }, 'a refusal could not be recorded')),
    guard: new AuthorizationGuard({ resources, objects, streams }),
    pending: new Pending(store),
    logger,
    allowedHosts: config.allowedHosts,
    trustedProxies: config.trustedProxies,
    rates: new AdmissionRates(config.limits),
    leader: () => daemon.anyLeader(),
  }
  const app = await NestFactory.create<NestFastifyApplication>(module, httpAdapter(door), {
    logger: false,
    abortOnError: false,
    bodyParser: false,
  })
  secure(app, door)
  return { config, logger, store, drivers, connections, daemon, tokens, logins, changes, app }
}

const openOwnDrivers = (config: Config, store: Store, logger: Logger) =>
  openDrivers({
    storeId: store.id,
    epoch: store.epoch,
    directory: join(config.dataDirectory, 'instances'),
    ...(config.dockerHost !== undefined && { dockerHost: config.dockerHost }),
    ...(config.nodeImage !== undefined && { nodeImage: config.nodeImage }),
    mode: config.driver,
    allowLoopback: config.allowLoopbackUrls,
    logger,
  })

/** Starts to follow the log and to answer requests; the address is announced once a token for it is valid. Answers what the set-up has left to say. */
export const serve = async (parts: Parts): Promise<{ address: string; setup: SetupOutcome }> => {
  const { config, store, daemon, tokens, app } = parts
  await app.init()
  requireDeclared(app)
  app.get(ApiDescription).document = openApiOf(app, store.resources.all())
  await store.follower.start()
  store.projector.start()
  await app.listen({ host: config.host, port: await choosePort(config.host, config.port) })
  const address = addressOf(app, config)
  const { adminUser, writeContext: file, databaseUrl } = config
  const setup = await ensureAdmin(store, tokens, { address, file, adminUser, embedded: databaseUrl === undefined })
  parts.stopCare = takeCare(parts, setup.file)
  await app.get(Rewrapping).resume()
  // Whoever finds the address finds a token that is valid already.
  daemon.announce(address)
  return { address, setup }
}

/** Where clients on this machine reach us: a wildcard address is none that one can connect to. */
const addressOf = (app: NestFastifyApplication, { host }: Config): string => {
  const { port } = app.getHttpServer().address() as { port: number }
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

/** Children drain and stop, containers run on unless `all` is said. Lets go of everything that `assemble` and `serve` have opened. */
export const close = async (parts: Parts, leader: Leader | undefined, { all }: { all: boolean }): Promise<void> => {
  const { store, drivers, connections, daemon, app, logger } = parts
  daemon.isEnding = true
  parts.stopCare?.()
  const rewrapping = app.get(Rewrapping)
  const steps: [string, () => unknown][] = [
    ['the door', () => Promise.race([app.close(), delay(GOODBYE_MS, undefined, { ref: false })])],
    ['leadership', () => leader?.stop()],
    ['the wrapping of data keys', () => rewrapping.stop()],
    ['the instances', () => (all ? stopUnits(drivers, () => true) : undefined)],
    ['the connections', () => connections.close()],
    ['the drivers', () => drivers.close()],
    ['the store', () => store.close()],
    ['the record of this daemon', () => daemon.retract()],
  ]
  for (const [what, step] of steps) {
    try {
      await step()
    } catch (error) {
      // What comes after must be closed all the same, the database above all.
      logger.error({ error }, `could not close ${what}`)
    }
  }
}
