/** What one round of one store gave. */
export interface Round {
  /** In the unit of the measurement, per second. */
  rate: number
  /** Milliseconds that a single operation took, where each was timed. */
  p50?: number
  p99?: number
}

const ascending = (a: number, b: number) => a - b

export const median = (values: number[]): number => {
  const sorted = [...values].sort(ascending)
  const middle = Math.floor(sorted.length / 2)
  const [low = NaN, high = NaN] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]]
  return (low + high) / 2
}

/** The value below which this share of the sorted values lies. */
const quantile = (sorted: number[], share: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]

/** Of latencies in any order. */
export const quantiles = (latencies: number[]): { p50: number; p99: number } => {
  const sorted = [...latencies].sort(ascending)
  return { p50: quantile(sorted, 0.5) ?? NaN, p99: quantile(sorted, 0.99) ?? NaN }
}

/** Lets `workers` repeat `operate` side by side until the time is up, and waits for what is under way. */
export const repeat = async (
  workers: number,
  seconds: number,
  operate: (worker: number) => Promise<void>,
): Promise<Round & { operations: number }> => {
  globalThis.gc?.()
  const latencies: number[] = []
  const began = performance.now()
  const end = began + seconds * 1000
  const work = async (worker: number) => {
    for (let before = performance.now(); before < end;) {
      await operate(worker)
      const after = performance.now()
      latencies.push(after - before)
      before = after
    }
  }
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)))
  const elapsed = (performance.now() - began) / 1000
  const operations = latencies.length
  return { operations, rate: operations / elapsed, ...quantiles(latencies) }
}

/** Seconds that `work` takes. */
export const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  globalThis.gc?.()
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}

/** One participant of a measurement, made ready. */
export interface Lane {
  name: string
  round(): Promise<Round>
}

/** Rounds A B C, C B A, A B C …, so that a busy moment of the machine, and what the one before has left in memory, hits all alike. */
export const interleave = async (
  lanes: Lane[],
  rounds: number,
  before: () => Promise<void>,
): Promise<Map<string, Round[]>> => {
  const results = new Map<string, Round[]>(lanes.map(({ name }) => [name, []]))
  for (let nth = 0; nth < rounds; nth++)
    for (const lane of nth % 2 === 0 ? lanes : lanes.toReversed()) {
      await before()
      results.get(lane.name)?.push(await lane.round())
    }
  return results
}
