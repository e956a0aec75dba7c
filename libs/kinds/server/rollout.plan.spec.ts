import { describe, expect, it } from '@jest/globals'
import { availableIn, defaultStrategy, minAvailable, rollOut } from './rollout.plan'
import type { PlannedInstance, PlannedServer } from './server.plan'
import type { RolloutStrategy } from './server.decider'

const now = 1_000_000

const planned = (replicas: number, strategy: Partial<RolloutStrategy> = {}): PlannedServer => ({
  generation: 1,
  replicas,
  strategy: { ...defaultStrategy, ...strategy },
  templateHash: 'new',
  secrets: {},
  usesSecrets: false,
  deleting: false,
  driver: 'process',
  isolated: false,
})

/**
 * Instances by slot. A letter each: N new, O old, capitals are available, small ones are not ready; d drains, `.` is a free slot, and R is new
 * and ready, but not for long enough.
 */
const fleet = (letters: string): PlannedInstance[] =>
  Array.from(letters).flatMap((letter, slot) => (letter === '.' ? [] : [instance(letter, slot)]))

const instance = (letter: string, slot: number): PlannedInstance => {
  const ready = 'NOR'.includes(letter)
  const isNew = 'NnR'.includes(letter)
  return {
    uid: `${letter}${String(slot)}`,
    name: `app-${String(slot)}`,
    slot,
    templateHash: isNew ? 'new' : 'old',
    secrets: {},
    alike: isNew,
    driver: 'process',
    isolated: false,
    state: letter === 'd' ? 'draining' : 'running',
    ready,
    ...(ready && { readySince: letter === 'R' ? now - 1_000 : 0 }),
    phase: 'Running',
    failures: 0,
    message: '',
    reason: 'AsExpected',
    unit: { state: 'running', handle: 'h' },
    connection: { phase: 'ready' },
    busy: false,
  }
}

const acts = (server: PlannedServer, letters: string): string[] =>
  rollOut({ server, instances: fleet(letters), now }).map((action) =>
    action.type === 'schedule' ? `+${String(action.slot)}` : `-${action.uid}`,
  )

describe('how many must stay available', () => {
  it.each([
    [3, { maxSurge: 1, maxUnavailable: 0 }, 3],
    [3, { maxSurge: 1, maxUnavailable: 1 }, 2],
    [3, { maxSurge: 0, maxUnavailable: 3 }, 1],
    [1, { maxSurge: 1, maxUnavailable: 1 }, 1],
    [2, { maxSurge: 0, maxUnavailable: 100 }, 1],
    [1, { maxSurge: 0, maxUnavailable: 1 }, 0],
    [0, { maxSurge: 1, maxUnavailable: 0 }, 0],
    [0, { maxSurge: 0, maxUnavailable: 1 }, 0],
  ])('of %i with %j: %i', (replicas, strategy, least) => {
    expect(minAvailable(planned(replicas, strategy))).toBe(least)
  })
})

describe('a rollout', () => {
  it.each<[string, PlannedServer, string, string[]]>([
    ['surges by as many as it may', planned(4, { maxSurge: 3 }), 'OOOO', ['+4', '+5', '+6']],
    ['makes no more new ones than are wanted', planned(2, { maxSurge: 5 }), 'OO', ['+2', '+3']],
    ['lets go of as many as came', planned(3, { maxSurge: 2 }), 'OOONN', ['-O2', '-O1']],
    ['without a surge takes one away first', planned(3, { maxSurge: 0, maxUnavailable: 1 }), 'OOO', ['-O2']],
    ['and puts the new one in its place', planned(3, { maxSurge: 0, maxUnavailable: 1 }), 'OO.', ['+2']],
    ['and waits for it', planned(3, { maxSurge: 0, maxUnavailable: 1 }), 'OOn', []],
    ['and goes on once it is there', planned(3, { maxSurge: 0, maxUnavailable: 1 }), 'OON', ['-O1']],
    ['waits for a slot that is not free yet', planned(3, { maxSurge: 0, maxUnavailable: 1 }), 'OOd', []],
    ['takes several away at once', planned(4, { maxSurge: 0, maxUnavailable: 2 }), 'OOOO', ['-O3', '-O2']],
    ['does both', planned(3, { maxSurge: 1, maxUnavailable: 1 }), 'OOO', ['-O2', '+3']],
    ['counts those that fail among the unavailable', planned(3, { maxSurge: 0, maxUnavailable: 1 }), 'OOo', ['-o2']],
    [
      'keeps the last one, though all may be away',
      planned(3, { maxSurge: 0, maxUnavailable: 3 }),
      'OOO',
      ['-O2', '-O1'],
    ],
    ['keeps the last one while the new ones fail', planned(3, { maxSurge: 0, maxUnavailable: 3 }), 'Onn', []],
    ['keeps the only one until another is there', planned(1, { maxSurge: 1, maxUnavailable: 1 }), 'O', ['+1']],
    ['keeps the only one while the new one fails', planned(1, { maxSurge: 1, maxUnavailable: 1 }), 'On', []],
    [
      'ends the only one first where nothing else is allowed',
      planned(1, { maxSurge: 0, maxUnavailable: 1 }),
      'O',
      ['-O0'],
    ],
    ['replaces what fails first', planned(3, { maxSurge: 1 }), 'oOON', ['-o0']],
    ['makes room for the next revision', planned(2, { maxSurge: 1 }), 'OOo', ['-o2']],
    ['needs no room where nothing new is made', planned(2, { maxSurge: 1 }), 'OOn', []],
    ['does not take ready for available', planned(2, { maxSurge: 1, minReadySeconds: 10 }), 'OOR', []],
    [
      'takes what has been ready for long for available',
      planned(2, { maxSurge: 1, minReadySeconds: 1 }),
      'OOR',
      ['-O1'],
    ],
  ])('%s', (_, server, letters, expected) => {
    expect(acts(server, letters)).toEqual(expected)
  })
})

describe('a rollout of which the number changes meanwhile', () => {
  it.each<[string, number, string, string[]]>([
    ['down to none: all go, new and old', 0, 'OONn', ['-n3', '-N2', '-O1', '-O0']],
    ['down to one: what is new and available stays', 1, 'OON', ['-O1', '-O0']],
    ['down to one: what is available stays while the new one is not', 1, 'OOn', ['-O1']],
    ['down, with more new ones than are wanted', 1, 'O.NN', ['-N3', '-O0']],
    ['down to fewer than the new ones that are not available yet', 1, 'OOnn', ['-n3', '-O1']],
    ['up: more of the new ones, the surge included', 4, 'OOn', ['+3', '+4']],
    ['up from none: in slots that are free', 2, 'dd', ['+2']],
  ])('%s', (_, replicas, letters, expected) => {
    expect(acts(planned(replicas), letters)).toEqual(expected)
  })
})

describe('available is who', () => {
  const strategy = { ...defaultStrategy, minReadySeconds: 10 }
  it.each<[string, Partial<PlannedInstance>, number | undefined]>([
    ['has been ready for long enough', { ready: true, readySince: now - 10_000 }, 0],
    ['will have been', { ready: true, readySince: now - 4_000 }, 6_000],
    ['is not ready: nobody knows when', { ready: false }, undefined],
    ['was ready before anybody noted since when', { ready: true }, 0],
    ['became ready long before a clock was set back', { ready: true, readySince: now + 3_600_000 }, 0],
  ])('%s', (_, changes, milliseconds) => {
    const { readySince: _since, ...rest } = instance('n', 0)
    expect(availableIn({ ...rest, ...changes }, strategy, now)).toBe(milliseconds)
  })
})

describe('who goes is told why', () => {
  const reason = (changes: Partial<PlannedInstance>, server: PlannedServer = planned(1)) => {
    const instances = [{ ...instance('O', 0), ...changes }, instance('N', 1)]
    const [action] = rollOut({ server, instances, now })
    return action?.type === 'drain' && action.reason
  }
  const secrets = { gh: { uid: 'a', version: 5 } }
  const before = { gh: { uid: 'a', version: 4 } }

  it.each<[string, Partial<PlannedInstance>, PlannedServer, string]>([
    ['a new template', {}, planned(1), 'replaced by a new template'],
    ['a new template and a new version', { secrets: before }, { ...planned(1), secrets }, 'replaced by a new template'],
    [
      'a new version alone',
      { secrets: before, alike: true },
      { ...planned(1), secrets },
      'SecretRotated: secret "gh" changed from version 4 to 5',
    ],
  ])('%s', (_, changes, server, expected) => {
    expect(reason(changes, server)).toBe(expected)
  })

  it('too many', () => {
    const [action] = rollOut({ server: planned(1), instances: fleet('NN'), now })
    expect(action).toMatchObject({ type: 'drain', reason: 'scaled down' })
  })
})
