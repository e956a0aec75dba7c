import { interleave, seconds, type Lane } from '../measure'
import { ratios } from '../report'
import { freshDatabase } from '../yardsticks/fresh-database'
import { ours } from '../yardsticks/ours'
import type { CatchUp } from '../yardsticks/store'
import { progress, type Bench, type Workload } from './bench'
import { countPerStream, openProjector } from './counting'
import { seed, type LogSize } from './seed'
import { serverEvent, uidOf } from './server-log'

/** Events per transaction; as emmett's, the best of those tried. */
const batchSize = 5_000

const createTable = (table: string) => `create table rm.${table} (stream_id text primary key, events bigint not null)`

const openOurs = async ({ server }: Bench, size: LogSize): Promise<CatchUp> => {
  const url = await freshDatabase(server, ours, 'catch_up_ours')
  await seed(url, size)
  const opened = await openProjector(url, { name: 'unused', modelVersion: 1, project: async () => {} })
  return {
    async prepare(table) {
      await opened.pool.query(createTable(table))
      const project = countPerStream(table)
      const projector = await openProjector(url, { name: table, modelVersion: 1, batchSize, project })
      return async () => {
        await projector.reach(BigInt(size.events))
        await projector.close()
      }
    },
    async counted(table) {
      const { rows } = await opened.pool.query<LogSize>(
        `select count(*)::int as streams, coalesce(sum(events), 0)::int as events from rm.${table}`,
      )
      return rows[0] ?? { streams: 0, events: 0 }
    },
    close: () => opened.close(),
  }
}

const streamsOf = function* ({ events, streams }: LogSize) {
  const perStream = Math.floor(events / streams)
  for (let server = 0; server < streams; server++)
    yield {
      streamId: `server-${uidOf(server)}`,
      events: Array.from({ length: perStream }, (_, nth) => serverEvent(server, nth + 1)),
    }
}

const laneOf = (name: string, store: CatchUp, size: LogSize): Lane => {
  let nth = 0
  return {
    name,
    async round() {
      const table = `counts_${nth++}`
      const took = await seconds(await store.prepare(table))
      const counted = await store.counted(table)
      if (counted.events !== size.events || counted.streams !== size.streams)
        throw new Error(`${name} projected ${JSON.stringify(counted)} of ${JSON.stringify(size)}`)
      return { rate: size.events / took }
    },
  }
}

export const catchUp: Workload = {
  name: 'catch-up',
  async run(bench) {
    const { options, report, server, others } = bench
    const streams = Math.max(1, Math.floor(options.events / 1000))
    const size = { events: streams * 100, streams }
    const workload = `catch-up of a count per stream, ${size.events} events`
    progress(`${workload}: seeding`)
    const emmettUrl = await freshDatabase(server, others.emmett, 'catch_up_emmett')
    const mine = await openOurs(bench, size)
    const emmett = await others.emmettCatchUp.open(emmettUrl, streamsOf(size))
    progress(workload)
    const lanes = [laneOf('ours', mine, size), laneOf('emmett', emmett, size)]
    const results = await interleave(lanes, Math.min(3, options.rounds), () => server.checkpoint())
    await mine.close()
    await emmett.close()
    for (const [store, rounds] of results) await report.row({ workload, store, unit: 'events/s' }, rounds)
    await report.goal(`${workload}: ours / emmett`, ratios(results, 'ours', 'emmett'), '>=', 20)
    for (const database of ['catch_up_ours', 'catch_up_emmett']) await server.dropDatabase(database)
  },
}
