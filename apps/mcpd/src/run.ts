import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Tokens } from '@mcpctl/access'
import { Connections, Gateway } from '@mcpctl/gateway'
import { reconcilers } from '@mcpctl/kinds/modules'
import { Leader, type Reconciler } from '@mcpctl/reconcile'
import { openDrivers, type DriverName, type Drivers } from '@mcpctl/runtime'
import { NestFactory } from '@nestjs/core'
import type { NestFastifyApplication } from '@nestjs/platform-fastify'
import { pino, type Logger } from 'pino'
import { AppModule } from './app.module'
import type { Config } from './config'
import { Daemon } from './daemon'
import { ApiDescription } from './http/openapi.controller'
import { choosePort } from './http/port'
import { httpAdapter, secure } from './http/server'
import { openApiOf } from './openapi'
import { ReconcileLoop } from './reconcile/reconcile-loop'
import { ObjectRoutes } from './reconcile/routes'
import { ensureAdmin } from './setup/admin'
import { openStore, type Store } from './store/store'
import { version } from './version'

/** Requests and calls in flight get this long to end when the daemon is told to. */
const GOODBYE_MS = 10_000
const STOP_GRACE_SECONDS = 10

interface Parts {
  config: Config
  logger: Logger
  store: Store
  drivers: Drivers
  connections: Connections
  daemon: Daemon
  app: NestFastifyApplication
}

/** Brings the daemon up and serves until it is told to end. Throws when it cannot start; nothing is left behind then. */
export const run = async (config: Config): Promise<void> => {
  const logger = pino({ level: config.logLevel, base: null, errorKey: 'error' })
  const told = listenForTheEnd()
  mkdirSync(config.dataDirectory, { recursive: true, mode: 0o700 })
  const store = await openStore(config, join(import.meta.dirname, 'migrations'), toLines(logger))
  try {
    const parts = await assemble(config, store, logger)
    await serve(parts, told)
  } catch (error) {
    await store.close()
    throw error
  }
}

/** From the first moment on, so that being told to end while starting leaves no database behind. */
const listenForTheEnd = () =>
  new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.on(signal, () => {
        resolve()
      })
  })

/** Libraries log plain lines. */
const toLines = (logger: Logger) => ({
  info: (message: string) => {
    logger.info(message)
  },
  warn: (message: string) => {
    logger.warn(message)
  },
  error: (message: string) => {
    logger.error(message)
  },
})

const assemble = async (config: Config, store: Store, logger: Logger): Promise<Parts> => {
  const drivers = await openDrivers({
    storeId: store.id,
    epoch: store.epoch,
    directory: join(config.dataDirectory, 'instances'),
    ...(config.dockerHost !== undefined && { dockerHost: config.dockerHost }),
    ...(config.nodeImage !== undefined && config.driver !== 'process' && { nodeImage: config.nodeImage }),
    allowLoopback: config.allowLoopbackUrls,
    logger,
  })
  const serverInfo = { name: 'mcpctl', version }
  const connections = new Connections({ clientInfo: serverInfo })
  const gateway = new Gateway({ routes: new ObjectRoutes(store.objects), connections, serverInfo })
  const daemon = new Daemon(config.dataDirectory)
  const module = AppModule.of({ store, drivers, connections, gateway, daemon })
  const app = await NestFactory.create<NestFastifyApplication>(module, httpAdapter(), {
    logger: false,
    abortOnError: false,
  })
  secure(app, {
    tokens: new Tokens(store.pool),
    logger,
    allowedHosts: config.allowedHosts,
    leader: () => daemon.leader(),
  })
  return { config, logger, store, drivers, connections, daemon, app }
}

const serve = async (parts: Parts, told: Promise<void>): Promise<void> => {
  const { config, logger, store, daemon, app } = parts
  await app.init()
  app.get(ApiDescription).document = openApiOf(app, store.resources.all())
  await store.follower.start()
  store.projector.start()
  await app.listen({ host: config.host, port: await choosePort(config.host, config.port) })
  const address = addressOf(app, config)
  const file = await ensureAdmin(store, new Tokens(store.pool), { address, file: config.writeContext })
  // Whoever finds the address finds a token that is valid already.
  daemon.announce(address)
  const leader = lead(parts, config.advertise ?? address)
  const end = endOnce(parts, leader)
  daemon.onShutDown((options) => void end(options))
  void told.then(() => end({ all: false }))
  logger.info(
    { address, store: store.id, embedded: store.embedded, ...(file !== undefined && { file }) },
    'mcpd is ready',
  )
}

/** Where clients on this machine reach us: a wildcard address is none that one can connect to. */
const addressOf = (app: NestFastifyApplication, { host }: Config): string => {
  const { port } = app.getHttpServer().address() as { port: number }
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

/** Contends for leadership and runs the reconcilers while it is ours. */
const lead = ({ store, logger, drivers, daemon, app, connections }: Parts, address: string): Leader => {
  const leader = new Leader({ url: store.url, pool: store.pool, name: 'leader', address, logger: toLines(logger) })
  const dependencies = { log: store.log, follower: store.follower, projector: store.projector, logger }
  leader.onElected(async (term, signal) => {
    logger.info({ term }, 'this daemon leads')
    const loops = reconcilers.map((type) => new ReconcileLoop(app.get<Reconciler>(type), term, dependencies))
    await aborted(signal)
    await Promise.all(loops.map((loop) => loop.stop()))
  })
  leader.onLost(async (reason) => {
    logger.warn({ reason }, 'this daemon leads no more')
    await connections.close()
    // The next leader starts its own; containers stay for it to adopt.
    await stopUnits(drivers, (driver) => driver === 'process')
  })
  daemon.contend(leader)
  leader.start()
  return leader
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => {
      resolve()
    })
  })

const endOnce = (parts: Parts, leader: Leader) => {
  let ending: Promise<void> | undefined
  return (options: { all: boolean }) => (ending ??= end(parts, leader, options))
}

/** Children drain and stop, containers run on unless `all` is said. */
const end = async (parts: Parts, leader: Leader, { all }: { all: boolean }): Promise<void> => {
  const { logger, store, drivers, connections, daemon, app } = parts
  logger.info({ all }, 'mcpd is shutting down')
  await Promise.race([app.close(), delay(GOODBYE_MS, undefined, { ref: false })])
  await leader.stop()
  if (all) await stopUnits(drivers, () => true)
  await connections.close()
  await drivers.close()
  await store.close()
  daemon.retract()
  logger.info('mcpd has ended')
  process.exit(0)
}

const stopUnits = async (drivers: Drivers, chosen: (driver: DriverName) => boolean): Promise<void> => {
  const { units } = await drivers.list()
  const stops = units.filter(({ driver }) => chosen(driver))
  await Promise.allSettled(
    stops.map(({ driver, instanceUid }) => drivers.get(driver).stop(instanceUid, STOP_GRACE_SECONDS)),
  )
}
