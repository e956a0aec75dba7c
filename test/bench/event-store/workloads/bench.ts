import type { Options } from '../options'
import type { Report } from '../report'
import type { Server } from '../server'
import type { CatchUp, SeedStream, Yardstick } from '../yardsticks/store'

/** What a workload works with. */
export interface Bench {
  options: Options
  report: Report
  server: Server
  /** The other stores, loaded from their own folder. */
  others: {
    emmett: Yardstick
    emmettCatchUp: { open(url: string, streams: Iterable<SeedStream>): Promise<CatchUp> }
    messageDb: Yardstick
    messageDbOneCategory: Yardstick
  }
}

export interface Workload {
  name: string
  run(bench: Bench): Promise<void>
}

/** Tells people on standard error how far it is. */
export const progress = (text: string): void => {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`)
}
