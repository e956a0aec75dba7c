import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Client } from 'pg'
import { DomainError } from '@mcpctl/contracts'
import { createClient } from './connect'

interface Migration {
  version: number
  name: string
  sha256: string
  sql: string
}

type Applied = Pick<Migration, 'version' | 'name' | 'sha256'>

const oldest = { number: 150_000, text: '15' }
/** Any constant will do, as long as every release uses the same. */
const lockKey = '7164852104421897'

const load = async (directory: string): Promise<Migration[]> => {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort()
  const migrations = await Promise.all(
    names.map(async (name) => {
      const version = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1]
      if (version === undefined) throw new Error(`migration "${name}" is not called NNNN_name.sql`)
      // A checkout on another system may have changed the line ends; that is no change of the migration.
      const sql = (await readFile(join(directory, name), 'utf8')).replaceAll('\r\n', '\n')
      return { version: Number(version), name, sha256: createHash('sha256').update(sql).digest('hex'), sql }
    }),
  )
  migrations.forEach(({ version, name }, index) => {
    if (version !== index + 1) throw new Error(`migration "${name}" should have the number ${index + 1}`)
  })
  return migrations
}

const refuseOldServer = async (client: Client) => {
  const { rows } = await client.query<{ number: number; text: string }>(
    "select current_setting('server_version_num')::int as number, current_setting('server_version') as text",
  )
  const server = rows[0]
  if (server && server.number >= oldest.number) return
  const message = `PostgreSQL ${server?.text ?? ''} is too old; version ${oldest.text} or newer is needed`
  throw new DomainError('PreconditionFailed', message)
}

const verify = (applied: Applied[], known: Migration[]) => {
  const last = applied.at(-1)
  if (last && last.version > known.length) {
    const newest = known.at(-1)?.name ?? 'none'
    const message = `the database is newer than this mcpd: it is at migration ${last.name}, this mcpd knows up to ${newest}; upgrade mcpd, or restore a backup made before the upgrade`
    throw new DomainError('Conflict', message)
  }
  applied.forEach(({ name, sha256 }, index) => {
    const file = known[index]
    if (file?.name === name && file.sha256 === sha256) return
    const message = `migration ${name} differs from the file "${file?.name ?? 'none'}" of this mcpd, and applied migrations never change; use the mcpd that belongs to this database, or another database`
    throw new DomainError('Conflict', message)
  })
}

/** The lock lasts as long as the transaction, so it holds behind a connection pooler too and cannot be left behind. */
const applyNext = async (client: Client, known: Migration[]): Promise<Migration | undefined> => {
  await client.query('select pg_advisory_xact_lock($1)', [lockKey])
  const recorded = await client.query<{ found: boolean }>("select to_regclass('mcpctl.migration') is not null as found")
  if (!recorded.rows[0]?.found) {
    await client.query(
      `create schema if not exists mcpctl;
       create table mcpctl.migration (
         version int primary key, name text not null, sha256 text not null, applied_at timestamptz not null default now())`,
    )
  }
  const { rows: applied } = await client.query<Applied>(
    'select version, name, sha256 from mcpctl.migration order by version',
  )
  verify(applied, known)
  const next = known[applied.length]
  if (!next) return undefined
  await client.query(next.sql)
  await client.query('insert into mcpctl.migration (version, name, sha256) values ($1, $2, $3)', [
    next.version,
    next.name,
    next.sha256,
  ])
  return next
}

const inTransaction = async <T>(client: Client, work: () => Promise<T>): Promise<T> => {
  await client.query('begin')
  try {
    const result = await work()
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

/**
 * Brings the database up to the newest migration of the directory and names what it applied. Any number of processes
 * may do so at once. Throws `Conflict` when the database is newer or was made from other files, `PreconditionFailed`
 * when the server is older than PostgreSQL 15; a migration that fails leaves no trace.
 */
export const runMigrations = async (url: string, directory: string): Promise<string[]> => {
  const known = await load(directory)
  const client = await createClient(url, { applicationName: 'mcpd migrations', statementTimeout: 0 })
  try {
    await refuseOldServer(client)
    const done: string[] = []
    for (;;) {
      const next = await inTransaction(client, () => applyNext(client, known))
      if (!next) return done
      done.push(next.name)
    }
  } finally {
    await client.end()
  }
}
