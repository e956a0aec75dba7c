import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { PostgresEventLog, type AppendRequest, type CommandRecord, type NewEvent } from '@mcpctl/event-store'
import { createPool, runMigrations } from '@mcpctl/postgres'
import type { Append, Yardstick } from './store'

// As mcpd has it.
const poolSize = 20

export const migrate = (url: string) => runMigrations(url, join(process.env.MCPCTL_ROOT ?? '.', 'migrations'))

export const streamOf = (uid: string) => `server-${uid}`

const eventOf = ({ id, type, data, meta, claims }: Append['events'][number], withClaims: boolean): NewEvent => ({
  id,
  type,
  schemaVersion: 1,
  data,
  meta,
  ...(withClaims && claims.length > 0 && { claims }),
})

const commandOf = ({ uid, events }: Append): CommandRecord => ({
  id: events[0]?.id ?? uid,
  requestHash: createHash('sha256').update(JSON.stringify(events[0]?.data)).digest('hex'),
  result: { kind: 'Server', uid, changed: true },
})

const requestOf = (append: Append, full: boolean): AppendRequest => ({
  streams: [
    {
      streamId: streamOf(append.uid),
      category: 'server',
      expected: append.fresh ? 'none' : 'any',
      events: append.events.map((event) => eventOf(event, full)),
    },
  ],
  ...(full && { command: commandOf(append) }),
})

const yardstick = (name: string, full: boolean): Yardstick => ({
  name,
  async prepare(url) {
    await migrate(url)
  },
  async open(url) {
    const pool = createPool(url, { applicationName: 'bench', role: 'mcpd_app', max: poolSize })
    const log = new PostgresEventLog({ pool })
    return {
      async append(append) {
        const verdict = await log.append(requestOf(append, full))
        if (verdict.status !== 'ok') throw new Error(`${name} answered ${JSON.stringify(verdict)}`)
      },
      async count() {
        const { rows } = await pool.query<{ count: number }>('select count(*)::int as count from es.event')
        return rows[0]?.count ?? 0
      },
      async readStream(uid) {
        return (await log.readStream(streamOf(uid))).length
      },
      close: () => pool.end(),
    }
  },
})

/** The whole request: a name is taken, the command's answer is kept. */
export const ours = yardstick('ours', true)

/** The event alone, without claim and command row: what the other stores do. */
export const oursBare = yardstick('ours, event only', false)
