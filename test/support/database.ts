import { randomBytes } from 'node:crypto'
import type { Client, Pool } from 'pg'
import { createClient, createPool, type ConnectOptions } from '@mcpctl/postgres'

export interface TestDatabase {
  /** Connections in the application's role, as mcpd has them. */
  pool: Pool
  /** The database as its owner. */
  url: string
  /** A connection of its own, as the owner unless a role is named; closed with the database. */
  connect(options?: Partial<ConnectOptions>): Promise<Client>
  /** Closes every connection and drops the database. */
  close(): Promise<void>
}

const server = (): { url: string; template: string } => {
  const line = process.env.MCPCTL_TEST_SERVER
  if (line === undefined) throw new Error('no test server; does the jest project have the global setup?')
  return JSON.parse(line) as { url: string; template: string }
}

const execute = async (url: string, sql: string) => {
  const client = await createClient(url, { applicationName: 'test support', statementTimeout: 0 })
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

/** A migrated database of its own for one test file, cloned from the run's template. */
export const testDatabase = async (max = 20): Promise<TestDatabase> => {
  const { url: serverUrl, template } = server()
  const name = `test_${randomBytes(6).toString('hex')}`
  await execute(serverUrl, `create database ${name} template ${template}`)
  const database = new URL(serverUrl)
  database.pathname = `/${name}`
  const url = database.href
  const pool = createPool(url, { role: 'mcpd_app', max, applicationName: 'test' })
  const clients: Client[] = []
  return {
    pool,
    url,
    async connect(options) {
      const client = await createClient(url, { applicationName: 'test', ...options })
      clients.push(client)
      return client
    },
    async close() {
      await Promise.all(clients.map((client) => client.end().catch(() => undefined)))
      if (!pool.ended) await pool.end()
      await execute(serverUrl, `drop database if exists ${name} with (force)`)
    },
  }
}
