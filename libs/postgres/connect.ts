import pg from 'pg'

export interface ConnectOptions {
  /** Shown in pg_stat_activity. */
  applicationName: string
  /** Taken on with SET ROLE before the connection is used. */
  role?: string
  /** A statement that runs longer is cancelled. Milliseconds; 30 s unless told; 0 for no limit. */
  statementTimeout?: number
  /** Told when an idle connection breaks; the connection is replaced by itself. */
  onError?: (error: Error) => void
}

const config = (url: string, { applicationName }: ConnectOptions) => ({
  connectionString: url,
  application_name: applicationName,
  connectionTimeoutMillis: 10_000,
  keepAlive: true,
  keepAliveInitialDelayMillis: 10_000,
})

const sessionSettings = ({ role, statementTimeout = 30_000 }: ConnectOptions): Record<string, string> => ({
  statement_timeout: String(statementTimeout),
  // A transaction that its process forgot would hold its locks for ever.
  idle_in_transaction_session_timeout: '60000',
  timezone: 'UTC',
  ...(role === undefined ? {} : { role }),
})

/** As one statement rather than start-up parameters, which connection poolers refuse. */
const prepare = async (client: pg.ClientBase, options: ConnectOptions) => {
  const settings = sessionSettings(options)
  await client.query('select set_config(name, value, false) from unnest($1::text[], $2::text[]) as s(name, value)', [
    Object.keys(settings),
    Object.values(settings),
  ])
}

/**
 * A pool whose connections have taken on the role before they are handed out. A connection that breaks, idle or in use,
 * fails its query but never the process.
 */
export const createPool = (url: string, options: ConnectOptions & { max: number }): pg.Pool => {
  const pool = new pg.Pool({
    ...config(url, options),
    max: options.max,
    idleTimeoutMillis: 30_000,
    // eslint-disable-next-line @typescript-eslint/no-misused-promises -- the pool waits for it, though its type does not say so
    onConnect: (client) => prepare(client, options),
  })
  pool.on('error', (error) => options.onError?.(error))
  // The pool listens only while a connection is idle; one that breaks while checked out would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined))
  return pool
}

/** A connected client of its own, for what a pool cannot do: LISTEN, session locks. Throws when it cannot connect. */
export const createClient = async (url: string, options: ConnectOptions): Promise<pg.Client> => {
  const client = new pg.Client(config(url, options))
  client.on('error', (error) => options.onError?.(error))
  try {
    await client.connect()
    await prepare(client, options)
    return client
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
}
