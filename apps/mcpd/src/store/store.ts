import { join } from 'node:path'
import { Directory } from '@mcpctl/access'
import { Follower, modelStatus, Parked, PostgresEventLog, Projector, Snapshots } from '@mcpctl/event-store'
import type { Poison, RebuildableModel } from '@mcpctl/event-store'
import { createPool, EmbeddedPostgres, runMigrations, type Logger } from '@mcpctl/postgres'
import { Bearers, ObjectChanges, objectModel, objectProjection, Objects, readModel } from '@mcpctl/read-model'
import { resources as all } from '@mcpctl/kinds/modules'
import { RequestRunner, Resources } from '@mcpctl/resource'
import { KeyFile, Vault } from '@mcpctl/vault'
import type { Pool } from 'pg'
import type { Config } from '../config'
import { accessLog } from './access-log'
import { accessReview } from './access-review'
import { catalogue } from './catalogue'
import { objectFold } from './fold'
import { projected, readable } from './projected'
import { RevivedGrants } from './revived-grants'

const MODEL = 'objects'
const VISIBLE_WITHIN_MS = 5_000
const POOL_SIZE = 20

/** Token under which Nest knows the store. */
export const STORE = Symbol('Store')

/** The open store: the log, its read models, and what follows them. */
export interface Store {
  url: string
  embedded: boolean
  id: string
  epoch: number
  pool: Pool
  log: PostgresEventLog
  follower: Follower
  projector: Projector
  /** What the projector could not apply. */
  parked: Parked
  /** The read models, as something that can be rebuilt and verified. */
  models: readonly RebuildableModel[]
  /** Those that other code had folded when we came, and which code: they want to be rebuilt. */
  outdated: ReadonlyMap<string, string>
  resources: Resources
  objects: Objects
  /** What happens to objects, for those who watch. */
  changes: ObjectChanges
  requests: RequestRunner
  /** Seals and opens secrets. */
  vault: Vault
  /** Who may do what. */
  directory: Directory
  /** Grants that hold again by what a request makes. */
  revived: RevivedGrants
  /** Lets go of the database; stops it when it is our own. */
  close(): Promise<void>
}

/** Brings up the database (our own unless a URL is given), migrates it and opens the log. Throws with what to do when it cannot. */
export const openStore = async (config: Config, migrations: string, logger: Logger): Promise<Store> => {
  const embedded =
    config.databaseUrl === undefined
      ? new EmbeddedPostgres({ dataDirectory: join(config.dataDirectory, 'postgres'), logger })
      : undefined
  const url = config.databaseUrl ?? (await embedded?.start())?.url ?? ''
  try {
    await runMigrations(config.migrateUrl ?? url, migrations)
    return await connect(url, { embedded, logger, kekFile: config.kekFile })
  } catch (error) {
    await embedded?.stop()
    throw error
  }
}

const connect = async (
  url: string,
  { embedded, logger, kekFile }: { embedded: EmbeddedPostgres | undefined; logger: Logger; kekFile: string },
): Promise<Store> => {
  const pool = openPool(url, logger)
  const log = new PostgresEventLog({ pool })
  const { id, epoch } = await log.store()
  const resources = new Resources(all)
  const follower = new Follower({ pool })
  const kinds = projected(resources)
  const model = objectModel({ name: MODEL, kinds, epoch, fold: objectFold, catalogue })
  const { version, fold: found } = await modelStatus(pool, MODEL)
  const isOutdated = version > 0 && found !== objectFold
  // Until it is rebuilt the model that is there goes on: reads must not stand still for an upgrade.
  const alsoFolds = isOutdated ? [found] : []
  const projection = { name: MODEL, fold: objectFold, alsoFolds, catalogue, project: objectProjection(kinds, epoch) }
  const projector = new Projector({ pool, follower, ...projection, onParked: warnOfParked(logger) })
  const directory = new Directory({ log: accessLog(log, catalogue) })
  const database = readModel(pool)
  const objects = new Objects(database, epoch, MODEL, readable(resources))
  const revived = new RevivedGrants({ directory, resources, bearers: new Bearers(database, MODEL), log })
  const visibility = { waitFor: (position: bigint) => projector.waitFor(position, VISIBLE_WITHIN_MS) }
  return {
    url,
    embedded: embedded !== undefined,
    id,
    epoch,
    pool,
    log,
    follower,
    projector,
    parked: new Parked({ pool, projections: [projection] }),
    models: [model],
    outdated: new Map(isOutdated ? [[MODEL, found]] : []),
    resources,
    objects,
    changes: new ObjectChanges(database, objects),
    directory,
    revived,
    vault: await openVault(pool, kekFile, logger),
    requests: new RequestRunner(log, visibility, new Snapshots(pool, objectFold), accessReview(directory, revived)),
    async close() {
      await projector.stop()
      await follower.stop()
      await pool.end()
      await embedded?.stop()
    },
  }
}

/** Makes the first key of a new store. Without the right key everything but secrets goes on. */
const openVault = async (pool: Pool, file: string, logger: Logger): Promise<Vault> => {
  const vault = new Vault(pool, new KeyFile(file))
  const state = await vault.state()
  if (state.status === 'closed') logger.warn(`secrets can be neither opened nor sealed: ${state.message}`)
  return vault
}

const openPool = (url: string, logger: Logger): Pool =>
  createPool(url, {
    applicationName: 'mcpd',
    role: 'mcpd_app',
    max: POOL_SIZE,
    onError: (error) => {
      logger.warn(`a database connection was lost: ${error.message}`)
    },
  })

const warnOfParked =
  (logger: Logger) =>
  ({ event, error }: Poison) => {
    const place = `position ${String(event.position)} (${event.type} in stream "${event.streamId}")`
    logger.warn(`the read model ${MODEL} cannot hold the event at ${place}, which is parked: ${error}`)
  }
