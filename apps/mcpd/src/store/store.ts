import { join } from 'node:path'
import { Follower, PostgresEventLog, Projector } from '@mcpctl/event-store'
import { createPool, EmbeddedPostgres, runMigrations, type Logger } from '@mcpctl/postgres'
import { objectProjection, Objects, readModel } from '@mcpctl/read-model'
import { resources as kinds } from '@mcpctl/kinds/modules'
import { RequestRunner, Resources } from '@mcpctl/resource'
import type { Pool } from 'pg'
import type { Config } from '../config'
import { catalogue } from './catalogue'

const MODEL = { name: 'objects', modelVersion: 1 }
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
  resources: Resources
  objects: Objects
  requests: RequestRunner
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
    return await connect(url, { embedded, logger })
  } catch (error) {
    await embedded?.stop()
    throw error
  }
}

const connect = async (
  url: string,
  { embedded, logger }: { embedded: EmbeddedPostgres | undefined; logger: Logger },
): Promise<Store> => {
  const pool = createPool(url, {
    applicationName: 'mcpd',
    role: 'mcpd_app',
    max: POOL_SIZE,
    onError: (error) => {
      logger.warn(`a database connection was lost: ${error.message}`)
    },
  })
  const log = new PostgresEventLog({ pool })
  const { id, epoch } = await log.store()
  const resources = new Resources(kinds)
  const follower = new Follower({ pool })
  const projector = projectorOf({ pool, follower, resources, epoch, logger })
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
    resources,
    objects: new Objects(readModel(pool), epoch, MODEL),
    requests: new RequestRunner(log, visibility),
    async close() {
      await projector.stop()
      await follower.stop()
      await pool.end()
      await embedded?.stop()
    },
  }
}

const projectorOf = ({
  pool,
  follower,
  resources,
  epoch,
  logger,
}: Pick<Store, 'pool' | 'follower' | 'resources' | 'epoch'> & { logger: Logger }) => {
  const projected = resources.all().map(({ kind, view, references }) => ({
    kind: kind.name,
    category: kind.singular,
    view,
    ...(references && { references }),
  }))
  return new Projector({
    pool,
    follower,
    ...MODEL,
    catalogue,
    project: objectProjection(projected, epoch),
    onParked: ({ event, error }) => {
      const place = `position ${String(event.position)} (${event.type} in stream "${event.streamId}")`
      logger.warn(`the read model ${MODEL.name} cannot hold the event at ${place}, which is parked: ${error}`)
    },
  })
}
