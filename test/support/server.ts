/**
 * The PostgreSQL server of one test run, as a process of its own: prints `{ url, template }` as one line of JSON, and
 * puts everything away when its standard input closes, which also happens when the test run is killed.
 */
import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient, EmbeddedPostgres, runMigrations } from '@mcpctl/postgres'

const options = { applicationName: 'test server', statementTimeout: 0 }

const withDatabase = (url: string, name: string) => {
  const changed = new URL(url)
  changed.pathname = `/${name}`
  return changed.href
}

const startServer = async () => {
  const given = process.env.MCPCTL_TEST_DATABASE_URL
  if (given !== undefined && given !== '') return { url: given, stop: () => Promise.resolve() }
  const dataDirectory = await mkdtemp(join(tmpdir(), 'mcpctl-test-postgres-'))
  await chmod(dataDirectory, 0o711)
  const settings = { fsync: 'off', synchronous_commit: 'on', full_page_writes: 'off', max_connections: '300' }
  const server = new EmbeddedPostgres({ dataDirectory, settings, logger: { ...console, info: () => undefined } })
  const { url } = await server.start()
  const stop = async () => {
    await server.stop()
    await rm(dataDirectory, { recursive: true, force: true })
  }
  return { url, stop }
}

const execute = async (url: string, sql: string) => {
  const client = await createClient(url, options)
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

const [, , migrations = 'migrations'] = process.argv
const stdinClosed = new Promise((resolve) => process.stdin.once('close', resolve).once('end', resolve).resume())
// Ctrl-C reaches the whole process group; the test run then closes our standard input in its own time.
process.on('SIGINT', () => undefined)

const { url, stop } = await startServer()
const template = `template_${randomBytes(4).toString('hex')}`
try {
  await execute(url, `create database ${template}`)
  await runMigrations(withDatabase(url, template), migrations)
  process.stdout.write(`${JSON.stringify({ url, template })}\n`)
  await stdinClosed
} finally {
  await execute(url, `drop database if exists ${template} with (force)`).catch(() => undefined)
  await stop()
}
