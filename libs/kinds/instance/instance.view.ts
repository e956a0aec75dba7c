import type { Condition, ConditionReason } from '@mcpctl/contracts'
import type { View, ViewObject } from '@mcpctl/read-model'
import type { DriverName, InstanceTemplate } from '@mcpctl/runtime'
import type { Handshake, InstanceEvent, InstanceIdentity } from './instance.decider'

export interface InstanceSpec {
  server: string
  serverUid: string
  slot: number
  templateHash: string
  driver: DriverName
  source: string
  transport: string
  template: InstanceTemplate
}

export interface InstanceStatus {
  /** Pending, Starting, Running, Unready, Terminating, Unknown, or the reason of the last failure. */
  phase: string
  ready: boolean
  isolated: boolean
  restarts: number
  failures: number
  handle?: string
  startedAt?: string
  readySince?: string
  protocol?: string
  tools?: number
  handshake?: Handshake
  lastExit?: { code: number | null; signal: string | null; oom: boolean; at: string; reason: string; message: string }
  nextStartAt?: string
  conditions: Condition[]
}

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

/** From the second failure on it is a loop; the first shows its own reason. */
const failurePhase = (reason: ConditionReason, failures: number): string => {
  if (reason === 'DaemonRestarted' || reason === 'NodeLost') return 'Pending'
  const own = reason === 'ImagePullBackOff' || reason === 'PackageInstallFailed' || reason === 'CreateConfigError'
  return failures < 2 || own ? reason : 'CrashLoopBackOff'
}

const withoutRun = (status: InstanceStatus): InstanceStatus => {
  const { readySince: _since, startedAt: _started, nextStartAt: _next, handshake: _shake, ...rest } = status
  return { ...rest, ready: false }
}

const statusAfter = (status: InstanceStatus, event: InstanceEvent, at: string): InstanceStatus => {
  switch (event.type) {
    case 'InstanceStarted':
    case 'InstanceRestarted': {
      const restarts = event.type === 'InstanceRestarted' ? event.data.restarts : status.restarts
      const conditions = readyCondition(status.conditions, false, {
        reason: 'Starting',
        message: 'waiting for the MCP handshake',
        at,
      })
      return {
        ...withoutRun(status),
        phase: 'Starting',
        restarts,
        handle: event.data.handle,
        startedAt: event.data.at,
        conditions,
      }
    }
    case 'InstanceAdopted':
      return { ...status, handle: event.data.handle }
    case 'InstanceReady': {
      const { handshake, tools } = event.data
      const conditions = readyCondition(status.conditions, true, {
        reason: 'AsExpected',
        message: 'the MCP handshake was answered',
        at,
      })
      const protocol = handshake.protocolVersion
      return {
        ...status,
        phase: 'Running',
        ready: true,
        readySince: event.data.at,
        protocol,
        tools,
        handshake,
        conditions,
      }
    }
    case 'InstanceUnready': {
      const { reason, message } = event.data
      const { readySince: _, ...rest } = status
      const phase = reason === 'EngineUnavailable' ? 'Unknown' : 'Unready'
      return {
        ...rest,
        phase,
        ready: false,
        conditions: readyCondition(status.conditions, false, { reason, message, at }),
      }
    }
    case 'InstanceStartFailed': {
      const { reason, message, failures, nextStartAt } = event.data
      const conditions = readyCondition(status.conditions, false, { reason, message, at })
      return { ...withoutRun(status), phase: failurePhase(reason, failures), failures, nextStartAt, conditions }
    }
    case 'InstanceExited': {
      const { failures, nextStartAt, ...lastExit } = event.data
      const { reason, message } = lastExit
      const conditions = readyCondition(status.conditions, false, { reason, message, at })
      return {
        ...withoutRun(status),
        phase: failurePhase(reason, failures),
        failures,
        nextStartAt,
        lastExit,
        conditions,
      }
    }
    case 'InstanceDraining': {
      const conditions = readyCondition(status.conditions, false, {
        reason: 'Terminating',
        message: event.data.reason,
        at,
      })
      return { ...status, phase: 'Terminating', ready: false, conditions }
    }
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
