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
  /** The instance that has failed most often and has not been ready since. */
  failing: { name: string; failure: NonNullable<PlannedInstance['failure']> } | undefined
}

const failingOf = (live: PlannedInstance[]): Counted['failing'] =>
  [...live]
    .sort((a, b) => b.failures - a.failures)
    .flatMap(({ name, failure, ready }) => (failure && !ready ? [{ name, failure }] : []))[0]

const count = (server: PlannedServer, instances: PlannedInstance[]): Counted => {
  const live = instances.filter(({ state }) => state !== 'draining')
  const updated = live.filter(({ templateHash }) => templateHash === server.templateHash)
  const failing = failingOf(live)
  const ready = live.filter((instance) => instance.ready)
  const current = updated.filter((instance) => instance.ready).length
  return { server, live, updated: updated.length, ready: ready.length, current, failing }
}

const isComplete = ({ server, live, current }: Counted) =>
  current === server.replicas && live.length === server.replicas

const phaseOf = (counted: Counted): string => {
  const { server, live, ready, failing } = counted
  if (server.deleting) return 'Terminating'
  if (live.some(isUnknown)) return 'Unknown'
  if (isComplete(counted)) return 'Running'
  if (!failing) return 'Progressing'
  return ready >= server.replicas ? 'Degraded' : failing.failure.phase
}

type Judged = Omit<ObservedCondition, 'observedGeneration'>

const availability = ({ server, ready }: Counted): Judged => {
  const available = ready >= server.replicas && !server.deleting
  const enough: ConditionReason = available ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable'
  const reason = server.replicas === 0 ? 'ScaledToZero' : enough
  return {
    type: 'Available',
    status: available ? 'True' : 'False',
    reason: server.deleting ? 'Terminating' : reason,
    message: `${ready} of ${server.replicas} replicas are available`,
  }
}

const progress = (counted: Counted): Judged => {
  const complete = isComplete(counted)
  return {
    type: 'Progressing',
    status: complete ? 'False' : 'True',
    reason: complete ? 'RolloutComplete' : 'RolloutInProgress',
    message: `${counted.current} of ${counted.server.replicas} replicas are up to date and ready`,
  }
}

const engineAway: Judged = {
  type: 'Degraded',
  status: 'True',
  reason: 'EngineUnavailable',
  message: 'the container engine does not answer; start it, or check DOCKER_HOST of mcpd',
}

const isUnknown = ({ unit }: PlannedInstance) => unit === 'unknown'

/** What never ran has written no log. */
const neverRan: ConditionReason[] = [
  'CreateConfigError',
  'ImageNotFound',
  'ImagePullBackOff',
  'NameConflict',
  'PackageInstallFailed',
  'PortConflict',
  'RunContainerError',
]

const hint = (reason: ConditionReason) => (neverRan.includes(reason) ? 'mcpctl describe ' : 'mcpctl logs ')

const degradation = ({ failing, live }: Counted): Judged => {
  if (live.some(isUnknown)) return engineAway
  return failing
    ? {
        type: 'Degraded',
        status: 'True',
        reason: failing.failure.reason,
        message: `instance ${failing.name}: ${failing.failure.message}; see: ${hint(failing.failure.reason)}instance/${failing.name}`,
      }
    : { type: 'Degraded', status: 'False', reason: 'AsExpected', message: 'no instance fails' }
}

const conditionsOf = (counted: Counted): ObservedCondition[] =>
  [availability(counted), progress(counted), degradation(counted)].map((condition) => ({
    ...condition,
    observedGeneration: counted.server.generation,
  }))

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
    // What runs counts; while nothing does, what would.
    driver: counted.live[0]?.driver ?? server.driver,
    isolated: counted.live.length > 0 ? counted.live.every(({ isolated }) => isolated) : server.isolated,
    ...(shown?.protocol !== undefined && { protocol: shown.protocol }),
    ...(shown?.tools !== undefined && { tools: shown.tools }),
    conditions: conditionsOf(counted),
  }
}
