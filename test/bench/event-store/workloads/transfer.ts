import { createReadStream, createWriteStream } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Pool } from 'pg'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import { exportEvents, importEvents } from '@mcpctl/event-store'
import { createPool } from '@mcpctl/postgres'
import { interleave, seconds, type Lane } from '../measure'
import { ratios } from '../report'
import { scratch } from '../scratch'
import { freshDatabase } from '../yardsticks/fresh-database'
import { ours } from '../yardsticks/ours'
import { progress, type Bench, type Workload } from './bench'
import { largeLog, largeRounds } from './large-log'

const connect = (url: string, role?: string) =>
  createPool(url, { applicationName: 'bench', max: 4, statementTimeout: 0, ...(role !== undefined && { role }) })

const endOf = async (pool: Pool) => {
  const { rows } = await pool.query<{ events: number; hash: string }>(
    `select (select count(*)::int from es.event) as events, encode(hash, 'hex') as hash from es.event order by position desc limit 1`,
  )
  return rows[0] ?? { events: 0, hash: '' }
}

/** Takes what comes and drops it. */
const nowhere = () => {
  let bytes = 0
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      done()
    },
  })
  return { sink, bytes: () => bytes }
}

const copyOut = async (pool: Pool, into: Writable) => {
  const client = await pool.connect()
  try {
    await pipeline(client.query(copyTo('copy es.event to stdout')), into)
  } finally {
    client.release()
  }
}

const copyIn = async (pool: Pool, source: Readable) => {
  const client = await pool.connect()
  try {
    await pipeline(source, client.query(copyFrom('copy es.event from stdin')))
  } finally {
    client.release()
  }
}

type Out = (pool: Pool, into: Writable) => Promise<void>
type In = (pool: Pool, source: Readable) => Promise<unknown>

interface Way {
  name: string
  /** ours: as mcpd; COPY: as the owner of the table, since nobody else may. */
  role?: string
  out: Out
  in: In
  file: string
}

const ways = (directory: string): Way[] => [
  {
    name: 'ours',
    role: 'mcpd_app',
    out: (pool, into) => pipeline(exportEvents(pool), into),
    in: importEvents,
    file: join(directory, 'log.jsonl'),
  },
  { name: 'COPY', out: copyOut, in: copyIn, file: join(directory, 'log.copy') },
]

const exportLane = (url: string, events: number, way: Way): Lane => ({
  name: way.name,
  async round() {
    const pool = connect(url, way.role)
    await pool.query('select 1')
    const { sink, bytes } = nowhere()
    const took = await seconds(() => way.out(pool, sink))
    await pool.end()
    const { size } = await stat(way.file)
    if (bytes() !== size) throw new Error(`${way.name} exported ${bytes()} bytes, and ${size} before`)
    return { rate: events / took }
  },
})

const importLane = (server: Bench['server'], expected: { events: number; hash: string }, way: Way): Lane => ({
  name: way.name,
  async round() {
    const database = `import_${way.name.toLowerCase()}`
    const pool = connect(await freshDatabase(server, ours, database), way.role)
    await pool.query('select 1')
    const took = await seconds(() => way.in(pool, createReadStream(way.file, { highWaterMark: 256 * 1024 })))
    const end = await endOf(pool)
    await pool.end()
    await server.dropDatabase(database)
    if (end.events !== expected.events || end.hash !== expected.hash)
      throw new Error(`${way.name} imported ${JSON.stringify(end)} of ${JSON.stringify(expected)}`)
    return { rate: expected.events / took }
  },
})

const measure = async (bench: Bench): Promise<void> => {
  const { options, report, server } = bench
  const url = await largeLog(bench)
  const owner = connect(url)
  const end = await endOf(owner)
  await owner.end()
  const all = ways(scratch)
  // Reads the log once for each, which none of the measured rounds then does for another.
  for (const way of all) {
    const pool = connect(url, way.role)
    await way.out(pool, createWriteStream(way.file))
    await pool.end()
  }
  const run = async (workload: string, lanes: Lane[], target: number) => {
    progress(workload)
    const results = await interleave(lanes, largeRounds(bench), () => server.checkpoint())
    for (const [store, rounds] of results) await report.row({ workload, store, unit: 'events/s' }, rounds)
    await report.goal(`${workload}: ours / COPY`, ratios(results, 'ours', 'COPY'), '>=', target)
  }
  const exports = all.map((way) => exportLane(url, options.events, way))
  await run(`export of ${options.events} events`, exports, 0.7)
  const imports = all.map((way) => importLane(server, end, way))
  await run(`import of ${options.events} events, with every check`, imports, 0.25)
  for (const { file } of all) await rm(file)
}

export const transfer: Workload = {
  name: 'transfer',
  run: measure,
}
