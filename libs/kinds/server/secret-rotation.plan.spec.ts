import { describe, expect, it } from '@jest/globals'
import { liveIn, RolloutWorld, templateWith } from '../../../test/support/rollout-world'
import type { ServerState } from './server.decider'
import { settlesIn } from './secret-rotation.plan'

const SETTLE = 10_000

/** A server that runs with version 1 of secret `gh`. */
const running = (more: Partial<ServerState> = {}) => {
  const world = new RolloutWorld(1, SETTLE)
  world.rotate('gh')
  world.apply({ replicas: 2, template: templateWith('app', { gh: undefined }), ...more })
  world.settleDown()
  expect(given(world)).toEqual([1, 1])
  world.acts.length = 0
  return world
}

/** Versions of `gh` that instances have, in the order of their slots; those on their way out aside. */
const given = (world: RolloutWorld) =>
  liveIn(world.situation())
    .sort((a, b) => a.slot - b.slot)
    .map(({ secrets }) => secrets['gh']?.version)

const scheduled = (world: RolloutWorld) => world.acts.filter(({ type }) => type === 'schedule').length
const uids = (world: RolloutWorld) => liveIn(world.situation()).map(({ uid }) => uid)

/** Passes at one moment until nothing is left to do. */
const passes = (world: RolloutWorld) => world.settleDown(0)

describe('a new version of a secret', () => {
  it('waits for others until it has settled, and says so', () => {
    const world = running()
    world.rotate('gh')
    passes(world)
    expect(given(world)).toEqual([1, 1])
    expect(world.condition('SecretStale')).toBe('True SecretRotated')
    expect(world.status().conditions?.find(({ type }) => type === 'SecretStale')?.message).toBe(
      'secret "gh" changed from version 1 to 2; instances are replaced',
    )
    expect(world.pass().due).toBe(SETTLE)
    world.now += SETTLE - 1
    expect(world.pass()).toEqual({ actions: [], due: 1 })
    world.now += 1
    expect(world.pass().actions).toEqual([{ type: 'schedule', slot: 2 }])
    expect(world.condition('Progressing')).toBe('True SecretRotated')
    passes(world)
    expect(given(world)).toEqual([2, 2])
    expect(world.condition('SecretStale')).toBe('False AsExpected')
    expect(world.condition('Progressing')).toBe('False RolloutComplete')
    const drained = world.acts.flatMap((action) => (action.type === 'drain' ? [action.reason] : []))
    expect(drained).toEqual(Array(2).fill('SecretRotated: secret "gh" changed from version 1 to 2'))
  })

  it('and those that follow it are taken up at once, the last one alone', () => {
    const world = running()
    for (const wait of [0, 3_000, 3_000, 3_000]) {
      world.now += wait
      world.rotate('gh')
      passes(world)
    }
    expect(given(world)).toEqual([1, 1])
    world.now += 1_000
    passes(world)
    expect(given(world)).toEqual([5, 5])
    expect(scheduled(world)).toBe(2)
  })

  it('that comes while the one before is rolled out is taken up by what is made then, and nothing stays mixed', () => {
    const world = running()
    world.rotate('gh')
    passes(world)
    world.now += SETTLE
    world.pass()
    world.rotate('gh')
    passes(world)
    expect(given(world)).toEqual([3, 3])
    expect(scheduled(world)).toBe(3)
  })

  it.each<[string, (world: RolloutWorld) => void]>([
    ['one is wanted more', (world) => world.apply({ replicas: 3, template: templateWith('app', { gh: undefined }) })],
    [
      'the template changes',
      (world) => world.apply({ replicas: 2, template: templateWith('other', { gh: undefined }) }),
    ],
    ['what they were given fails', (world) => world.crash(uids(world)[0] ?? '')],
  ])('does not wait when %s', (_, happens) => {
    const world = running()
    world.rotate('gh')
    passes(world)
    happens(world)
    passes(world)
    expect(new Set(given(world))).toEqual(new Set([2]))
  })

  it('is none where a version is pinned', () => {
    const world = running({ template: templateWith('app', { gh: 1 }) })
    world.rotate('gh')
    passes(world)
    world.now += SETTLE
    passes(world)
    expect(world.acts).toEqual([])
    expect(world.condition('SecretStale')).toBe('False AsExpected')
  })

  it('does nothing to who runs nothing, and is what the next one is given', () => {
    const world = running()
    const template = templateWith('app', { gh: undefined })
    world.apply({ replicas: 0, template })
    passes(world)
    world.rotate('gh')
    passes(world)
    expect(world.condition('SecretStale')).toBe('False AsExpected')
    world.apply({ replicas: 1, template })
    passes(world)
    expect(given(world)).toEqual([2])
  })
})

describe('a rotation that the new instance does not survive', () => {
  const halted = () => {
    const world = running()
    world.isGood = ({ spec }) => spec.secrets?.['gh']?.version !== 2
    world.rotate('gh')
    passes(world)
    world.settleDown(900_000)
    expect(given(world)).toEqual([1, 1, 2])
    return world
  }

  it('halts: those of the old version serve on, and the status says why', () => {
    const world = halted()
    expect(world.status()).toMatchObject({ phase: 'Degraded', availableReplicas: 2, updatedReplicas: 1 })
    expect(world.condition('Available')).toBe('True MinimumReplicasAvailable')
    expect(world.condition('Progressing')).toBe('False ProgressDeadlineExceeded')
    expect(world.condition('Degraded')).toBe('True Error')
  })

  it('has them start again with the old version', () => {
    const world = halted()
    const [old = ''] = uids(world)
    world.crash(old)
    world.settleDown(5_000)
    expect(world.copies.get(old)?.object).toMatchObject({ status: { ready: true, restarts: 1 } })
    expect(given(world)).toEqual([1, 1, 2])
  })

  it('makes room for the next version at once, and goes on with that when it has settled', () => {
    const world = halted()
    world.rotate('gh')
    passes(world)
    expect(given(world)).toEqual([1, 1])
    world.settleDown(SETTLE)
    expect(given(world)).toEqual([3, 3])
    expect(world.condition('Progressing')).toBe('False RolloutComplete')
  })
})

describe('with rotation Manual', () => {
  const stale = () => {
    const world = running({ secretRotation: 'Manual' })
    world.rotate('gh')
    passes(world)
    world.settleDown()
    expect(world.acts).toEqual([])
    return world
  }

  it('instances keep what they have, and the status says what is newer', () => {
    const world = stale()
    expect(given(world)).toEqual([1, 1])
    expect(world.condition('SecretStale')).toBe('True SecretRotated')
    expect(world.status().conditions?.find(({ type }) => type === 'SecretStale')?.message).toBe(
      'secret "gh" changed from version 1 to 2; instances keep what they have until the template changes',
    )
    expect(world.condition('Progressing')).toBe('False RolloutComplete')
    expect(world.status().phase).toBe('Running')
  })

  it('one that crashes starts again with what it had', () => {
    const world = stale()
    const before = uids(world)
    for (const uid of before) world.crash(uid)
    world.settleDown(5_000)
    expect(uids(world)).toEqual(before)
    expect(given(world)).toEqual([1, 1])
  })

  it('one more is given what the others have', () => {
    const world = stale()
    world.apply({ replicas: 3, template: templateWith('app', { gh: undefined }), secretRotation: 'Manual' })
    passes(world)
    expect(given(world)).toEqual([1, 1, 1])
  })

  it('a new template takes it', () => {
    const world = stale()
    world.apply({ replicas: 2, template: templateWith('other', { gh: undefined }), secretRotation: 'Manual' })
    passes(world)
    expect(given(world)).toEqual([2, 2])
    expect(world.condition('SecretStale')).toBe('False AsExpected')
  })

  it('so does leaving Manual, without waiting once more', () => {
    const world = stale()
    world.now += SETTLE
    world.apply({ replicas: 2, template: templateWith('app', { gh: undefined }) })
    passes(world)
    expect(given(world)).toEqual([2, 2])
  })

  it('what not one of them can use is not kept', () => {
    const world = stale()
    world.isGood = ({ spec }) => spec.secrets?.['gh']?.version !== 1
    for (const uid of uids(world)) world.crash(uid)
    world.settleDown()
    expect(given(world)).toEqual([2, 2])
  })
})

describe('a secret that is not there', () => {
  it('is waited for, and used as soon as there is one', () => {
    const world = new RolloutWorld(1, SETTLE)
    world.apply({ replicas: 1, template: templateWith('app', { gh: undefined }) })
    passes(world)
    expect(world.condition('Degraded')).toBe('True CreateConfigError')
    expect(world.condition('SecretsReady')).toBe('False CreateConfigError')
    world.rotate('gh')
    passes(world)
    expect(given(world)).toEqual([1])
    expect(world.condition('SecretsReady')).toBe('True AsExpected')
    expect(world.status().phase).toBe('Running')
  })

  it('any more takes nothing from who runs; one that is made anew is another one', () => {
    const world = running()
    world.heads.delete('gh')
    passes(world)
    expect(world.acts).toEqual([])
    expect(world.condition('SecretsReady')).toBe('False CreateConfigError')
    world.rotate('gh')
    passes(world)
    world.now += SETTLE
    passes(world)
    expect(given(world)).toEqual([1, 1])
    const used = new Set(liveIn(world.situation()).map(({ secrets }) => secrets['gh']?.uid))
    expect(used).toEqual(new Set([world.heads.get('gh')?.uid]))
    expect(scheduled(world)).toBe(2)
  })

  it('in the middle of a rollout halts it, and one that is made anew ends it', () => {
    const world = running()
    world.rotate('gh')
    passes(world)
    world.now += SETTLE
    world.pass()
    world.heads.delete('gh')
    world.settleDown(120_000)
    expect(world.status()).toMatchObject({ phase: 'Degraded', availableReplicas: 2 })
    world.rotate('gh')
    world.settleDown(SETTLE)
    expect(new Set(liveIn(world.situation()).map(({ secrets }) => secrets['gh']?.uid))).toEqual(
      new Set([world.heads.get('gh')?.uid]),
    )
    expect(world.status().phase).toBe('Running')
  })
})

describe('how long a rotation still settles', () => {
  const rotation = { templateHash: 'h', secrets: {}, change: '', settleMs: SETTLE }
  it.each([
    ['it was not seen before', {}, SETTLE],
    ['it was seen a while ago', { since: -4_000 }, 6_000],
    ['its time is over', { since: -SETTLE }, 0],
    ['a clock was set back long after it was seen', { since: 3_600_000 }, 0],
    ['it is taken up', { since: 0, taken: true as const }, undefined],
  ])('when %s', (_, changes, milliseconds) => {
    expect(settlesIn({ ...rotation, ...changes }, 0)).toBe(milliseconds)
  })
  it('when it is not taken up by itself', () => {
    const { settleMs: _, ...manual } = rotation
    expect(settlesIn(manual, 0)).toBeUndefined()
  })
})
