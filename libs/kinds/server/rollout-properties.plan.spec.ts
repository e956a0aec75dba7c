import { describe, expect, it } from '@jest/globals'
import { liveIn, RolloutWorld, templateWith } from '../../../test/support/rollout-world'
import { availableIn, isLive } from './rollout.plan'
import type { RolloutStrategy, ServerState } from './server.decider'
import type { Situation } from './server.plan'

const WORLDS = 25
const STEPS = 60

const available = ({ instances, server, now }: Situation) =>
  instances.filter((each) => isLive(each) && availableIn(each, server.strategy, now) === 0).length

/** What the documentation promises, said without the plan's own words. */
const promised = ({ server: { replicas, strategy } }: Situation): number => {
  const mayEndAll = replicas === 0 || (replicas === 1 && strategy.maxSurge === 0)
  return Math.max(mayEndAll ? 0 : 1, replicas - strategy.maxUnavailable)
}

/** One pass, watched: what was available and what there was before and after. Time stands still meanwhile. */
const watched = (world: RolloutWorld) => {
  const before = world.situation()
  const { actions } = world.pass()
  const after = world.situation()
  const least = Math.min(available(before), promised(before))
  expect(available(after)).toBeGreaterThanOrEqual(least)
  if (!actions.some(({ type }) => type === 'schedule')) return
  const { replicas, strategy } = before.server
  expect(liveIn(after).length).toBeLessThanOrEqual(replicas + strategy.maxSurge)
  const highest = Math.max(...actions.flatMap((action) => (action.type === 'schedule' ? [action.slot] : [])))
  expect(highest).toBeLessThan(replicas + strategy.maxSurge)
}

const names = ['one', 'two']

/** Somebody who changes his mind all the time. */
class Restless {
  desired: ServerState = { replicas: 2, template: templateWith('t0') }
  private templates = 0

  constructor(readonly world: RolloutWorld) {
    world.rotate('one')
    world.apply(this.desired)
  }

  private below(limit: number): number {
    return Math.floor(this.world.random() * limit)
  }

  apply(changes: Partial<ServerState>): void {
    this.desired = { ...this.desired, ...changes }
    this.world.apply(this.desired)
  }

  private strategy(): RolloutStrategy {
    const maxSurge = this.below(4)
    const maxUnavailable = this.below(4) + (maxSurge === 0 ? 1 : 0)
    return { maxSurge, maxUnavailable, minReadySeconds: this.below(3) * 5, progressDeadlineSeconds: 60 }
  }

  private template() {
    this.templates += this.world.random() < 0.8 ? 1 : 0
    const used = names.filter(() => this.world.random() < 0.7)
    return templateWith(`t${String(this.templates)}`, Object.fromEntries(used.map((name) => [name, undefined])))
  }

  private readonly acts: (() => void)[] = [
    () => {
      this.apply({ template: this.template() })
    },
    () => {
      this.apply({ replicas: this.below(5) })
    },
    () => {
      this.apply({ strategy: this.strategy() })
    },
    () => {
      this.world.rotate(this.world.pick(names) ?? 'one')
    },
    () => {
      if (this.world.random() < 0.3) this.world.heads.delete(this.world.pick(names) ?? 'one')
    },
    () => {
      const bad = this.world.random()
      this.world.isGood = ({ spec: { templateHash } }) => Number.parseInt(templateHash.slice(0, 4), 16) / 65_536 > bad
    },
    () => {
      this.world.crash(this.world.pick([...this.world.copies.keys()]) ?? '')
    },
  ]

  /** Most of the time things just go on. */
  step(): void {
    const { world } = this
    if (world.random() < 0.35) world.pick(this.acts)?.()
    world.live([...world.copies.keys()].filter(() => world.random() < 0.6))
    world.now += this.below(4_000)
    watched(world)
  }

  /** From now on everything is in order. */
  calm(): void {
    this.world.isGood = () => true
    for (const name of names) if (!this.world.heads.has(name)) this.world.rotate(name)
  }
}

const seeds = Array.from({ length: WORLDS }, (_, seed) => seed)

describe('whatever happens, in whatever order', () => {
  it('no pass takes more away than it may, nor makes more than it may', () => {
    for (const seed of seeds) {
      const somebody = new Restless(new RolloutWorld(seed))
      for (let step = 0; step < STEPS; step++) somebody.step()
    }
  })

  it('it ends with as many as are wanted, all of the newest template and the newest versions, and all available', () => {
    for (const seed of seeds) {
      const world = new RolloutWorld(seed)
      const somebody = new Restless(world)
      for (let step = 0; step < STEPS / 2; step++) somebody.step()
      somebody.calm()
      world.settleDown()
      const situation = world.situation()
      const { server, instances } = situation
      expect({ seed, instances: instances.length }).toEqual({ seed, instances: server.replicas })
      expect(available(situation)).toBe(server.replicas)
      expect(new Set(instances.map(({ templateHash }) => templateHash)).size).toBeLessThanOrEqual(1)
      for (const { spec } of [...world.copies.values()].map(({ object }) => object)) {
        expect(spec.template).toEqual(somebody.desired.template)
        for (const [name, used] of Object.entries(spec.secrets ?? {})) {
          const { uid, version } = world.heads.get(name) ?? {}
          expect({ seed, name, ...used }).toEqual({ seed, name, uid, version })
        }
      }
      expect(world.condition('Progressing')).toBe('False RolloutComplete')
      expect(world.condition('SecretStale') ?? 'False AsExpected').toBe('False AsExpected')
      expect(world.pass()).toEqual({ actions: [], due: undefined })
    }
  })

  it('a revision that never comes up leaves as many available as the strategy says, and the rollout says that it is stuck', () => {
    for (const seed of seeds) {
      const world = new RolloutWorld(seed)
      const somebody = new Restless(world)
      const maxSurge = seed % 3
      const maxUnavailable = (seed % 5) + (maxSurge === 0 ? 1 : 0)
      const strategy = { maxSurge, maxUnavailable, minReadySeconds: 0, progressDeadlineSeconds: 60 }
      somebody.apply({ replicas: 1 + (seed % 4), strategy, template: templateWith('good', { one: undefined }) })
      world.settleDown()
      const good = world.situation().server.templateHash
      world.isGood = ({ spec }) => spec.templateHash === good
      // By its template, or by a value that it is given.
      if (seed % 2 === 0) somebody.apply({ template: templateWith('bad', { one: undefined }) })
      else world.rotate('one')
      const before = promised(world.situation())
      world.settleDown()
      expect(available(world.situation())).toBeGreaterThanOrEqual(before)
      expect({ seed, condition: world.condition('Progressing') }).toEqual({
        seed,
        condition: 'False ProgressDeadlineExceeded',
      })
      somebody.calm()
      world.settleDown()
      expect(world.condition('Progressing')).toBe('False RolloutComplete')
    }
  })

  it('with rotation Manual a new version alone replaces nothing that runs', () => {
    for (const seed of seeds) {
      const world = new RolloutWorld(seed)
      const somebody = new Restless(world)
      somebody.apply({ replicas: 3, secretRotation: 'Manual', template: templateWith('app', { one: undefined }) })
      world.settleDown()
      const before = [...world.copies.keys()]
      for (let step = 0; step < STEPS / 3; step++) {
        if (world.random() < 0.3) world.rotate('one')
        if (world.random() < 0.05) world.crash(world.pick(before) ?? '')
        world.now += 700_000
        world.settleDown()
      }
      expect([...world.copies.keys()]).toEqual(before)
    }
  })
})
