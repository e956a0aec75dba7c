import type { Condition, ConditionReason } from '@mcpctl/contracts'
import type { View, ViewObject } from '@mcpctl/read-model'
import type { InstanceEvent } from './instance.decider'
import type { InstanceIdentity, InstanceSpec, InstanceStatus } from './instance.kind'

export type InstanceObject = ViewObject<InstanceSpec, InstanceStatus>

const readyCondition = (
  before: Condition[],
  ready: boolean,
  { reason, message, at }: { reason: ConditionReason; message: string; at: string },
): Condition[] => {
  const status = ready ? 'True' : 'False'
  const last = before[0]
  const lastTransitionTime = last?.status === status ? last.lastTransitionTime : at
  return [{ type: 'Ready', status, reason, message, lastTransitionTime, observedGeneration: 1 }]
}

const created = (identity: InstanceIdentity, at: string): InstanceObject => ({
  name: identity.name,
  labels: {},
  annotations: {},
  spec: {
    server: identity.server.name,
    serverUid: identity.server.uid,
    slot: identity.slot,
    templateHash: identity.templateHash,
    driver: identity.driver,
    source: identity.template.image ?? identity.template.package ?? identity.template.url ?? '',
    transport: identity.template.transport,
    template: identity.template,
    ...(identity.secrets && { secrets: identity.secrets }),
  },
  status: {
    phase: 'Pending',
    ready: false,
    isolated: identity.isolated,
    restarts: 0,
    failures: 0,
    conditions: readyCondition([], false, { reason: 'Starting', message: 'not started yet', at }),
  },
})

const isBlameless = (reason: ConditionReason) => reason === 'DaemonRestarted' || reason === 'NodeLost'

/** What has not run cannot have crashed. */
const neverRan: readonly ConditionReason[] = [
  'ImagePullBackOff',
  'PackageInstallFailed',
  'CreateConfigError',
  'SecretUndecryptable',
]

/** From the second failure on it is a loop; the first shows its own reason. */
const failurePhase = (reason: ConditionReason, failures: number): string => {
  if (isBlameless(reason)) return 'Pending'
  return failures < 2 || neverRan.includes(reason) ? reason : 'CrashLoopBackOff'
}

const withoutRun = (status: InstanceStatus): InstanceStatus => {
  const { readySince: _since, startedAt: _started, nextStartAt: _next, handshake: _shake, ...rest } = status
  return { ...rest, ready: false }
}

const started = (
  status: InstanceStatus,
  event: Extract<InstanceEvent, { type: 'InstanceStarted' | 'InstanceRestarted' }>,
  at: string,
): InstanceStatus => ({
  ...withoutRun(status),
  phase: 'Starting',
  restarts: event.type === 'InstanceRestarted' ? event.data.restarts : status.restarts,
  handle: event.data.handle,
  startedAt: event.data.at,
  conditions: readyCondition(status.conditions, false, {
    reason: 'Starting',
    message: 'waiting for the MCP handshake',
    at,
  }),
})

const withoutFailure = ({ lastFailure: _, ...status }: InstanceStatus): InstanceStatus => status

const ready = (
  status: InstanceStatus,
  { data }: Extract<InstanceEvent, { type: 'InstanceReady' }>,
  at: string,
): InstanceStatus => ({
  ...withoutFailure(status),
  phase: 'Running',
  ready: true,
  readySince: data.at,
  protocol: data.handshake.protocolVersion,
  tools: data.tools,
  handshake: data.handshake,
  conditions: readyCondition(status.conditions, true, {
    reason: 'AsExpected',
    message: 'the MCP handshake was answered',
    at,
  }),
})

const unready = (
  status: InstanceStatus,
  { data }: Extract<InstanceEvent, { type: 'InstanceUnready' }>,
  at: string,
): InstanceStatus => {
  const { readySince: _, ...rest } = status
  const phase = data.reason === 'EngineUnavailable' ? 'Unknown' : 'Unready'
  return { ...rest, phase, ready: false, conditions: readyCondition(status.conditions, false, { ...data, at }) }
}

const failed = (
  status: InstanceStatus,
  event: Extract<InstanceEvent, { type: 'InstanceStartFailed' | 'InstanceExited' }>,
  at: string,
): InstanceStatus => {
  const { reason, message, failures, nextStartAt } = event.data
  const conditions = readyCondition(status.conditions, false, { reason, message, at })
  const phase = failurePhase(reason, failures)
  const failure = isBlameless(reason) ? {} : { lastFailure: { phase, reason, message } }
  const waiting = { ...withoutRun(status), ...failure, phase, failures, nextStartAt, conditions }
  if (event.type === 'InstanceStartFailed') return waiting
  const { code, signal, oom, at: exitedAt } = event.data
  return { ...waiting, lastExit: { code, signal, oom, at: exitedAt, reason, message } }
}

const draining = (
  status: InstanceStatus,
  { data }: Extract<InstanceEvent, { type: 'InstanceDraining' }>,
  at: string,
): InstanceStatus => ({
  ...status,
  phase: 'Terminating',
  ready: false,
  conditions: readyCondition(status.conditions, false, { reason: 'Terminating', message: data.reason, at }),
})

const statusAfter = (status: InstanceStatus, event: InstanceEvent, at: string): InstanceStatus => {
  switch (event.type) {
    case 'InstanceStarted':
    case 'InstanceRestarted':
      return started(status, event, at)
    case 'InstanceAdopted':
      return { ...status, handle: event.data.handle }
    case 'InstanceReady':
      return ready(status, event, at)
    case 'InstanceUnready':
      return unready(status, event, at)
    case 'InstanceStartFailed':
    case 'InstanceExited':
      return failed(status, event, at)
    case 'InstanceDraining':
      return draining(status, event, at)
    default:
      return status
  }
}

/** What `get` and `describe` show of an instance. */
export const instanceView: View<InstanceObject, InstanceEvent> = (instance, event) => {
  if (event.type === 'InstanceScheduled') return created(event.data, event.at)
  if (!instance || event.type === 'InstanceStopped' || event.type === 'OrphanRemoved') return undefined
  const status = statusAfter(instance.status, event, event.at)
  const deletion =
    event.type === 'InstanceDraining' ? { deletionTimestamp: instance.deletionTimestamp ?? event.at } : {}
  return { ...instance, ...deletion, status }
}
