import { describe, expect, it } from '@jest/globals'
import { defaultStrategy } from './rollout.plan'
import { progressOf, stuckIn, type Progress } from './rollout-progress.plan'
import type { PlannedServer } from './server.plan'

const then = Date.parse('2026-01-01T00:00:00.000Z')
const progressedAt = new Date(then).toISOString()
const later = then + 30_000
const before: Progress = { revision: 'new', updated: 2, available: 1, old: 2, progressedAt }

const progress = (seen: Omit<Progress, 'revision' | 'progressedAt'>, reported = before) => {
  const server = { templateHash: 'new', progress: reported } as PlannedServer
  return progressOf(server, seen, later)
}
const progressed = { revision: 'new', progressedAt: new Date(later).toISOString() }

describe('the progress of a rollout', () => {
  it.each([
    ['one more is scheduled', { updated: 3, available: 1, old: 2 }],
    ['one more is available', { updated: 2, available: 2, old: 2 }],
    ['one less is old', { updated: 2, available: 1, old: 1 }],
  ])('is noted when %s', (_, seen) => {
    expect(progress(seen)).toEqual({ ...progressed, ...seen })
  })

  it.each([
    ['nothing changed', { updated: 2, available: 1, old: 2 }],
    ['something got worse', { updated: 1, available: 0, old: 3 }],
  ])('is none when %s', (_, seen) => {
    expect(progress(seen)).toBe(before)
  })

  it('is not made by what comes and goes', () => {
    const worse = progress({ updated: 2, available: 0, old: 2 })
    expect(progress({ updated: 2, available: 1, old: 2 }, worse)).toBe(before)
  })

  it.each([
    ['of another revision', { ...before, revision: 'other', updated: 9, available: 9, old: 0 }],
    ['of none before', undefined],
  ])('begins anew after that %s', (_, reported) => {
    const seen = { updated: 1, available: 0, old: 3 }
    const server = { templateHash: 'new', ...(reported && { progress: reported }) } as PlannedServer
    expect(progressOf(server, seen, later)).toEqual({ ...progressed, ...seen })
  })

  it('that does not come for so long is stuck', () => {
    const strategy = { ...defaultStrategy, progressDeadlineSeconds: 60 }
    expect(stuckIn(strategy, before, later)).toBe(30_000)
    expect(stuckIn(strategy, before, then + 60_000)).toBe(0)
    expect(stuckIn(strategy, before, then + 90_000)).toBe(0)
    expect(stuckIn(strategy, undefined, later)).toBeUndefined()
  })
})
