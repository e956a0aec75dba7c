import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient, EmbeddedPostgres } from '@mcpctl/postgres'

// A checkpoint of its own accord would hit one store and spare the next; each round makes its own.
const settings = { max_wal_size: '8GB', checkpoint_timeout: '1h' }

const shown = [
  'server_version',
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'wal_level',
  'wal_sync_method',
  'max_wal_size',
  'wal_buffers',
  'shared_buffers',
  'work_mem',
  'max_connections',
]

/** The server that all stores share, each in databases of its own. */
export interface Server {
  /** Its settings that matter here. */
  settings: Record<string, string>
  /** Makes a database, a copy of another one where given, and answers with its URL. */
  createDatabase(name: string, template?: string): Promise<string>
  dropDatabase(name: string): Promise<void>
  /** Writes out what the round before has left dirty. */
  checkpoint(): Promise<void>
  /** Drops what it made and stops the server if it is its own. */
  close(): Promise<void>
}

const startEmbedded = async () => {
  const directory = await mkdtemp(join(tmpdir(), 'mcpctl-bench-'))
  const postgres = new EmbeddedPostgres({ dataDirectory: directory, settings })
  try {
    await chmod(directory, 0o711)
    const { url } = await postgres.start()
    return {
      url,
      async stop() {
        await postgres.stop()
        await rm(directory, { recursive: true, force: true })
      },
    }
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

/** Starts an embedded server with fsync on, or uses the one at `url`. */
export const openServer = async (url: string | undefined): Promise<Server> => {
  const own = url === undefined ? await startEmbedded() : { url, stop: async () => {} }
  const admin = await createClient(own.url, { applicationName: 'bench', statementTimeout: 0 })
  const prefix = `bench_${process.pid}_`
  const databases = new Set<string>()
  // PostgreSQL waits a moment for sessions that are saying goodbye; only an interrupted run has others.
  const dropDatabase = async (name: string, how = '') => {
    await admin.query(`drop database if exists ${prefix}${name}${how}`)
    databases.delete(name)
  }
  let closing: Promise<void> | undefined
  const close = async () => {
    for (const name of databases) await dropDatabase(name, ' with (force)')
    await admin.end()
    await own.stop()
  }
  const { rows } = await admin.query<{ name: string; setting: string }>(
    'select name, current_setting(name) as setting from unnest($1::text[]) as name',
    [shown],
  )
  return {
    settings: Object.fromEntries(rows.map(({ name, setting }) => [name, setting])),
    async createDatabase(name, template) {
      await dropDatabase(name)
      databases.add(name)
      await admin.query(
        `create database ${prefix}${name}${template === undefined ? '' : ` template ${prefix}${template}`}`,
      )
      const target = new URL(own.url)
      target.pathname = `/${prefix}${name}`
      return target.href
    },
    dropDatabase: (name) => dropDatabase(name),
    async checkpoint() {
      await admin.query('checkpoint')
    },
    close: () => (closing ??= close()),
  }
}
