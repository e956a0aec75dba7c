import type { ChildProcessByStdio } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import type { Connection, InstanceOrder, Unit, UnitExit } from './driver'
import { StartError } from './driver'
import type { LogSink } from './log-writer'
import { signal } from './process-table'
import { StdioChannel } from './stdio-channel'

type Child = ChildProcessByStdio<Writable, Readable, Readable>

/** What is needed to start a unit's process. */
export interface ProcessLaunch {
  order: Pick<InstanceOrder, 'uid' | 'serverUid' | 'templateHash' | 'template'>
  file: string
  args: string[]
  env: Record<string, string>
  directory: string
  /** Loopback port that the process was told to listen on; http only. */
  port: number | undefined
}

/** Most refusals of the operating system come as an event; that arguments and environment are too long is thrown. */
const spawnChild = ({ file, args, directory, env }: ProcessLaunch, sink: LogSink): Child => {
  try {
    return spawn(file, args, {
      cwd: directory,
      env,
      // A group of its own, so that a signal reaches the children of the process too and no signal of ours reaches it by accident.
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
  } catch (error) {
    sink.end()
    throw refused(error as NodeJS.ErrnoException)
  }
}

/** The error itself may carry the arguments, so only its code is told. */
const refused = ({ code = 'unknown error' }: NodeJS.ErrnoException): StartError => {
  const hint =
    code === 'E2BIG' ? ': arguments and environment are too long together; hand long values over as files' : ''
  return new StartError('RunContainerError', `the program could not be started: ${code}${hint}`)
}

/** One child process and its group, from the start to the exit. */
export class ProcessUnit {
  readonly #startedAt = new Date().toISOString()
  readonly #stdio: StdioChannel
  readonly #exited: Promise<void>
  #exit: UnitExit | undefined

  /** Resolves once the process runs. Throws StartError RunContainerError when the operating system refuses. */
  readonly spawned: Promise<void>
  private readonly child: Child
  private readonly launch: Pick<ProcessLaunch, 'order' | 'port'>

  constructor(
    launch: ProcessLaunch,
    private readonly sink: LogSink,
    private readonly changed: () => void,
  ) {
    // The environment may hold values of secrets, which are of no use here once the process has them.
    this.launch = { order: launch.order, port: launch.port }
    const child = spawnChild(launch, sink)
    this.child = child
    this.#stdio = new StdioChannel(child.stdin)
    this.#exited = new Promise((resolve) => {
      const onEnd = (code: number | null, signalName: string | null) => {
        this.#onEnd({ code, signal: signalName, oom: false, at: new Date().toISOString() })
        resolve()
      }
      child.once('exit', onEnd)
      child.once('error', () => {
        if (child.pid === undefined) onEnd(null, null)
      })
    })
    this.spawned = this.#awaitSpawn()
    this.#wireStreams()
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  get isRunning(): boolean {
    return this.#exit === undefined
  }

  describe(): Unit {
    const { uid, serverUid, templateHash } = this.launch.order
    const unit = { instanceUid: uid, serverUid, templateHash, handle: String(this.pid), startedAt: this.#startedAt }
    return this.#exit ? { ...unit, state: 'exited', exit: this.#exit } : { ...unit, state: 'running' }
  }

  connect(): Connection {
    if (!this.isRunning) throw new Error('the process has ended')
    const { port, order } = this.launch
    if (port === undefined) return this.#stdio.connect()
    return { transport: 'http', url: `http://127.0.0.1:${String(port)}${order.template.path ?? '/mcp'}` }
  }

  /** End of input, SIGTERM, SIGKILL; resolves when the process has ended. */
  async stop(graceSeconds: number): Promise<void> {
    const graceMs = graceSeconds * 1000
    if (this.launch.port === undefined) {
      this.child.stdin.end()
      if (await this.#endsWithin(graceMs / 3)) return
      this.#signal('SIGTERM')
      if (await this.#endsWithin((graceMs * 2) / 3)) return
    } else {
      this.#signal('SIGTERM')
      if (await this.#endsWithin(graceMs)) return
    }
    this.#signal('SIGKILL')
    await this.#exited
  }

  #awaitSpawn(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.child.once('spawn', resolve)
      this.child.on('error', (error: NodeJS.ErrnoException) => {
        reject(refused(error))
      })
    })
  }

  #wireStreams(): void {
    const { stdin, stdout, stderr } = this.child
    const isMcp = this.launch.port === undefined
    // Writing to a process that has just died is no error of the daemon's.
    stdin.on('error', () => undefined)
    stdout.on('error', () => undefined)
    stderr.on('error', () => undefined)
    stdout.on('data', (chunk: Buffer) => {
      if (isMcp) this.#stdio.push(chunk)
      else this.sink.write('stdout', chunk)
    })
    stderr.on('data', (chunk: Buffer) => {
      this.sink.write('stderr', chunk)
    })
    this.child.once('close', () => {
      this.#stdio.end()
      this.sink.end()
    })
  }

  #onEnd(exit: UnitExit): void {
    this.#exit = exit
    // What the process started must not outlive it, and would keep its pipes open.
    if (this.pid > 0) signal(-this.pid, 'SIGKILL')
    this.changed()
  }

  #signal(name: NodeJS.Signals): void {
    if (this.isRunning && this.pid > 0) signal(-this.pid, name)
  }

  async #endsWithin(ms: number): Promise<boolean> {
    if (!this.isRunning) return true
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, ms, false)
    })
    try {
      return await Promise.race([this.#exited.then(() => true), late])
    } finally {
      clearTimeout(timer)
    }
  }
}
