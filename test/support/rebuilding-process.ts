/** Rebuilds the read model of objects as another daemon would, in small steps, and prints where each begins. Ends when there is nothing to do. */
import { Builder, modelStatus } from '@mcpctl/event-store'
import { createPool } from '@mcpctl/postgres'
import { MODEL, objects } from './models'

const pool = createPool(process.argv[2] ?? '', { applicationName: 'rebuilding', role: 'mcpd_app', max: 4 })
const builder = new Builder({ pool, model: objects(), eventsPerCommit: 1_000 })
for (;;) {
  const { rebuild } = await modelStatus(pool, MODEL)
  process.stdout.write(
    `${JSON.stringify({ state: rebuild?.state ?? 'done', position: String(rebuild?.position ?? 0) })}\n`,
  )
  const more = await builder.step().catch(() => new Promise<true>((resolve) => setTimeout(resolve, 50, true)))
  if (!more) break
}
await pool.end()
