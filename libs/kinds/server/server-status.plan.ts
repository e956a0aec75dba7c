import type { ConditionReason } from '@mcpctl/contracts'
import type { ObservedCondition, ServerObservation } from './server.decider'
import type { PlannedInstance, PlannedServer } from './server.plan'

interface Counted {
  server: PlannedServer
  live: PlannedInstance[]
  updated: number
  ready: number
  /** Ready and of the newest template. */
  current: number
  failing: PlannedInstance | undefined
}

const isFailing = ({ state, reason }: PlannedInstance) =>
  state === 'waiting' && reason !== 'DaemonRestarted' && reason !== 'NodeLost'

const count = (server: PlannedServer, instances: PlannedInstance[]): Counted => {
  const live = instances.filter(({ state }) => state !== 'draining')
  const updated = live.filter(({ templateHash }) => templateHash === server.templateHash)
  const failing = [...live].sort((a, b) => b.failures - a.failures).find(isFailing)
  const ready = live.filter((instance) => instance.ready)
  const current = updated.filter((instance) => instance.ready).length
  return { server, live, updated: updated.length, ready: ready.length, current, failing }
}

const isComplete = ({ server, live, current }: Counted) =>
  current === server.replicas && live.length === server.replicas

const phaseOf = (counted: Counted): string => {
  const { server, live, ready, failing } = counted
  if (server.deleting) return 'Terminating'
  if (live.some(({ unit }) => unit === 'unknown')) return 'Unknown'
  if (isComplete(counted)) return 'Running'
  if (!failing) return 'Progressing'
  return ready >= server.replicas ? 'Degraded' : failing.phase
}

const conditionsOf = (counted: Counted): ObservedCondition[] => {
  const { server, ready, current, failing } = counted
  const { replicas, generation: observedGeneration } = server
  const available = ready >= replicas && !server.deleting
  const complete = isComplete(counted)
  const reasonAvailable: ConditionReason = available ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable'
  return [
    {
      type: 'Available',
      status: available ? 'True' : 'False',
      reason: server.deleting ? 'Terminating' : replicas === 0 ? 'ScaledToZero' : reasonAvailable,
      message: `${String(ready)} of ${String(replicas)} replicas are available`,
      observedGeneration,
    },
    {
      type: 'Progressing',
      status: complete ? 'False' : 'True',
      reason: complete ? 'RolloutComplete' : 'RolloutInProgress',
      message: `${String(current)} of ${String(replicas)} replicas are up to date and ready`,
      observedGeneration,
    },
    {
      type: 'Degraded',
      status: failing ? 'True' : 'False',
      reason: failing ? failing.reason : 'AsExpected',
      message: failing
        ? `instance ${failing.name}: ${failing.message}; see: mcpctl logs instance/${failing.name}`
        : 'no instance fails',
      observedGeneration,
    },
  ]
}

/** What the server's status says of its instances. Pure. */
export const observe = (server: PlannedServer, instances: PlannedInstance[]): ServerObservation => {
  const counted = count(server, instances)
  const shown = counted.live.find(({ ready }) => ready)
  return {
    phase: phaseOf(counted),
    replicas: counted.live.length,
    updatedReplicas: counted.updated,
    readyReplicas: counted.ready,
    availableReplicas: counted.ready,
    observedGeneration: server.generation,
    driver: server.driver,
    isolated: server.isolated,
    ...(shown?.protocol !== undefined && { protocol: shown.protocol }),
    ...(shown?.tools !== undefined && { tools: shown.tools }),
    conditions: conditionsOf(counted),
  }
}
