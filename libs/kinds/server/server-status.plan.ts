import type { ConditionReason } from '@mcpctl/contracts'
import { availableIn, isLive, minAvailable } from './rollout.plan'
import { missingText } from './env-resolver.plan'
import { stuckIn, progressOf, type Progress } from './rollout-progress.plan'
import type { ObservedCondition, ServerObservation } from './server.decider'
import type { PlannedInstance, PlannedServer, Situation } from './server.plan'

interface Counted {
  server: PlannedServer
  live: PlannedInstance[]
  updated: number
  ready: number
  available: number
  /** Available and of the newest revision. */
  current: number
  /** As many are available as must be. */
  enough: boolean
  complete: boolean
  progress: Progress | undefined
  stuck: boolean
  /** The instance that has failed most often and has not been ready since. */
  failing: { name: string; failure: NonNullable<PlannedInstance['failure']> } | undefined
}

const failingOf = (live: PlannedInstance[]): Counted['failing'] =>
  [...live]
    .sort((a, b) => b.failures - a.failures)
    .flatMap(({ name, failure, ready }) => (failure && !ready ? [{ name, failure }] : []))[0]

const count = ({ server, instances, now }: Situation): Counted => {
  const live = instances.filter(isLive)
  const updated = live.filter(({ templateHash }) => templateHash === server.templateHash)
  const isAvailable = (instance: PlannedInstance) => availableIn(instance, server.strategy, now) === 0
  const available = live.filter(isAvailable).length
  const current = updated.filter(isAvailable).length
  const complete = current === server.replicas && live.length === server.replicas
  const counts = { updated: updated.length, available: current, old: live.length - updated.length }
  const progress = complete || server.deleting ? undefined : progressOf(server, counts, now)
  return {
    server,
    live,
    updated: updated.length,
    ready: live.filter(({ ready }) => ready).length,
    available,
    current,
    enough: available >= Math.max(Math.min(1, server.replicas), minAvailable(server)),
    complete,
    progress,
    stuck: stuckIn(server.strategy, progress, now) === 0,
    failing: failingOf(live),
  }
}

const phaseOf = (counted: Counted): string => {
  const { server, live, enough, complete, stuck, failing } = counted
  if (server.deleting) return 'Terminating'
  if (live.some(isUnknown)) return 'Unknown'
  if (complete) return 'Running'
  if (!failing && !stuck) return 'Progressing'
  return enough ? 'Degraded' : (failing?.failure.phase ?? 'ProgressDeadlineExceeded')
}

type Judged = Omit<ObservedCondition, 'observedGeneration'>

const availability = ({ server, available, enough }: Counted): Judged => {
  const holds = enough && !server.deleting
  const reached: ConditionReason = holds ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable'
  const reason = server.replicas === 0 ? 'ScaledToZero' : reached
  return {
    type: 'Available',
    status: holds ? 'True' : 'False',
    reason: server.deleting ? 'Terminating' : reason,
    message: `${available} of ${server.replicas} replicas are available`,
  }
}

const progressing = (counted: Counted): Judged => {
  const { complete, stuck, current, server } = counted
  const message = `${current} of ${server.replicas} replicas are up to date and ready`
  if (complete) return { type: 'Progressing', status: 'False', reason: 'RolloutComplete', message }
  if (stuck) {
    const late = `${message}; nothing has changed for ${server.strategy.progressDeadlineSeconds} s`
    return { type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded', message: late }
  }
  return { type: 'Progressing', status: 'True', reason: rolloutReason(counted), message }
}

const rolloutReason = ({ server, live }: Counted): ConditionReason => {
  const old = live.filter(({ templateHash }) => templateHash !== server.templateHash)
  return old.length > 0 && old.every(({ alike }) => alike) ? 'SecretRotated' : 'RolloutInProgress'
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
  'SecretUndecryptable',
]

const hint = (reason: ConditionReason) => (neverRan.includes(reason) ? 'mcpctl describe ' : 'mcpctl logs ')

const degradation = (counted: Counted): Judged => {
  const { failing, live, stuck } = counted
  if (live.some(isUnknown)) return engineAway
  if (failing) {
    const { reason, message } = failing.failure
    const where = `${hint(reason)}instance/${failing.name}`
    return { type: 'Degraded', status: 'True', reason, message: `instance ${failing.name}: ${message}; see: ${where}` }
  }
  if (stuck) return { ...progressing(counted), type: 'Degraded', status: 'True' }
  return { type: 'Degraded', status: 'False', reason: 'AsExpected', message: 'no instance fails' }
}

const staleness = ({ server: { rotation, usesSecrets } }: Counted): Judged[] => {
  if (rotation) {
    const becomes =
      rotation.settleMs === undefined
        ? 'instances keep what they have until the template changes'
        : 'instances are replaced'
    const message = `${rotation.change}; ${becomes}`
    return [{ type: 'SecretStale', status: 'True', reason: 'SecretRotated', message }]
  }
  const message = 'no version of a secret is newer than what new instances are given'
  return usesSecrets ? [{ type: 'SecretStale', status: 'False', reason: 'AsExpected', message }] : []
}

/** Whether all that the template takes from secrets can be had. What cannot be opened shows only at a start. */
const secretsReadiness = ({ server: { usesSecrets, missing = [] }, live }: Counted): Judged[] => {
  if (!usesSecrets) return []
  const found = live.flatMap(({ failure, ready }) =>
    failure?.reason === 'SecretUndecryptable' && !ready ? [failure] : [],
  )
  const [first] = [...missing, ...found]
  if (!first) return [{ type: 'SecretsReady', status: 'True', reason: 'AsExpected', message: 'every secret is there' }]
  const message = missing.length > 0 ? missingText(missing) : first.message
  return [{ type: 'SecretsReady', status: 'False', reason: first.reason, message }]
}

const conditionsOf = (counted: Counted): ObservedCondition[] =>
  [
    availability(counted),
    progressing(counted),
    degradation(counted),
    ...secretsReadiness(counted),
    ...staleness(counted),
  ].map((condition) => ({
    ...condition,
    observedGeneration: counted.server.generation,
  }))

/** What the server's status says of its instances. Pure. */
export const observe = (situation: Situation): ServerObservation => {
  const { server } = situation
  const counted = count(situation)
  const shown = counted.live.find(({ ready }) => ready)
  return {
    phase: phaseOf(counted),
    replicas: counted.live.length,
    updatedReplicas: counted.updated,
    readyReplicas: counted.ready,
    availableReplicas: counted.available,
    observedGeneration: server.generation,
    // What runs counts; while nothing does, what would.
    driver: counted.live[0]?.driver ?? server.driver,
    isolated: counted.live.length > 0 ? counted.live.every(({ isolated }) => isolated) : server.isolated,
    ...(shown?.protocol !== undefined && { protocol: shown.protocol }),
    ...(shown?.tools !== undefined && { tools: shown.tools }),
    ...(counted.progress && { rollout: counted.progress }),
    conditions: conditionsOf(counted),
  }
}
