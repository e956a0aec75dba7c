import { setTimeout as delay } from 'node:timers/promises'
import { reconcilers } from '@mcpctl/kinds/modules'
import { Leader, type Reconciler } from '@mcpctl/reconcile'
import type { DriverName, Drivers } from '@mcpctl/runtime'
import type { Parts } from './assembly'
import { toLines } from './log'
import { ReconcileLoop } from './reconcile/reconcile-loop'
import { RebuildLoop } from './store/rebuild-loop'

const NAME = 'leader'
const STOP_GRACE_SECONDS = 10
const LOOK_MS = 1_000
/** Who cannot find out for so long whether another daemon leads takes it that one does. */
const LEAVE_AFTER_MS = 30_000

/** Contends for leadership and runs the reconcilers while it is ours. */
export const lead = (parts: Parts, address: string): Leader => {
  const { store, logger, daemon, app } = parts
  const leader = new Leader({ url: store.url, pool: store.pool, name: NAME, address, logger: toLines(logger) })
  const dependencies = { log: store.log, follower: store.follower, projector: store.projector, logger }
  leader.onElected(async (term, signal) => {
    logger.info({ term }, 'this daemon leads')
    const reign = { name: NAME, term, signal }
    const loops = [
      ...reconcilers.map((type) => new ReconcileLoop(app.get<Reconciler>(type), reign, dependencies)),
      new RebuildLoop(store, logger),
    ]
    await aborted(signal)
    await Promise.all(loops.map((loop) => loop.stop()))
  })
  leader.onLost((reason) => {
    if (daemon.isEnding) return
    logger.warn({ reason }, 'this daemon leads no more')
    // Nobody else runs on our own database: it is away for a moment, and the instances need not notice.
    if (!store.embedded) void leaveToNext(parts, leader, address)
  })
  daemon.contend(leader, address)
  leader.start()
  return leader
}

/**
 * Not leading means not acting; what runs runs on, since leadership may well come back. Once another daemon leads, it starts copies of its own,
 * so ours end. Containers stay for it to adopt.
 */
const leaveToNext = async (
  { drivers, connections, daemon, logger }: Parts,
  leader: Leader,
  address: string,
): Promise<void> => {
  const deadline = performance.now() + LEAVE_AFTER_MS
  for (;;) {
    await delay(LOOK_MS)
    if (leader.current() || daemon.isEnding) return
    const holder = await leader.leaderAddress().catch(() => undefined)
    const isAnother = holder !== undefined && holder !== address
    if (isAnother || performance.now() > deadline) break
  }
  logger.warn('another daemon leads: the instances of this one end')
  await connections.close()
  await stopUnits(drivers, (driver) => driver === 'process')
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => {
      resolve()
    })
  })

/** Stops the units of the drivers that are chosen; one that cannot be stopped does not keep the others. */
export const stopUnits = async (drivers: Drivers, chosen: (driver: DriverName) => boolean): Promise<void> => {
  const { units } = await drivers.list()
  const stops = units.filter(({ driver }) => chosen(driver))
  await Promise.allSettled(
    stops.map(({ driver, instanceUid }) => drivers.get(driver).stop(instanceUid, STOP_GRACE_SECONDS)),
  )
}
