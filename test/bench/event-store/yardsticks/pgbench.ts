import { execFile } from 'node:child_process'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { payload } from '../payload'
import { scratch } from '../scratch'
import type { Server } from '../server'
import { freshDatabase } from './fresh-database'
import { insert } from './insert'
import type { Shape } from './store'

const execute = promisify(execFile)
const debian = '/usr/lib/postgresql'

/** The newest pgbench of PATH or of Debian's packages. */
export const findPgbench = async (): Promise<string | undefined> => {
  const versions = await readdir(debian).catch(() => [])
  const newest = versions.sort((a, b) => Number(b) - Number(a)).map((version) => `${debian}/${version}/bin/pgbench`)
  for (const program of [...newest, 'pgbench'])
    if (
      await execute(program, ['--version']).then(
        () => true,
        () => false,
      )
    )
      return program
  return undefined
}

const literal = (value: unknown) => `'${JSON.stringify(value).replaceAll("'", "''")}'`

/** The row of the plain INSERT; pgbench cannot make one, so ids are drawn by the server and the JSON is always the same. */
const script = ({ events, fresh }: Shape, newId: string) => {
  const row = (nth: number) => {
    const { type, data, meta, claims } = payload(nth)
    return `(nextval('event_position'), 'server', ${fresh ? 'stream.id' : "'server-shared'"},
      ${fresh ? nth + 1 : "nextval('stream_version')"}, ${newId}, '${type}', 1, ${literal(data)}::jsonb, ${literal(meta)}::jsonb,
      ${claims.length > 0 ? `${literal(claims)}::jsonb` : 'null::jsonb'}, clock_timestamp(), decode(repeat('07', 32), 'hex'),
      decode(repeat('07', 32), 'hex'))`
  }
  const rows = Array.from({ length: events }, (_, nth) => row(nth)).join(', ')
  const text = `insert into public.event (position, category, stream_id, version, event_id, type, schema_version, data, meta, claims,
    recorded_at, content_hash, hash)
    select v.* from (select 'server-' || ${newId} as id) stream, lateral (values ${rows}) v;`
  // pgbench takes a colon before a letter for a variable of its own, also inside JSON.
  return `${text.replaceAll('\n', ' ')}\n`
}

const result = (output: string, pattern: RegExp): number => {
  const found = pattern.exec(output)?.[1]
  if (found === undefined) throw new Error(`pgbench said:\n${output}`)
  return Number(found)
}

const connection = (url: string) => {
  const { hostname, port, username, password, pathname } = new URL(url)
  const args = [
    '-h',
    hostname,
    '-p',
    port === '' ? '5432' : port,
    '-U',
    decodeURIComponent(username),
    pathname.slice(1),
  ]
  return { args, env: { ...process.env, PGPASSWORD: decodeURIComponent(password) } }
}

const lane = 'INSERT (pgbench)'

/** The same INSERT without Node: what PostgreSQL gives with so many clients. */
export const pgbenchLane = async (given: { program: string; server: Server; shape: Shape; seconds: number }) => {
  const { program, server, shape, seconds } = given
  const url = await freshDatabase(server, insert, 'append_pgbench')
  const client = new pg.Client(url)
  await client.connect()
  const { rows } = await client.query<{ found: boolean }>("select to_regproc('pg_catalog.uuidv7') is not null as found")
  const file = join(scratch, 'insert.sql')
  await writeFile(file, script(shape, rows[0]?.found ? 'uuidv7()' : 'gen_random_uuid()'))
  const { args, env } = connection(url)
  const threads = String(Math.min(2, shape.writers))
  let acknowledged = 0
  return {
    name: lane,
    async round() {
      // Whole seconds only.
      const time = ['-T', String(Math.max(1, Math.round(seconds)))]
      const { stdout } = await execute(
        program,
        ['-n', '-M', 'prepared', '-f', file, '-c', String(shape.writers), '-j', threads, ...time, ...args],
        { env },
      )
      acknowledged += result(stdout, /transactions actually processed: (\d+)/) * shape.events
      return { rate: result(stdout, /tps = ([\d.]+)/) }
    },
    async verify() {
      const stored = await client.query<{ count: number }>('select count(*)::int as count from public.event')
      if (stored.rows[0]?.count !== acknowledged)
        throw new Error(`${lane}: ${acknowledged} events acknowledged, ${stored.rows[0]?.count ?? 0} stored`)
    },
    async close() {
      await client.end()
      await server.dropDatabase('append_pgbench')
    },
  }
}
