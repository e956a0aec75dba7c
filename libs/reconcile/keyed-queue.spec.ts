import { describe, expect, it } from '@jest/globals'
import { KeyedQueue, TerminalError, type Clock } from '@mcpctl/reconcile'

/** Stands still until it is told to move on; timers due on the way fire in order. */
class ManualClock implements Clock {
  private time = 0
  private timers: { at: number; call: () => void }[] = []

  constructor(readonly random = () => 0.5) {}

  now() {
    return this.time
  }

  schedule(milliseconds: number, call: () => void) {
    const timer = { at: this.time + milliseconds, call }
    this.timers.push(timer)
    return () => {
      this.timers = this.timers.filter((other) => other !== timer)
    }
  }

  async advance(milliseconds: number) {
    await settled()
    const end = this.time + milliseconds
    for (;;) {
      const [next] = this.timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
      if (!next) break
      this.timers = this.timers.filter((timer) => timer !== next)
      this.time = next.at
      next.call()
      await settled()
    }
    this.time = end
    await settled()
  }

  get pending() {
    return this.timers.length
  }
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Work that ends when the test says so. */
const controlled = () => {
  const open = new Map<string, () => void>()
  const log: string[] = []
  const work = async (key: string) => {
    log.push(`${key} begins`)
    await new Promise<void>((resolve) => open.set(key, resolve))
    open.delete(key)
    log.push(`${key} ends`)
    return undefined
  }
  const finish = async (key: string) => {
    open.get(key)?.()
    await settled()
  }
  return { log, work, finish, open }
}

/** Notes when each key was worked on; fails as often as told. */
const recorded = (clock: ManualClock, outcomes: (number | undefined | Error)[] = []) => {
  const at: number[] = []
  const work = (): Promise<number | undefined> => {
    at.push(clock.now())
    const outcome = outcomes.shift()
    return outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome)
  }
  return { at, work }
}

const down = () => new Error('the engine is down')

describe('a queue', () => {
  it('works on a key once, however often it was added before', async () => {
    const { log, work, finish } = controlled()
    const queue = new KeyedQueue({ work, workers: 2 })
    queue.add('a')
    queue.add('a')
    queue.add('a')
    await settled()
    await finish('a')
    expect(log).toEqual(['a begins', 'a ends'])
  })

  it('works again on a key that was added while it was in work, never twice at a time', async () => {
    const { log, work, finish } = controlled()
    const queue = new KeyedQueue({ work, workers: 2 })
    queue.add('a')
    await settled()
    queue.add('a')
    queue.add('a')
    await settled()
    expect(log).toEqual(['a begins'])
    await finish('a')
    await finish('a')
    expect(log).toEqual(['a begins', 'a ends', 'a begins', 'a ends'])
  })

  it('works on as many keys at a time as it has workers, in the order they came', async () => {
    const { log, work, finish, open } = controlled()
    const queue = new KeyedQueue({ work, workers: 2 })
    for (const key of ['a', 'b', 'c', 'd']) queue.add(key)
    await settled()
    expect([...open.keys()]).toEqual(['a', 'b'])
    await finish('b')
    expect([...open.keys()]).toEqual(['a', 'c'])
    await finish('a')
    await finish('c')
    await finish('d')
    expect(log.filter((line) => line.endsWith('begins'))).toEqual(['a begins', 'b begins', 'c begins', 'd begins'])
    expect(open.size).toBe(0)
  })

  it('does not let a key that is added all the time keep others waiting', async () => {
    const seen: string[] = []
    const queue: KeyedQueue = new KeyedQueue({
      workers: 1,
      work: (key) => {
        seen.push(key)
        if (key === 'busy' && seen.length < 10) queue.add('busy')
        return Promise.resolve(undefined)
      },
    })
    queue.add('busy')
    queue.add('other')
    await settled()
    expect(seen.slice(0, 3)).toEqual(['busy', 'other', 'busy'])
  })
})

describe('failing work', () => {
  it('is tried again after 5 ms, doubling up to the longest wait', async () => {
    const clock = new ManualClock()
    const { at, work } = recorded(clock, Array.from({ length: 8 }, down))
    const queue = new KeyedQueue({ work, workers: 1, clock, maxDelay: 100 })
    queue.add('a')
    await clock.advance(10_000)
    expect(at).toEqual([0, 5, 15, 35, 75, 155, 255, 355, 455])
  })

  it('spreads its tries by a tenth either way', async () => {
    for (const [random, second] of [
      [0, 4.5],
      [0.999999, 5.5],
    ] as const) {
      const clock = new ManualClock(() => random)
      const { at, work } = recorded(clock, [down()])
      new KeyedQueue({ work, workers: 1, clock }).add('a')
      await clock.advance(100)
      expect(at[1]).toBeCloseTo(second, 3)
    }
  })

  it('begins with a short wait again once it has succeeded', async () => {
    const clock = new ManualClock()
    const { at, work } = recorded(clock, [down(), down(), undefined, down()])
    const queue = new KeyedQueue({ work, workers: 1, clock })
    queue.add('a')
    await clock.advance(100)
    queue.add('a')
    await clock.advance(100)
    expect(at).toEqual([0, 5, 15, 100, 105])
  })

  it('is tried at once when something changed meanwhile', async () => {
    const clock = new ManualClock()
    const { at, work } = recorded(clock, Array.from({ length: 12 }, down))
    const queue = new KeyedQueue({ work, workers: 1, clock })
    queue.add('a')
    await clock.advance(6_000)
    const before = at.length
    queue.add('a')
    await settled()
    expect(at.length).toBe(before + 1)
    expect(at.at(-1)).toBe(6_000)
  })

  it('rests when trying again cannot help, until it is added again', async () => {
    const clock = new ManualClock()
    const { at, work } = recorded(clock, [new TerminalError('no such image')])
    const queue = new KeyedQueue({ work, workers: 1, clock })
    queue.add('a')
    await clock.advance(3_600_000)
    expect(at).toEqual([0])
    queue.add('a')
    await clock.advance(1)
    expect(at).toHaveLength(2)
  })

  it('does not disturb other keys and is reported with its wait', async () => {
    const clock = new ManualClock()
    const reports: unknown[] = []
    const done: string[] = []
    const queue = new KeyedQueue({
      workers: 1,
      clock,
      work: (key) => (key === 'bad' ? Promise.reject(down()) : (done.push(key), Promise.resolve(undefined))),
      onFailure: ({ key, failures, retryIn }) => reports.push({ key, failures, retryIn }),
    })
    queue.add('bad')
    queue.add('good')
    await clock.advance(5)
    expect(done).toEqual(['good'])
    expect(reports).toEqual([
      { key: 'bad', failures: 1, retryIn: 5 },
      { key: 'bad', failures: 2, retryIn: 10 },
    ])
    await queue.stop()
  })

  it('that failed after it was begun is tried with growing waits, although the beginning succeeds each time', async () => {
    const clock = new ManualClock()
    const { at, work } = recorded(clock)
    const queue: KeyedQueue = new KeyedQueue({
      workers: 1,
      clock,
      maxDelay: 1_000,
      work: async () => {
        await work()
        if (at.length < 5) queue.addFailed('a', down())
        return undefined
      },
    })
    queue.add('a')
    await clock.advance(2_000)
    expect(at).toEqual([0, 5, 15, 35, 75])
    await clock.advance(2_000)
    queue.addFailed('a', down())
    await clock.advance(100)
    expect(at.at(-1)).toBe(4_005)
  })
})

describe('a reminder', () => {
  it('has the key worked on when it is due', async () => {
    const clock = new ManualClock()
    const { at, work } = recorded(clock, [250, 40, undefined])
    const queue = new KeyedQueue({ work, workers: 1, clock })
    queue.add('a')
    await clock.advance(1_000)
    expect(at).toEqual([0, 250, 290])
  })

  it('counts once, at its earliest', async () => {
    const clock = new ManualClock()
    const { at, work } = recorded(clock)
    const queue = new KeyedQueue({ work, workers: 1, clock })
    queue.addAfter('a', 500)
    queue.addAfter('a', 100)
    queue.addAfter('a', 900)
    await clock.advance(10_000)
    expect(at).toEqual([100])
  })
})

describe('stopping', () => {
  it('waits for work under way and begins none', async () => {
    const { log, work, finish } = controlled()
    const clock = new ManualClock()
    const queue = new KeyedQueue({ work, workers: 1, clock })
    queue.add('a')
    queue.add('b')
    queue.addAfter('c', 10)
    await settled()
    let stopped = false
    const stop = queue.stop().then(() => (stopped = true))
    queue.add('d')
    queue.addAfter('e', 1)
    queue.addFailed('f', down())
    await clock.advance(1_000)
    expect(stopped).toBe(false)
    await finish('a')
    await stop
    await clock.advance(1_000)
    expect(log).toEqual(['a begins', 'a ends'])
    expect(clock.pending).toBe(0)
  })

  it('leaves no retry behind when the work under way fails', async () => {
    const clock = new ManualClock()
    const { at, work } = recorded(clock, [down()])
    const queue = new KeyedQueue({ work, workers: 1, clock })
    queue.add('a')
    await queue.stop()
    await clock.advance(1_000)
    expect(at).toEqual([0])
    expect(clock.pending).toBe(0)
  })
})
