import type { ConditionReason } from '@mcpctl/contracts'
import type { DriverName, UnitExit } from '@mcpctl/runtime'

/** How many instances above `replicas` may exist while a new template replaces an old one. */
const SURGE = 1
/** A connection that was up and is being made again may take this long before the instance counts as unready. */
const RECONNECT_GRACE_MS = 5_000

/** How soon an engine that does not answer is asked again. */
const ENGINE_RETRY_MS = 2_000

export interface PlannedServer {
  generation: number
  replicas: number
  templateHash: string
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
  driver: DriverName
  isolated: boolean
  state: 'scheduled' | 'running' | 'waiting' | 'draining'
  ready: boolean
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
export const plan = ({ server, instances, now }: Situation): Action[] => {
  const whole = server.deleting ? endAll(instances) : rollOut(server, instances)
  // What is to go is not started first.
  const leaving = new Set(whole.flatMap((action) => (action.type === 'drain' ? [action.uid] : [])))
  const cared = instances.filter(({ uid, busy }) => !busy && !leaving.has(uid))
  return [...cared.flatMap((instance) => careFor(instance, now)), ...whole]
}

/** Milliseconds until something is due that nothing else will announce, if anything is. */
export const nextDue = ({ instances, now }: Situation): number | undefined => {
  const due = instances.flatMap((instance) => dueFor(instance, now) ?? [])
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

const isLive = ({ state }: PlannedInstance) => state !== 'draining'

const endAll = (instances: PlannedInstance[]): Action[] =>
  instances.length === 0
    ? [{ type: 'confirmDeleted' }]
    : instances.filter(isLive).map(({ uid }) => ({ type: 'drain', uid, reason: 'the server is being deleted' }))

/** Least worth keeping first: not ready, then the highest slot. */
const byWorth = (a: PlannedInstance, b: PlannedInstance) => Number(a.ready) - Number(b.ready) || b.slot - a.slot

const rollOut = (server: PlannedServer, instances: PlannedInstance[]): Action[] => {
  const live = instances.filter(isLive)
  const updated = live.filter(({ templateHash }) => templateHash === server.templateHash)
  const old = live.filter(({ templateHash }) => templateHash !== server.templateHash)
  const surplus = [...updated].sort(byWorth).slice(0, Math.max(0, updated.length - server.replicas))
  return [
    ...surplus.map(({ uid }): Action => ({ type: 'drain', uid, reason: 'scaled down' })),
    ...replaced(server, updated, old).map(({ uid }): Action => ({
      type: 'drain',
      uid,
      reason: 'replaced by a new template',
    })),
    ...missing(server, instances, { updated, old }).map((slot): Action => ({ type: 'schedule', slot })),
  ]
}

/**
 * Old instances that may go now. The ready ones only as far as `replicas` stay available; the others as far as the new ones that are not ready yet
 * do not need the room (the rule of a Kubernetes rolling update, with maxUnavailable 0 and maxSurge 1).
 */
const replaced = (server: PlannedServer, updated: PlannedInstance[], old: PlannedInstance[]): PlannedInstance[] => {
  const updatedReady = updated.filter(({ ready }) => ready).length
  const oldReady = old.filter(({ ready }) => ready).sort(byWorth)
  const room = updatedReady + old.length - server.replicas
  const unready = old
    .filter(({ ready }) => !ready)
    .sort(byWorth)
    .slice(0, Math.max(0, room))
  const spare = Math.min(updatedReady, server.replicas) + oldReady.length - server.replicas
  return [...unready, ...oldReady.slice(0, Math.max(0, spare))]
}

const missing = (
  server: PlannedServer,
  instances: PlannedInstance[],
  { updated, old }: { updated: PlannedInstance[]; old: PlannedInstance[] },
): number[] => {
  const limit = server.replicas + (old.length > 0 ? SURGE : 0)
  const wanted = Math.min(server.replicas - updated.length, limit - updated.length - old.length)
  const taken = new Set(instances.map(({ slot }) => slot))
  const free = Array.from({ length: server.replicas + SURGE }, (_, slot) => slot).filter((slot) => !taken.has(slot))
  return free.slice(0, Math.max(0, wanted))
}
