import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import type { LogLine, LogOptions } from './driver'
import type { LogSink } from './log-writer'
import { SegmentWriter } from './log-writer'
import type { LogSegment } from './log-segments'
import {
  listAllSegments,
  listSegments,
  readSegment,
  readTail,
  removeSegments,
  segmentPath,
  writtenAt,
} from './log-segments'
import { redactText } from './redactor'
import type { RuntimeLog } from './runtime-log'

const earlierRunsKept = 3
const goneUnitsKept = 64
const goneUnitsKeptMs = 60 * 60 * 1000

/** Where a reader stands; before the oldest line when there is no segment yet. */
interface Cursor {
  segment: LogSegment | undefined
  offset: number
}

/**
 * Logs of units as files of JSON lines. A run starts a new file; so does every 10 MiB. Kept: the last two files of a run, three runs back.
 * Writing is synchronous: a line is readable as soon as it was taken, and nothing queues up in memory.
 */
export class InstanceLogs {
  readonly #waiting = new Map<string, Set<() => void>>()
  readonly #secrets = new Map<string, readonly Buffer[]>()
  #closed = false

  constructor(
    private readonly directory: string,
    private readonly log: RuntimeLog,
  ) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  }

  /** Begins the next run of a unit, or goes on with its latest one. What it writes of `secrets` is replaced before it reaches the file. */
  open(uid: string, mode: 'next-run' | 'same-run', secrets: readonly Buffer[] = []): LogSink {
    this.#secrets.set(uid, secrets)
    const runs = this.#parts(uid)
    const latest = Math.max(0, ...runs.keys())
    const run = mode === 'next-run' ? latest + 1 : Math.max(1, latest)
    for (const old of runs.keys()) if (old < run - earlierRunsKept) this.#remove(uid, old, runs.get(old) ?? [])
    return new SegmentWriter(
      { directory: this.directory, uid, run, part: Math.max(1, ...(runs.get(run) ?? [])), secrets },
      () => {
        this.#wake(uid)
      },
      this.log,
    )
  }

  /** Replaces in other texts of a unit what is replaced in the lines of its latest run. */
  redactor(uid: string): (text: string) => string {
    const secrets = this.#secrets.get(uid) ?? []
    return (text) => redactText(secrets, text)
  }

  async *read(uid: string, options: LogOptions): AsyncGenerator<LogLine> {
    const from = options.since === undefined ? undefined : Date.parse(options.since)
    const isWanted = (line: LogLine) => from === undefined || Date.parse(line.at) >= from
    for await (const line of this.#lines(uid, options)) {
      if (options.signal?.aborted) return
      if (isWanted(line)) yield line
    }
  }

  async *#lines(uid: string, { tail, follow, signal }: LogOptions): AsyncGenerator<LogLine> {
    const cursor: Cursor = { segment: undefined, offset: 0 }
    if (tail !== undefined) {
      const last = await readTail(await listSegments(this.directory, uid), tail)
      yield* last.lines
      Object.assign(cursor, last.end)
    }
    for (;;) {
      const goesOn = follow === true && !signal?.aborted && !this.#closed
      // Armed before looking, so that what is written meanwhile wakes us.
      const change = goesOn ? this.#nextChange(uid, signal) : undefined
      try {
        yield* this.#readOn(uid, cursor)
        if (!change) return
        await change.happened
      } finally {
        change?.cancel()
      }
    }
  }

  /** What was written behind the cursor, which moves on. */
  async *#readOn(uid: string, cursor: Cursor): AsyncGenerator<LogLine> {
    for (const segment of await listSegments(this.directory, uid)) {
      if (cursor.segment && isBefore(segment, cursor.segment)) continue
      if (!cursor.segment || isBefore(cursor.segment, segment)) Object.assign(cursor, { segment, offset: 0 })
      for await (const { lines, next } of readSegment(segment, cursor.offset)) {
        yield* lines
        cursor.offset = next
      }
    }
  }

  /** Forgets units that are gone, except the logs of the last hour's: a restart may bring them back. */
  async sweep(known: ReadonlySet<string>): Promise<void> {
    const gone = [...(await listAllSegments(this.directory))].filter(([uid]) => !known.has(uid))
    const aged = await Promise.all(
      gone.map(async ([uid, segments]) => ({
        uid,
        segments,
        at: Math.max(...(await Promise.all(segments.map(writtenAt)))),
      })),
    )
    const kept = Date.now() - goneUnitsKeptMs
    const old = aged.sort((a, b) => b.at - a.at).filter(({ at }, index) => index >= goneUnitsKept || at < kept)
    for (const { uid } of old) this.#secrets.delete(uid)
    await Promise.all(old.map(({ segments }) => removeSegments(segments)))
  }

  /** Ends everybody who follows. */
  close(): void {
    this.#closed = true
    this.#secrets.clear()
    for (const uid of [...this.#waiting.keys()]) this.#wake(uid)
  }

  #parts(uid: string): Map<number, number[]> {
    const runs = new Map<number, number[]>()
    for (const file of readdirSync(this.directory)) {
      const [name, run, part] = file.split('.')
      if (name === uid) runs.set(Number(run), [...(runs.get(Number(run)) ?? []), Number(part)])
    }
    return runs
  }

  #remove(uid: string, run: number, parts: number[]): void {
    for (const part of parts) rmSync(segmentPath(this.directory, uid, run, part), { force: true })
  }

  #nextChange(uid: string, signal: AbortSignal | undefined): { happened: Promise<void>; cancel: () => void } {
    const waiting = this.#waiting.get(uid) ?? new Set()
    this.#waiting.set(uid, waiting)
    let cancel = (): void => undefined
    const happened = new Promise<void>((resolve) => {
      cancel = () => {
        waiting.delete(cancel)
        if (waiting.size === 0 && this.#waiting.get(uid) === waiting) this.#waiting.delete(uid)
        signal?.removeEventListener('abort', cancel)
        resolve()
      }
    })
    waiting.add(cancel)
    signal?.addEventListener('abort', cancel)
    return { happened, cancel }
  }

  #wake(uid: string): void {
    for (const done of [...(this.#waiting.get(uid) ?? [])]) done()
  }
}

const isBefore = (a: LogSegment, b: LogSegment) => a.run < b.run || (a.run === b.run && a.part < b.part)
