/** Imports the export that is piped in into an empty store, and prints one line at each step. */
import { importEvents } from '@mcpctl/event-store'
import { createPool } from '@mcpctl/postgres'

const pool = createPool(process.argv[2] ?? '', { applicationName: 'importing', role: 'mcpd_app', max: 1 })

async function* told(source: AsyncIterable<Buffer>) {
  let bytes = 0
  for await (const chunk of source) {
    bytes += chunk.length
    process.stdout.write(`${JSON.stringify({ read: bytes })}\n`)
    yield chunk
  }
  process.stdout.write('"ended"\n')
}

const { events } = await importEvents(pool, told(process.stdin))
process.stdout.write(`${JSON.stringify({ events: Number(events) })}\n`)
await pool.end()
