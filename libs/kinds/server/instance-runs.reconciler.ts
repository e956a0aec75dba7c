import { setTimeout as delay } from 'node:timers/promises'
import type { Fence } from '@mcpctl/event-store'
import type { Connections } from '@mcpctl/gateway'
import { StartError, type Driver, type Drivers, type InstanceOrder } from '@mcpctl/runtime'
import pLimit from 'p-limit'
import type { InstanceObservation } from '../instance/instance.kind'
import { exitReason } from './server.plan'
import type { ServerSaga } from './server.saga'

const STARTS_AT_ONCE = 8
/** Calls in flight get this long to end, then the process gets as long again less a second. */
const DRAIN_MS = 30_000
const STOP_GRACE_SECONDS = 10
const KILL_GRACE_SECONDS = 2
const EXIT_LOOKS = 10
const EXIT_LOOK_MS = 100

export interface RunDependencies {
  drivers: Drivers
  connections: Connections
  saga: ServerSaga
  /** Called when a start or a stop has ended; with the error if it did not do what it should. */
  done(serverUid: string, error?: unknown): void
}

/** The slow acts on instances, one at a time for each: starting and stopping. They report what came of it. */
export class InstanceRuns {
  private readonly running = new Map<string, Promise<void>>()
  private readonly starts = pLimit(STARTS_AT_ONCE)

  constructor(private readonly dependencies: RunDependencies) {}

  /** The instances for which a start or stop is under way now. */
  busy(): ReadonlySet<string> {
    return new Set(this.running.keys())
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.running.values())
  }

  start(fence: Fence, driver: Driver, order: InstanceOrder): void {
    this.once(order, () => this.starts(() => this.startNow(fence, driver, order)))
  }

  /** Drains, stops, removes, and says so. */
  stop(fence: Fence, driver: Driver, instance: { uid: string; serverUid: string }): void {
    const { connections } = this.dependencies
    this.once(instance, async () => {
      await connections.drain(instance.uid, DRAIN_MS)
      connections.drop(instance.uid)
      await driver.stop(instance.uid, STOP_GRACE_SECONDS)
      await this.report(fence, instance.uid, { type: 'ConfirmStopped' })
    })
  }

  /** Ends one that does not answer; it starts again after its backoff. */
  kill(
    fence: Fence,
    driver: Driver,
    instance: { uid: string; serverUid: string; exit: Extract<InstanceObservation, { type: 'ReportExit' }> },
  ): void {
    this.once(instance, async () => {
      this.dependencies.connections.drop(instance.uid)
      const exit = await exitByItself(driver, instance.uid)
      await driver.stop(instance.uid, KILL_GRACE_SECONDS)
      await this.report(fence, instance.uid, exit ?? instance.exit)
    })
  }

  private async startNow(fence: Fence, driver: Driver, order: InstanceOrder): Promise<void> {
    this.dependencies.connections.drop(order.uid)
    try {
      const unit = await driver.start(order)
      await this.report(fence, order.uid, { type: 'ReportStarted', handle: unit.handle, at: now() })
    } catch (error) {
      if (!(error instanceof StartError)) throw error
      const { reason, message } = error
      await this.report(fence, order.uid, { type: 'ReportStartFailure', reason, message, at: now() })
    }
  }

  private async report(fence: Fence, uid: string, observation: InstanceObservation): Promise<void> {
    await this.dependencies.saga.observe(fence, uid, observation)
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
      const { code, signal, oom, at } = unit.exit
      return { type: 'ReportExit', exit: { code, signal, oom, ...exitReason(unit.exit) }, at }
    }
    await delay(EXIT_LOOK_MS)
  }
  return undefined
}

const now = () => new Date().toISOString()
