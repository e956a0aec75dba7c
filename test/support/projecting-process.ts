/**
 * Projects the log as a daemon of its own would, into `rm.seen` (a row for each event and each time) and `rm.counted`. Prints one line
 * of JSON when it follows, and one each time that it holds: at an event of type `Hold` it stays between two statements of its
 * transaction, busy, until it reads a line.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Follower, Projector } from '@mcpctl/event-store'
import { createPool } from '@mcpctl/postgres'
import type { PoolClient } from 'pg'

interface Task {
  url: string
  /** Of the projector, and of the process as the database sees it. */
  name: string
  application: string
  batchSize: number
  /** The projector's own unless told. */
  batchBytes?: number
  /** After how many of its three statements it holds; never unless told. */
  holdAfter?: number
}

const task = JSON.parse(process.argv[2] ?? '') as Task
const print = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)
const release = new AbortController()
process.stdin.once('data', () => release.abort())
const released = () => release.signal.aborted

const statements = [
  'insert into rm.seen (projector, position) select $1, position from unnest($2::bigint[], $3::text[]) t (position, stream)',
  `insert into rm.counted select $1, stream, count(*), 0 from unnest($2::bigint[], $3::text[]) t (position, stream) group by stream
   on conflict (projector, stream) do update set events = counted.events + excluded.events`,
  `update rm.counted c set last = t.last
   from (select stream, max(position) as last from unnest($2::bigint[], $3::text[]) t (position, stream) group by stream) t
   where c.projector = $1 and c.stream = t.stream`,
]

const holdAt = async (tx: PoolClient, done: number) => {
  if (done !== task.holdAfter || released()) return
  print({ holding: true })
  do {
    await tx.query('select')
    await delay(20)
  } while (!released())
}

const pool = createPool(task.url, { applicationName: task.application, role: 'mcpd_app', max: 3 })
const follower = new Follower({ pool })
const projector = new Projector({
  pool,
  follower,
  name: task.name,
  batchSize: task.batchSize,
  ...(task.batchBytes !== undefined && { batchBytes: task.batchBytes }),
  project: async (tx, batch) => {
    const holds = batch.some(({ type }) => type === 'Hold')
    const values = [task.name, batch.map(({ position }) => position), batch.map(({ streamId }) => streamId)]
    for (const [done, statement] of statements.entries()) {
      if (holds) await holdAt(tx, done)
      await tx.query(statement, values)
    }
    if (holds) await holdAt(tx, statements.length)
  },
})
await follower.start()
projector.start()
print({ follows: true })
