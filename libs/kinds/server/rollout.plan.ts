import { changesOf } from './secret-versions.plan'
import type { RolloutStrategy } from './server.decider'
import { serverDefaults } from './server.kind'
import type { Action, PlannedInstance, PlannedServer, Situation } from './server.plan'

export type RolloutAction = Extract<Action, { type: 'schedule' | 'drain' }>

/** One more first, and no old instance goes before a new one is available; the rules of a Kubernetes rolling update. */
export const defaultStrategy: RolloutStrategy = serverDefaults.strategy

export const isLive = ({ state }: PlannedInstance): boolean => state !== 'draining'

/**
 * How many have to be available whenever they were. While the limits leave a choice one old instance stays to the end, even where they allow
 * none to be available: a revision that never comes up must not take the last healthy instance.
 */
export const minAvailable = ({ replicas, strategy }: PlannedServer): number => {
  const { maxSurge, maxUnavailable } = strategy
  const last = replicas > 0 && replicas + maxSurge > 1 ? 1 : 0
  return Math.max(last, replicas - maxUnavailable)
}

/** It was ready when it was last heard of, and nothing is seen that says otherwise. */
const serves = ({ ready, unit, connection }: PlannedInstance): boolean => {
  const ended = unit === 'none' || (unit !== 'unknown' && unit.state !== 'running')
  return ready && !ended && connection.phase !== 'failed'
}

/** Milliseconds until it counts as available; 0 when it does, undefined while it does not serve. */
export const availableIn = (
  instance: PlannedInstance,
  { minReadySeconds }: RolloutStrategy,
  now: number,
): number | undefined => {
  const { readySince } = instance
  if (!serves(instance)) return undefined
  // Either way: a clock that was set back is no reason to wait until it has caught up.
  const readyForMs = readySince === undefined ? Infinity : Math.abs(now - readySince)
  return Math.max(0, minReadySeconds * 1000 - readyForMs)
}

/** The live instances of a server by revision, each with whether it is available. */
interface Fleet {
  updated: Judged[]
  old: Judged[]
}

type Judged = PlannedInstance & { available: boolean }

const fleetOf = ({ server, instances, now }: Situation): Fleet => {
  const live = instances
    .filter(isLive)
    .map((instance) => ({ ...instance, available: availableIn(instance, server.strategy, now) === 0 }))
  return {
    updated: live.filter(({ templateHash }) => templateHash === server.templateHash),
    old: live.filter(({ templateHash }) => templateHash !== server.templateHash),
  }
}

/** Least worth keeping first: not available, then not ready, then the highest slot. */
const byWorth = (a: Judged, b: Judged) =>
  Number(a.available) - Number(b.available) || Number(a.ready) - Number(b.ready) || b.slot - a.slot

/** Which instances go and which slots get a new one, so that the revision comes nearer to being the only one. */
export const rollOut = (situation: Situation): RolloutAction[] => {
  const { server, instances } = situation
  const fleet = fleetOf(situation)
  const { updated } = fleet
  const surplus = [...updated].sort(byWorth).slice(0, Math.max(0, updated.length - server.replicas))
  return [
    ...surplus.map(({ uid }): RolloutAction => ({ type: 'drain', uid, reason: 'scaled down' })),
    ...replaced(server, fleet).map((instance): RolloutAction => ({
      type: 'drain',
      uid: instance.uid,
      reason: reasonToReplace(server, instance),
    })),
    ...slotsFor(server, instances, fleet).map((slot): RolloutAction => ({ type: 'schedule', slot })),
  ]
}

/**
 * Old instances that may go now. The available ones only as far as enough stay; the others as far as the new ones that are not available yet do
 * not need the room.
 */
const replaced = (server: PlannedServer, { updated, old }: Fleet): Judged[] => {
  const least = minAvailable(server)
  const updatedAvailable = updated.filter(({ available }) => available).length
  const oldAvailable = old.filter(({ available }) => available).sort(byWorth)
  const room = updatedAvailable + old.length - least
  const unavailable = old
    .filter(({ available }) => !available)
    .sort(byWorth)
    .slice(0, Math.max(0, room))
  const spare = updatedAvailable + oldAvailable.length - least
  return [...unavailable, ...oldAvailable.slice(0, Math.max(0, spare))]
}

const slotsFor = (server: PlannedServer, instances: PlannedInstance[], { updated, old }: Fleet): number[] => {
  const { replicas, strategy } = server
  const limit = replicas + (old.length > 0 ? strategy.maxSurge : 0)
  const wanted = Math.min(replicas - updated.length, limit - updated.length - old.length)
  const taken = new Set(instances.map(({ slot }) => slot))
  const free = Array.from({ length: replicas + strategy.maxSurge }, (_, slot) => slot).filter(
    (slot) => !taken.has(slot),
  )
  return free.slice(0, Math.max(0, wanted))
}

/** Why an instance is not of the newest revision. */
const reasonToReplace = (server: PlannedServer, { alike, secrets }: PlannedInstance): string => {
  const change = alike ? changesOf(secrets, server.secrets) : undefined
  return change === undefined ? 'replaced by a new template' : `SecretRotated: ${change}`
}
