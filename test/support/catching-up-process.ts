/** Follows the log with a slow projection in a process of its own, and tells what that took in memory. */
import { setTimeout as delay } from 'node:timers/promises'
import { Follower, Projector, type ProjectedEvent } from '@mcpctl/event-store'
import { createPool } from '@mcpctl/postgres'

const [, , url = '', until = '0'] = process.argv

const pool = createPool(url, { role: 'mcpd_app', max: 4, applicationName: 'catching up' })
const follower = new Follower({ pool })
let last = 0n
let ordered = true
const project = async (_: unknown, events: ProjectedEvent[]) => {
  for (const { position } of events) {
    ordered &&= position === last + 1n
    last = position
  }
  await delay(20)
}
const projector = new Projector({ pool, follower, name: 'catching up', batchSize: 5_000, project })
await follower.start()
projector.start()
await projector.waitFor(BigInt(until), 50_000)
await projector.stop()
await follower.stop()
await pool.end()
const megabytes = Math.round(process.resourceUsage().maxRSS / 1024)
process.stdout.write(JSON.stringify({ last: String(last), ordered, megabytes }))
