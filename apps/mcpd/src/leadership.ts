import { reconcilers } from '@mcpctl/kinds/modules'
import { Leader, type Reconciler } from '@mcpctl/reconcile'
import type { DriverName, Drivers } from '@mcpctl/runtime'
import type { Parts } from './assembly'
import { toLines } from './log-lines'
import { ReconcileLoop } from './reconcile/reconcile-loop'

const STOP_GRACE_SECONDS = 10

/** Contends for leadership and runs the reconcilers while it is ours. */
export const lead = ({ store, logger, drivers, daemon, app, connections }: Parts, address: string): Leader => {
  const leader = new Leader({ url: store.url, pool: store.pool, name: 'leader', address, logger: toLines(logger) })
  const dependencies = { log: store.log, follower: store.follower, projector: store.projector, logger }
  leader.onElected(async (term, signal) => {
    logger.info({ term }, 'this daemon leads')
    const loops = reconcilers.map((type) => new ReconcileLoop(app.get<Reconciler>(type), term, dependencies))
    await aborted(signal)
    await Promise.all(loops.map((loop) => loop.stop()))
  })
  leader.onLost(async (reason) => {
    logger.warn({ reason }, 'this daemon leads no more')
    await connections.close()
    // The next leader starts its own; containers stay for it to adopt.
    await stopUnits(drivers, (driver) => driver === 'process')
  })
  daemon.contend(leader)
  leader.start()
  return leader
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
