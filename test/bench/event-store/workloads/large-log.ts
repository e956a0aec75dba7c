import { freshDatabase } from '../yardsticks/fresh-database'
import { ours } from '../yardsticks/ours'
import { progress, type Bench } from './bench'
import { seed, type LogSize } from './seed'

const seeded = new WeakMap<Bench['server'], Promise<string>>()

/** Events of the large log, and the servers they are about. */
export const largeSize = ({ options: { events } }: Bench): LogSize => ({ events, streams: Math.ceil(events / 500) })

/** The URL of a database with a log of `--events` events, made once per run. */
export const largeLog = (bench: Bench): Promise<string> => {
  const make = async () => {
    progress(`a log of ${bench.options.events} events: seeding`)
    const url = await freshDatabase(bench.server, ours, 'large')
    await seed(url, largeSize(bench))
    await bench.server.checkpoint()
    return url
  }
  const made = seeded.get(bench.server) ?? make()
  seeded.set(bench.server, made)
  return made
}

/** The large workloads take long: three rounds tell as much as they need to. */
export const largeRounds = ({ options: { rounds } }: Bench): number => Math.min(3, rounds)
