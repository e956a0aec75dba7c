import { setTimeout as delay } from 'node:timers/promises'
import type { Connections } from '@mcpctl/gateway'
import type { Term } from '@mcpctl/reconcile'
import { StartError, type Driver, type Drivers, type InstanceOrder, type Unit } from '@mcpctl/runtime'
import pLimit from 'p-limit'
import type { InstanceObservation, SecretVersions } from '../instance/instance.kind'
import { wipeFiles, type InstanceInputsReader } from './instance-inputs.reconciler'
import { exitReason } from './server.plan'
import type { ServerSaga } from './server.saga'

const STARTS_AT_ONCE = 8
/** Calls in flight get this long to end, then the process gets as long again less a second. */
const DRAIN_MS = 30_000
const STOP_GRACE_SECONDS = 10
const KILL_GRACE_SECONDS = 2
const IDLE_MS = 10_000
const EXIT_LOOKS = 30
const EXIT_LOOK_MS = 100

/** An order whose secrets are still sealed. */
export type SealedOrder = Omit<InstanceOrder, 'inputs'> & { secrets?: SecretVersions }

export interface RunDependencies {
  drivers: Drivers
  inputs: InstanceInputsReader
  connections: Connections
  saga: ServerSaga
  /** Called when a start or a stop has ended; with the error if it did not do what it should. */
  done(serverUid: string, error?: unknown): void
}

/** The slow acts on instances, one at a time for each: starting and stopping. They report what came of it. */
export class InstanceRuns {
  private readonly running = new Map<string, Promise<void>>()
  private readonly starting = new Map<string, AbortController>()
  private readonly starts = pLimit(STARTS_AT_ONCE)

  constructor(private readonly dependencies: RunDependencies) {}

  /** The instances for which a start or stop is under way now. */
  busy(): ReadonlySet<string> {
    return new Set(this.running.keys())
  }

  /** Resolves when nothing is under way any more, after IDLE_MS at the latest: the next leader does what is left. */
  async idle(): Promise<void> {
    await Promise.race([Promise.allSettled(this.running.values()), delay(IDLE_MS, undefined, { ref: false })])
  }

  /** Fetches what the template needs, then starts it; neither once the term is over or the start was cancelled. */
  start(term: Term, driver: Driver, order: SealedOrder): void {
    this.once(order, async () => {
      const cancel = new AbortController()
      this.starting.set(order.uid, cancel)
      try {
        await this.startNow(driver, order, { term, signal: AbortSignal.any([term.signal, cancel.signal]) })
      } finally {
        this.starting.delete(order.uid)
      }
    })
  }

  /** Gives up a start that still waits for its package or image; nobody wants the instance any more. */
  cancelStart(uid: string): void {
    this.starting.get(uid)?.abort()
  }

  /** Drains, stops, removes, and says so. */
  stop(term: Term, driver: Driver, instance: { uid: string; serverUid: string }): void {
    const { connections } = this.dependencies
    this.once(instance, async () => {
      await connections.drain(instance.uid, DRAIN_MS)
      connections.drop(instance.uid)
      await driver.stop(instance.uid, STOP_GRACE_SECONDS)
      await this.report(term, instance.uid, { type: 'ConfirmStopped' })
    })
  }

  /** Ends one that does not answer; it starts again after its backoff. */
  kill(
    term: Term,
    driver: Driver,
    instance: { uid: string; serverUid: string; exit: Extract<InstanceObservation, { type: 'ReportExit' }> },
  ): void {
    this.once(instance, async () => {
      this.dependencies.connections.drop(instance.uid)
      const exit = await exitByItself(driver, instance.uid)
      // Said first: ended and not said, it would look like a child that its daemon lost, and start again without backoff.
      await this.report(term, instance.uid, exit ?? instance.exit)
      await driver.stop(instance.uid, KILL_GRACE_SECONDS)
    })
  }

  private async startNow(
    driver: Driver,
    order: SealedOrder,
    { term, signal }: { term: Term; signal: AbortSignal },
  ): Promise<void> {
    this.dependencies.connections.drop(order.uid)
    try {
      // What is fetched is kept for the next start, even when this one is given up.
      await Promise.race([driver.prepare(order.template), aborted(signal)])
      const unit = await this.starts(() => (signal.aborted ? undefined : this.open(driver, order)))
      if (unit) await this.report(term, order.uid, { type: 'ReportStarted', handle: unit.handle, at: now() })
    } catch (error) {
      if (!(error instanceof StartError)) throw error
      const { reason, message } = error
      await this.report(term, order.uid, { type: 'ReportStartFailure', reason, message, at: now() })
    }
  }

  /** Secrets are opened as late as can be, and are let go of as soon as the unit has them. */
  private async open(driver: Driver, { secrets, ...order }: SealedOrder): Promise<Unit> {
    const inputs = await this.dependencies.inputs.read(order.template, secrets)
    try {
      return await driver.start({ ...order, inputs })
    } finally {
      wipeFiles(inputs)
    }
  }

  private async report(term: Term, uid: string, observation: InstanceObservation): Promise<void> {
    await this.dependencies.saga.observe(term, uid, observation)
  }

  private once({ uid, serverUid }: { uid: string; serverUid: string }, act: () => Promise<void>): void {
    if (this.running.has(uid)) return
    // What failed is seen and planned again: the driver's list and the log are the truth, not this run.
    const run = act().then(
      () => this.ended(uid, serverUid),
      (error: unknown) => this.ended(uid, serverUid, error),
    )
    this.running.set(uid, run)
  }

  private ended(uid: string, serverUid: string, error?: unknown): void {
    this.running.delete(uid)
    this.dependencies.done(serverUid, error)
  }
}

/** A server that ends closes its connection first, and is seen to be gone a moment later; how it ended says more than that it did not answer. */
const exitByItself = async (driver: Driver, uid: string): Promise<InstanceObservation | undefined> => {
  for (let look = 0; look < EXIT_LOOKS; look++) {
    const unit = (await driver.list()).find(({ instanceUid }) => instanceUid === uid)
    if (unit?.exit) {
      const { code, signal, oom } = unit.exit
      return { type: 'ReportExit', exit: { code, signal, oom, ...exitReason(unit.exit) }, at: now() }
    }
    await delay(EXIT_LOOK_MS)
  }
  return undefined
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => {
      resolve()
    })
  })

const now = () => new Date().toISOString()
