import { setTimeout as delay } from 'node:timers/promises'
import type { Driver, LogLine, LogOptions } from './driver'

/** One instance whose lines are wanted. */
export interface LogSource {
  uid: string
  name: string
  driver: Pick<Driver, 'logs'>
}

/** A line and the instance that wrote it; the stream `system` marks seams. */
export interface InstanceLine {
  instance: string
  at: string
  stream: LogLine['stream'] | 'system'
  text: string
}

const LOOK_AGAIN_MS = 500
const MAX_QUEUED = 1_000

/** Every line there is, all instances together, oldest first; `tail` counts for each instance. */
async function* past(sources: LogSource[], options: LogOptions): AsyncGenerator<InstanceLine> {
  const all = await Promise.all(
    sources.map(async ({ uid, name, driver }) => {
      const lines: InstanceLine[] = []
      for await (const line of driver.logs(uid, { ...options, follow: false })) lines.push({ instance: name, ...line })
      return lines
    }),
  )
  yield* all.flat().sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
}

/**
 * The lines of several instances as one stream. With `follow` it goes on until the signal fires: instances that come later join by themselves,
 * those that go are marked. `sources` is asked again and again.
 */
export async function* mergedLogs(
  sources: () => Promise<LogSource[]>,
  options: LogOptions & { signal: AbortSignal },
): AsyncGenerator<InstanceLine> {
  if (options.follow !== true) {
    yield* past(await sources(), options)
    return
  }
  const queue: InstanceLine[] = []
  let wake: () => void = () => undefined
  const push = async (line: InstanceLine) => {
    while (queue.length >= MAX_QUEUED && !options.signal.aborted) await delay(20)
    queue.push(line)
    wake()
  }
  const watching = watch(sources, options, push).catch((error: unknown) => {
    if (!options.signal.aborted) throw error
  })
  const aborted = new Promise<void>((resolve) =>
    options.signal.addEventListener('abort', () => resolve(), { once: true }),
  )
  while (!options.signal.aborted) {
    const line = queue.shift()
    if (line) yield line
    else await Promise.race([new Promise<void>((resolve) => (wake = resolve)), aborted, watching])
  }
}

/** Follows each instance once for as long as it exists. */
const watch = async (
  sources: () => Promise<LogSource[]>,
  options: LogOptions & { signal: AbortSignal },
  push: (line: InstanceLine) => Promise<void>,
): Promise<void> => {
  const followed = new Map<string, AbortController>()
  let first = true
  while (!options.signal.aborted) {
    const present = await sources()
    for (const source of present) {
      if (followed.has(source.uid)) continue
      const ended = new AbortController()
      followed.set(source.uid, ended)
      if (!first) await push(mark(source.name, 'joined'))
      // A newcomer is shown from its first line.
      const { tail: _, ...all } = options
      void follow(source, { ...(first ? options : all), signal: AbortSignal.any([options.signal, ended.signal]) }, push)
    }
    for (const [uid, ended] of followed) {
      if (present.some((source) => source.uid === uid)) continue
      ended.abort()
      followed.delete(uid)
    }
    first = false
    await delay(LOOK_AGAIN_MS, undefined, { signal: options.signal }).catch(() => undefined)
  }
}

const follow = async (
  { uid, name, driver }: LogSource,
  options: LogOptions & { signal: AbortSignal },
  push: (line: InstanceLine) => Promise<void>,
): Promise<void> => {
  try {
    for await (const line of driver.logs(uid, options)) await push({ instance: name, ...line })
  } catch (error) {
    if (!options.signal.aborted)
      await push(mark(name, `log ended: ${error instanceof Error ? error.message : String(error)}`))
  }
}

const mark = (instance: string, text: string): InstanceLine => ({
  instance,
  at: new Date().toISOString(),
  stream: 'system',
  text,
})
