import type { RolloutStrategy } from './server.decider'
import type { PlannedServer } from './server.plan'

/** How far a revision has come at best, and when it came there. Reported while its rollout is not complete. */
export type Progress = {
  revision: string
  updated: number
  available: number
  old: number
  /** RFC 3339. */
  progressedAt: string
}

/** What was known, or from now on what is better: one more scheduled, one more available, one less of an older revision. */
export const progressOf = (
  { progress: before, templateHash: revision }: PlannedServer,
  now: { updated: number; available: number; old: number },
  at: number,
): Progress => {
  const progressedAt = new Date(at).toISOString()
  if (before?.revision !== revision) return { revision, ...now, progressedAt }
  const best = {
    updated: Math.max(before.updated, now.updated),
    available: Math.max(before.available, now.available),
    old: Math.min(before.old, now.old),
  }
  const same = best.updated === before.updated && best.available === before.available && best.old === before.old
  return same ? before : { revision, ...best, progressedAt }
}

/** Milliseconds until the rollout counts as stuck; 0 when it is, undefined when there is none. */
export const stuckIn = (
  { progressDeadlineSeconds }: RolloutStrategy,
  progress: Progress | undefined,
  now: number,
): number | undefined =>
  progress && Math.max(0, Date.parse(progress.progressedAt) + progressDeadlineSeconds * 1000 - now)
