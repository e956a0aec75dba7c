import { v7 as uuidv7 } from 'uuid'
import { interleave, repeat, type Lane } from '../measure'
import { payload } from '../payload'
import { freshDatabase } from '../yardsticks/fresh-database'
import { insert } from '../yardsticks/insert'
import { ours } from '../yardsticks/ours'
import type { OpenStore, Yardstick } from '../yardsticks/store'
import { progress, type Bench, type Workload } from './bench'

const length = 1_000
const workload = `read of a stream of ${length} events`

const fill = async (store: OpenStore): Promise<string> => {
  const uid = uuidv7()
  const events = () => Array.from({ length: 50 }, (_, nth) => payload(nth))
  // A second stream between, so that the rows do not lie side by side by luck.
  for (const stream of Array.from({ length: length / 50 }, () => [uid, uuidv7()]).flat())
    await store.append({ writer: 0, uid: stream, fresh: false, events: events() })
  return uid
}

const laneOf = async ({ server, options }: Bench, yardstick: Yardstick): Promise<Lane & { close(): Promise<void> }> => {
  const database = 'read_' + yardstick.name.replaceAll(/[^a-z]+/g, '_')
  const store = await yardstick.open(await freshDatabase(server, yardstick, database), 1)
  const uid = await fill(store)
  const read = async () => {
    const events = await store.readStream(uid)
    if (events !== length) throw new Error(`${yardstick.name} read ${events} of ${length} events`)
  }
  await repeat(1, 0.3, read)
  return {
    name: yardstick === insert ? 'SELECT (pg)' : yardstick.name,
    round: () => repeat(1, options.quick ? 0.3 : 1, read),
    async close() {
      await store.close()
      await server.dropDatabase(database)
    },
  }
}

export const readStream: Workload = {
  name: 'read',
  async run(bench) {
    progress(workload)
    const { others, options, report, server } = bench
    const lanes: Awaited<ReturnType<typeof laneOf>>[] = []
    for (const yardstick of [ours, others.emmett, others.messageDb, insert]) lanes.push(await laneOf(bench, yardstick))
    const results = await interleave(lanes, options.rounds, () => server.checkpoint())
    for (const lane of lanes) {
      await report.row({ workload, store: lane.name, clients: 1, unit: 'reads/s' }, results.get(lane.name) ?? [])
      await lane.close()
    }
  },
}
