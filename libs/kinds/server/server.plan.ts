import type { ConditionReason } from '@mcpctl/contracts'
import type { DriverName, UnitExit } from '@mcpctl/runtime'
import type { SecretVersions } from '../instance/instance.kind'
import type { MissingSecret } from './env-resolver.plan'
import { stuckIn, type Progress } from './rollout-progress.plan'
import { availableIn, isLive, rollOut } from './rollout.plan'
import { settlesIn, type Rotation } from './secret-rotation.plan'
import type { RolloutStrategy } from './server.decider'

/** A connection that was up and is being made again may take this long before the instance counts as unready. */
const RECONNECT_GRACE_MS = 5_000

/** How soon an engine that does not answer is asked again. */
const ENGINE_RETRY_MS = 2_000

export interface PlannedServer {
  generation: number
  replicas: number
  strategy: RolloutStrategy
  /** The newest revision: what a new instance is made of. */
  templateHash: string
  secrets: SecretVersions
  /** Whether its template takes anything from secrets. */
  usesSecrets: boolean
  /** What of them is missing, as far as it shows without opening one. */
  missing?: readonly MissingSecret[]
  rotation?: Rotation
  /** What was last reported of a rollout that is not complete. */
  progress?: Progress
  deleting: boolean
  driver: DriverName
  isolated: boolean
}

/** One instance: what the log says, what the driver has, where its connection stands. */
export interface PlannedInstance {
  uid: string
  name: string
  slot: number
  templateHash: string
  /** What it was given. */
  secrets: SecretVersions
  /** Its template is the server's; only what it was given may differ. */
  alike: boolean
  driver: DriverName
  isolated: boolean
  state: 'scheduled' | 'running' | 'waiting' | 'draining'
  ready: boolean
  /** Milliseconds since the epoch. */
  readySince?: number
  phase: string
  failures: number
  /** Why it failed last, while it has not been ready since. */
  failure?: { phase: string; reason: ConditionReason; message: string }
  /** Why it is not ready, in words. */
  message: string
  reason: ConditionReason
  handle?: string
  protocol?: string
  tools?: number
  /** Milliseconds since the epoch; with state `waiting`. */
  nextStartAt?: number
  /** `unknown` when the driver cannot be asked. */
  unit: { state: 'created' | 'running' | 'exited'; handle: string; exit?: UnitExit } | 'none' | 'unknown'
  connection:
    | { phase: 'none' | 'ready' }
    | { phase: 'connecting'; forMs: number }
    | { phase: 'failed'; reason: ConditionReason; message: string }
  /** A start or a stop is under way. */
  busy: boolean
}

export interface Situation {
  server: PlannedServer
  instances: PlannedInstance[]
  /** Milliseconds since the epoch. */
  now: number
}

export type Action =
  | { type: 'schedule'; slot: number }
  | { type: 'start'; uid: string }
  | { type: 'connect'; uid: string }
  | { type: 'adopt'; uid: string; handle: string }
  | { type: 'reportReady'; uid: string }
  | { type: 'reportUnready'; uid: string; reason: ConditionReason; message: string }
  | { type: 'reportExit'; uid: string; exit: UnitExit | undefined; reason: ConditionReason; message: string }
  /** Does not answer: end it; the exit is reported with this reason. */
  | { type: 'kill'; uid: string; reason: ConditionReason; message: string }
  | { type: 'drain'; uid: string; reason: string }
  | { type: 'stop'; uid: string }
  | { type: 'confirmDeleted' }

/** What to do so that what runs comes nearer to what is wanted. Pure; planned again after acting, it yields nothing. */
export const plan = (situation: Situation): Action[] => {
  const { server, instances, now } = situation
  const whole = server.deleting ? endAll(instances) : rollOut(situation)
  // What is to go is not started first.
  const leaving = new Set(whole.flatMap((action) => (action.type === 'drain' ? [action.uid] : [])))
  const cared = instances.filter(({ uid, busy }) => !busy && !leaving.has(uid))
  return [...cared.flatMap((instance) => careFor(instance, now)), ...whole]
}

/** Milliseconds until something is due that nothing else will announce, if anything is. */
export const nextDue = (situation: Situation): number | undefined => {
  const { server, instances, now } = situation
  const due = [
    ...instances.map((instance) => dueFor(instance, now)),
    ...instances.filter(isLive).map((instance) => availableIn(instance, server.strategy, now) || undefined),
    server.rotation && settlesIn(server.rotation, now),
    stuckIn(server.strategy, server.progress, now) || undefined,
  ].filter((milliseconds) => milliseconds !== undefined)
  return due.length > 0 ? Math.min(...due) : undefined
}

const dueFor = ({ state, nextStartAt, unit, connection, ready }: PlannedInstance, now: number): number | undefined => {
  if (unit === 'unknown') return ENGINE_RETRY_MS
  if (state === 'waiting' && nextStartAt !== undefined) return Math.max(0, nextStartAt - now)
  if (ready && connection.phase === 'connecting') return Math.max(0, RECONNECT_GRACE_MS - connection.forMs) + 1
  return undefined
}

const careFor = (instance: PlannedInstance, now: number): Action[] => {
  const { uid, unit } = instance
  if (unit === 'unknown') return engineAway(instance)
  switch (instance.state) {
    case 'draining':
      return [{ type: 'stop', uid }]
    case 'running':
      return careForRunning(instance, unit)
    case 'scheduled':
    case 'waiting': {
      // It runs although no event says so: mcpd ended between starting it and recording that.
      if (unit !== 'none' && unit.state === 'running') return [{ type: 'adopt', uid, handle: unit.handle }]
      return (instance.nextStartAt ?? 0) <= now ? [{ type: 'start', uid }] : []
    }
  }
}

const engineAway = ({ uid, state, reason }: PlannedInstance): Action[] =>
  state === 'running' && reason !== 'EngineUnavailable'
    ? [{ type: 'reportUnready', uid, reason: 'EngineUnavailable', message: 'the container engine does not answer' }]
    : []

const careForRunning = (instance: PlannedInstance, unit: Exclude<PlannedInstance['unit'], 'unknown'>): Action[] => {
  const { uid, driver } = instance
  if (unit === 'none') {
    // Child processes end with their daemon; a container that is gone was removed behind our back.
    const [reason, message]: [ConditionReason, string] =
      driver === 'docker' ? ['NodeLost', 'the container is gone'] : ['DaemonRestarted', 'mcpd was restarted']
    return [{ type: 'reportExit', uid, exit: undefined, reason, message }]
  }
  if (unit.state === 'exited') return [{ type: 'reportExit', uid, exit: unit.exit, ...exitReason(unit.exit) }]
  if (unit.state === 'created') return [{ type: 'start', uid }]
  if (unit.handle !== instance.handle) return [{ type: 'adopt', uid, handle: unit.handle }]
  return careForConnection(instance)
}

/** What an exit is called. */
export const exitReason = (exit: UnitExit | undefined): { reason: ConditionReason; message: string } => {
  if (exit?.oom) return { reason: 'OOMKilled', message: 'ran out of memory' }
  if (exit?.signal != null) return { reason: 'Error', message: `ended by ${exit.signal}` }
  if (exit?.code === 0)
    return { reason: 'Completed', message: 'exited with code 0; a server is expected to keep running' }
  return { reason: 'Error', message: `exited with code ${String(exit?.code ?? 'unknown')}` }
}

const careForConnection = ({ uid, connection, ready }: PlannedInstance): Action[] => {
  switch (connection.phase) {
    case 'none':
      return [{ type: 'connect', uid }]
    case 'ready':
      return ready ? [] : [{ type: 'reportReady', uid }]
    case 'failed':
      return [{ type: 'kill', uid, reason: connection.reason, message: connection.message }]
    case 'connecting':
      return ready && connection.forMs > RECONNECT_GRACE_MS
        ? [
            {
              type: 'reportUnready',
              uid,
              reason: 'ProbeFailed',
              message: 'the connection was lost and is being made again',
            },
          ]
        : []
  }
}

const endAll = (instances: PlannedInstance[]): Action[] =>
  instances.length === 0
    ? [{ type: 'confirmDeleted' }]
    : instances.filter(isLive).map(({ uid }) => ({ type: 'drain', uid, reason: 'the server is being deleted' }))
