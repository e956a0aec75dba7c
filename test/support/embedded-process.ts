/** Starts an embedded PostgreSQL on the given directory, prints its URL and pid, and then stays until it is killed. */
import { EmbeddedPostgres } from '@mcpctl/postgres'

const server = new EmbeddedPostgres({ dataDirectory: process.argv[2] ?? '' })
try {
  const { url } = await server.start()
  process.stdout.write(`${JSON.stringify({ url, pid: server.pid })}\n`)
  setInterval(() => undefined, 60_000)
} catch (error) {
  process.stdout.write(`${JSON.stringify({ error: error instanceof Error ? error.message : String(error) })}\n`)
}
