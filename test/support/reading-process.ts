/** Reads the log as a process of its own, in whatever time zone it was started, and prints each event as one line of JSON. */
import { PostgresEventLog } from '@mcpctl/event-store'
import { createPool } from '@mcpctl/postgres'

const pool = createPool(process.argv[2] ?? '', { applicationName: 'reader', role: 'mcpd_app', max: 1 })
const log = new PostgresEventLog({ pool })
for (let after = 0n; ;) {
  const page = await log.read(after, 1_000)
  for (const { position, recordedAt, hash } of page)
    process.stdout.write(`${JSON.stringify({ position: String(position), recordedAt, hash })}\n`)
  if (page.length === 0) break
  after = page.at(-1)?.position ?? after
}
await pool.end()
