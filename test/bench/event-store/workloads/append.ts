import { v7 as uuidv7 } from 'uuid'
import { interleave, repeat, type Lane, type Round } from '../measure'
import { payload } from '../payload'
import { ratios, type Report } from '../report'
import { insert } from '../yardsticks/insert'
import { ours, oursBare } from '../yardsticks/ours'
import { findPgbench, pgbenchLane } from '../yardsticks/pgbench'
import { freshDatabase } from '../yardsticks/fresh-database'
import type { OpenStore, Shape, Yardstick } from '../yardsticks/store'
import { progress, type Bench, type Workload } from './bench'

type Verified = Lane & { verify(): Promise<void>; close(): Promise<void> }

const nameOf = ({ events, fresh }: Shape) =>
  `append of ${events} event${events > 1 ? 's' : ''} to ${fresh ? 'new streams' : 'one stream'}`

const appender = (store: OpenStore, { events, fresh }: Shape) => {
  const shared = uuidv7()
  return (writer: number) =>
    store.append({
      writer,
      uid: fresh ? uuidv7() : shared,
      fresh,
      events: Array.from({ length: events }, (_, nth) => payload(nth)),
    })
}

const laneOf = async ({ server, options }: Bench, yardstick: Yardstick, shape: Shape): Promise<Verified> => {
  const database = 'append_' + yardstick.name.replaceAll(/[^a-z]+/g, '_')
  const store = await yardstick.open(await freshDatabase(server, yardstick, database), shape.writers)
  const append = appender(store, shape)
  let acknowledged = 0
  const run = async (duration: number) => {
    const round = await repeat(shape.writers, duration, append)
    acknowledged += round.operations * shape.events
    return round
  }
  await run(warmUp(options.quick))
  return {
    name: yardstick.name,
    round: () => run(duration(options.quick, shape)),
    async verify() {
      const stored = await store.count()
      if (stored !== acknowledged)
        throw new Error(`${yardstick.name}, ${nameOf(shape)}: ${acknowledged} events acknowledged, ${stored} stored`)
    },
    async close() {
      await store.close()
      await server.dropDatabase(database)
    },
  }
}

const warmUp = (quick: boolean) => (quick ? 0.1 : 0.4)

const hasGoal = ({ events, fresh, writers }: Shape) => events === 1 && (fresh ? writers !== 8 : writers === 32)

/** Seconds per round; the shapes that goals are set for get more. */
const duration = (quick: boolean, shape: Shape) => {
  if (quick) return 0.3
  return hasGoal(shape) ? 1.5 : 0.8
}

const yardsticksFor = ({ others }: Bench, { events, fresh }: Shape): Yardstick[] => {
  if (events > 1) return [ours, others.emmett, others.messageDb, insert]
  const sharing = fresh ? [others.messageDbOneCategory] : []
  return [ours, oursBare, others.emmett, others.messageDb, ...sharing, insert]
}

const lanesOf = async (bench: Bench, shape: Shape, pgbench: string | undefined, lanes: Verified[]): Promise<void> => {
  for (const yardstick of yardsticksFor(bench, shape)) lanes.push(await laneOf(bench, yardstick, shape))
  if (pgbench === undefined) return
  const seconds = duration(bench.options.quick, shape)
  lanes.push(await pgbenchLane({ program: pgbench, server: bench.server, shape, seconds }))
}

const run = async (bench: Bench, shape: Shape, pgbench: string | undefined): Promise<void> => {
  const { options, report, server } = bench
  const workload = nameOf(shape)
  progress(`${workload}, ${shape.writers} at once`)
  const lanes: Verified[] = []
  try {
    await lanesOf(bench, shape, pgbench, lanes)
    const results = await interleave(lanes, options.rounds, () => server.checkpoint())
    for (const lane of lanes) await lane.verify()
    for (const { name: store } of lanes)
      await report.row({ workload, clients: shape.writers, store, unit: 'appends/s' }, results.get(store) ?? [])
    await judge(report, shape, results)
  } finally {
    for (const lane of lanes) await lane.close()
  }
}

const judge = async (report: Report, shape: Shape, results: Map<string, Round[]>): Promise<void> => {
  const { writers, events, fresh } = shape
  if (events !== 1) return
  const title = `${nameOf(shape)}, ${writers} at once`
  const against = (store: string, target: number, mine = ours) =>
    report.goal(`${title}: ${mine.name} / ${store}`, ratios(results, mine.name, store), '>=', target)
  // Nobody takes a new name with every event of one stream.
  if (!fresh && writers === 32) await against('emmett', 50, oursBare)
  if (fresh && writers === 1) {
    await against('INSERT (pg)', 0.5)
    await against('message-db', 0.7)
  }
  if (fresh && writers === 32) {
    await against('emmett', 5)
    await against('INSERT (pg)', 1)
    const spread = (results.get('ours') ?? []).map(({ p50 = NaN, p99 = NaN }) => p99 / p50)
    await report.goal(`${title}: p99 / p50 of ours`, spread, '<=', 3)
  }
}

const all: Shape[] = [true, false].flatMap((fresh) =>
  [1, 3].flatMap((events) => [1, 8, 32].map((writers) => ({ writers, events, fresh }))),
)

export const append: Workload = {
  name: 'append',
  async run(bench) {
    const pgbench = await findPgbench()
    if (pgbench === undefined)
      await bench.report.note('pgbench is neither in PATH nor below /usr/lib/postgresql: not measured')
    for (const shape of bench.options.quick ? all.filter(hasGoal) : all) await run(bench, shape, pgbench)
  },
}
