import { closeSync, fstatSync, openSync, rmSync, writeSync } from 'node:fs'
import type { LogLine } from './driver'
import { LineSplitter } from './line-splitter'
import { segmentPath } from './log-segments'
import { Redactor } from './redactor'
import type { RuntimeLog } from './runtime-log'

const segmentBytes = 10 * 1024 * 1024
const partsKept = 2

/** Where the output of one run of a unit goes. */
export interface LogSink {
  write(stream: LogLine['stream'], chunk: Buffer): void
  /** Writes what came after the last newline and closes the file. */
  end(): void
}

/** One stream of a unit's output on its way to lines. */
class LogStream {
  readonly #redactor: Redactor
  readonly #splitter = new LineSplitter()

  constructor(secrets: readonly Buffer[]) {
    this.#redactor = new Redactor(secrets)
  }

  push(chunk: Buffer): string[] {
    return this.#splitter.push(this.#redactor.push(chunk))
  }

  end(): string[] {
    return [...this.#splitter.push(this.#redactor.end()), ...this.#splitter.end()]
  }
}

/** Where a run's lines go, and the values that must not be among them. */
export interface RunLog {
  directory: string
  uid: string
  run: number
  part: number
  secrets: readonly Buffer[]
}

/** Writes a run's lines, secret values replaced, and begins a new file every 10 MiB. */
export class SegmentWriter implements LogSink {
  readonly #streams: Record<LogLine['stream'], LogStream>
  #file: number | undefined
  #size = 0
  #isFailing = false

  constructor(
    private readonly at: RunLog,
    private readonly written: () => void,
    private readonly log: RuntimeLog,
  ) {
    this.#streams = { stdout: new LogStream(at.secrets), stderr: new LogStream(at.secrets) }
    this.#guard(() => {
      this.#openFile()
    })
  }

  write(stream: LogLine['stream'], chunk: Buffer): void {
    this.#append(stream, this.#streams[stream].push(chunk))
  }

  end(): void {
    this.#append('stdout', this.#streams.stdout.end())
    this.#append('stderr', this.#streams.stderr.end())
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }

  #append(stream: LogLine['stream'], lines: string[]): void {
    if (lines.length === 0) return
    const at = new Date().toISOString()
    const bytes = Buffer.from(
      lines.map((text) => `${JSON.stringify({ at, stream, text } satisfies LogLine)}\n`).join(''),
    )
    this.#guard(() => {
      if (this.#size > 0 && this.#size + bytes.length > segmentBytes) this.#nextPart()
      this.#size += writeSync(this.#file ?? this.#openFile(), bytes)
      this.#isFailing = false
    })
    this.written()
  }

  /** A full disk costs log lines, never the unit. */
  #guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!this.#isFailing) this.log.warn({ instance: this.at.uid, error: String(error) }, 'log lines are being lost')
      this.#isFailing = true
    }
  }

  #openFile(): number {
    const { directory, uid, run, part } = this.at
    this.#file = openSync(segmentPath(directory, uid, run, part), 'a', 0o600)
    this.#size = fstatSync(this.#file).size
    return this.#file
  }

  #nextPart(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
    const { directory, uid, run } = this.at
    this.at.part++
    rmSync(segmentPath(directory, uid, run, this.at.part - partsKept), { force: true })
  }
}
