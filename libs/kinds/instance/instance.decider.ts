import { DomainError, type ConditionReason } from '@mcpctl/contracts'
import type { ClaimChange, Decider } from '@mcpctl/event-store'
import type { ExitFacts, Handshake, InstanceIdentity, InstanceObservation } from './instance.kind'

/** Backoff before a start: 1 s, doubled by each failure, at most 300 s; forgotten after 10 minutes of health. */
const BACKOFF_FIRST_MS = 1_000
const BACKOFF_MAX_MS = 300_000
/** A key that comes back is announced by nothing, and to look for it costs little. */
const KEY_RETRY_MAX_MS = 60_000
const HEALTHY_AFTER_MS = 600_000

export type InstanceCommand = { type: 'Schedule'; identity: InstanceIdentity } | InstanceObservation

export type InstanceEvent =
  | { type: 'InstanceScheduled'; data: InstanceIdentity; claims: ClaimChange[] }
  | { type: 'InstanceStarted'; data: { handle: string; at: string } }
  | { type: 'InstanceRestarted'; data: { handle: string; at: string; restarts: number } }
  | { type: 'InstanceAdopted'; data: { handle: string } }
  | { type: 'InstanceStartFailed'; data: Failure }
  | { type: 'InstanceReady'; data: { handshake: Handshake; tools: number; at: string } }
  | { type: 'InstanceUnready'; data: { reason: ConditionReason; message: string } }
  | { type: 'InstanceExited'; data: ExitFacts & { at: string; failures: number; nextStartAt: string } }
  | { type: 'InstanceDraining'; data: { reason: string } }
  | { type: 'InstanceStopped'; data: object; claims: ClaimChange[] }
  | { type: 'OrphanRemoved'; data: { handle: string } }

interface Failure {
  reason: ConditionReason
  message: string
  failures: number
  nextStartAt: string
}

interface Known {
  status: 'scheduled' | 'running' | 'waiting' | 'draining'
  identity: InstanceIdentity
  handle: string | undefined
  runs: number
  failures: number
  /** When the present run became ready. */
  readyAt: string | undefined
  unready: { reason: string; message: string } | undefined
  lastFailure: { reason: string; message: string } | undefined
}

type Instance = { status: 'absent' } | Known

const claimsOf = (op: ClaimChange['op'], { name, server, slot }: InstanceIdentity): ClaimChange[] => [
  { op, scope: 'name', key: `instance/${name}` },
  { op, scope: 'slot', key: `${server.uid}/${String(slot)}` },
]

const later = (at: string, ms: number): string => {
  const milliseconds = Date.parse(at) + ms
  return new Date(milliseconds).toISOString()
}

const backoffMs = (failures: number, reason: ConditionReason) =>
  Math.min(reason === 'SecretUndecryptable' ? KEY_RETRY_MAX_MS : BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (failures - 1))

/** Exits that are not the instance's fault start again at once and count for nothing. */
const blameless = (reason: ConditionReason) => reason === 'DaemonRestarted' || reason === 'NodeLost'

const failed = (instance: Known, reason: ConditionReason, at: string): { failures: number; nextStartAt: string } => {
  if (blameless(reason)) return { failures: instance.failures, nextStartAt: at }
  const healthy = instance.readyAt !== undefined && Date.parse(at) - Date.parse(instance.readyAt) >= HEALTHY_AFTER_MS
  const failures = (healthy ? 0 : instance.failures) + 1
  return { failures, nextStartAt: later(at, backoffMs(failures, reason)) }
}

const started = (instance: Known, handle: string, at: string): InstanceEvent[] => {
  if (instance.status === 'running')
    return instance.handle === handle ? [] : [{ type: 'InstanceAdopted', data: { handle } }]
  if (instance.status === 'draining') return []
  return instance.runs === 0
    ? [{ type: 'InstanceStarted', data: { handle, at } }]
    : [{ type: 'InstanceRestarted', data: { handle, at, restarts: instance.runs } }]
}

const known = (instance: Instance): Known => {
  if (instance.status === 'absent') throw new DomainError('NotFound', 'no such instance')
  return instance
}

const readiness = (
  command: Extract<InstanceCommand, { type: 'ReportReady' | 'ReportUnready' }>,
  instance: Known,
): InstanceEvent[] => {
  if (command.type === 'ReportReady') {
    const { handshake, tools, at } = command
    return instance.readyAt === undefined ? [{ type: 'InstanceReady', data: { handshake, tools, at } }] : []
  }
  const { reason, message } = command
  const same = instance.unready?.reason === reason && instance.unready.message === message
  return same ? [] : [{ type: 'InstanceUnready', data: { reason, message } }]
}

const observe = (
  command: Exclude<InstanceCommand, { type: 'Schedule' | 'Drain' | 'ConfirmStopped' | 'ReportOrphan' }>,
  instance: Known,
): InstanceEvent[] => {
  switch (command.type) {
    case 'ReportStarted':
      return started(instance, command.handle, command.at)
    case 'ReportStartFailure': {
      if (instance.status !== 'scheduled' && instance.status !== 'waiting') return []
      const { reason, message, at } = command
      return [{ type: 'InstanceStartFailed', data: { reason, message, ...failed(instance, reason, at) } }]
    }
    case 'ReportReady':
    case 'ReportUnready':
      return instance.status === 'running' ? readiness(command, instance) : []
    case 'ReportExit': {
      if (instance.status !== 'running') return []
      const { exit, at } = command
      return [{ type: 'InstanceExited', data: { ...exit, at, ...failed(instance, exit.reason, at) } }]
    }
  }
}

const decide = (command: InstanceCommand, instance: Instance): InstanceEvent[] => {
  switch (command.type) {
    case 'Schedule': {
      if (instance.status !== 'absent') return []
      const { identity } = command
      return [{ type: 'InstanceScheduled', data: identity, claims: claimsOf('take', identity) }]
    }
    case 'Drain':
      return known(instance).status === 'draining'
        ? []
        : [{ type: 'InstanceDraining', data: { reason: command.reason } }]
    case 'ConfirmStopped':
      return instance.status === 'absent'
        ? []
        : [{ type: 'InstanceStopped', data: {}, claims: claimsOf('release', instance.identity) }]
    case 'ReportOrphan':
      return instance.status === 'absent' ? [{ type: 'OrphanRemoved', data: { handle: command.handle } }] : []
    default:
      // A report about an instance that has gone meanwhile is no news.
      return instance.status === 'absent' ? [] : observe(command, instance)
  }
}

const scheduled = (identity: InstanceIdentity): Known => ({
  status: 'scheduled',
  identity,
  handle: undefined,
  runs: 0,
  failures: 0,
  readyAt: undefined,
  unready: undefined,
  lastFailure: undefined,
})

const running = (instance: Known, handle: string): Known => ({
  ...instance,
  status: 'running',
  handle,
  runs: instance.runs + 1,
  readyAt: undefined,
  unready: undefined,
})

const evolve = (instance: Instance, event: InstanceEvent): Instance => {
  if (event.type === 'InstanceScheduled') return scheduled(event.data)
  if (instance.status === 'absent') return instance
  switch (event.type) {
    case 'InstanceStarted':
    case 'InstanceRestarted':
      return running(instance, event.data.handle)
    case 'InstanceAdopted':
      return { ...instance, handle: event.data.handle }
    case 'InstanceReady':
      return { ...instance, readyAt: event.data.at, unready: undefined }
    case 'InstanceUnready':
      return { ...instance, readyAt: undefined, unready: event.data }
    case 'InstanceStartFailed':
    case 'InstanceExited': {
      const { failures, reason, message } = event.data
      return { ...instance, status: 'waiting', failures, readyAt: undefined, lastFailure: { reason, message } }
    }
    case 'InstanceDraining':
      return { ...instance, status: 'draining' }
    case 'InstanceStopped':
    case 'OrphanRemoved':
      return { status: 'absent' }
  }
}

/** An instance lives from InstanceScheduled to InstanceStopped and holds its slot and its name for that time. */
export const instanceDecider: Decider<Instance, InstanceCommand, InstanceEvent> = {
  category: 'instance',
  events: {
    InstanceScheduled: [],
    InstanceStarted: [],
    InstanceRestarted: [],
    InstanceAdopted: [],
    InstanceStartFailed: [],
    InstanceReady: [],
    InstanceUnready: [],
    InstanceExited: [],
    InstanceDraining: [],
    InstanceStopped: [],
    OrphanRemoved: [],
  },
  initial: { status: 'absent' },
  decide,
  evolve,
}
