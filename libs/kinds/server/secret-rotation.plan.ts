import type { SecretVersions } from '../instance/instance.kind'
import { isLive, rollOut } from './rollout.plan'
import type { Situation } from './server.plan'

/** Newer versions of secrets than any instance has been given. */
export interface Rotation {
  /** The revision that takes them up. */
  templateHash: string
  secrets: SecretVersions
  /** What is given now and what is newer, in words. */
  change: string
  /** Milliseconds since the epoch: when it was first seen, if that was before. */
  since?: number
  /** Within so many milliseconds several rotations are one; absent: instances that run keep what they have. */
  settleMs?: number
  /** It is being rolled out. */
  taken?: true
}

/** Decides whether newer versions of secrets take effect now; what is planned and told then is about their revision. */
export const settle = (situation: Situation): Situation => {
  const { server } = situation
  const { rotation } = server
  if (!rotation || !takesEffect(situation, rotation)) return situation
  const { templateHash, secrets } = rotation
  return { ...situation, server: { ...server, templateHash, secrets, rotation: { ...rotation, taken: true } } }
}

const takesEffect = (situation: Situation, rotation: Rotation): boolean => {
  const { server, instances } = situation
  const given = instances.filter((instance) => isLive(instance) && instance.templateHash === server.templateHash)
  const failing = given.filter(({ failure, ready }) => failure !== undefined && !ready)
  // None of them can make anything of what it has: there is nothing left to keep. Once is no proof, anything may crash once.
  if (rotation.settleMs === undefined) return failing.filter(({ failures }) => failures > 1).length === given.length
  // Something is wrong with what they were given, perhaps this; or a new instance is made anyway.
  if (failing.length > 0 || rollOut(situation).some(({ type }) => type === 'schedule')) return true
  return settlesIn(rotation, situation.now) === 0
}

/** Milliseconds until the rotation takes effect by itself; undefined when it has, or does not. */
export const settlesIn = ({ since, settleMs, taken }: Rotation, now: number): number | undefined => {
  if (settleMs === undefined || taken) return undefined
  // A time to come was written by a clock that was ahead: waiting for it could take for ever.
  const waitedMs = since === undefined ? 0 : Math.abs(now - since)
  return Math.max(0, settleMs - waitedMs)
}
