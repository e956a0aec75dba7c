import { modelStatus } from '@mcpctl/event-store'
import type { Store } from '../store/store'

/** How the projector is, wherever it runs: this daemon may merely look on while another one fails. */
export const projectorStatus = async ({ pool, projector, parked }: Store) => {
  const own = projector.status()
  const [model, waiting] = await Promise.all([modelStatus(pool, own.name), parked.list(own.name)])
  const position = model.position > own.position ? model.position : own.position
  const { status, lastError } = own.status === 'running' ? model : own
  const { rebuild } = model
  return {
    name: own.name,
    position: String(position),
    lag: Number(model.head > position ? model.head - position : 0n),
    status,
    ...(lastError !== undefined && { lastError }),
    parked: waiting.length,
    ...(rebuild && { rebuild: { ...rebuild, position: String(rebuild.position) } }),
  }
}
