import { describe, expect, it } from '@jest/globals'
import { defaultStrategy } from './rollout.plan'
import { nextDue, plan, type Action, type PlannedInstance, type PlannedServer } from './server.plan'

const server: PlannedServer = {
  generation: 1,
  replicas: 2,
  strategy: defaultStrategy,
  templateHash: 'new',
  secrets: {},
  usesSecrets: false,
  deleting: false,
  driver: 'process',
  isolated: false,
}

const instance = (slot: number, changes: Partial<PlannedInstance> = {}): PlannedInstance => ({
  uid: `i${String(slot)}`,
  name: `github-new-${String(slot)}`,
  slot,
  templateHash: 'new',
  secrets: {},
  alike: true,
  driver: 'process',
  isolated: false,
  state: 'running',
  ready: true,
  phase: 'Running',
  failures: 0,
  message: '',
  reason: 'AsExpected',
  handle: String(slot),
  unit: { state: 'running', handle: String(slot) },
  connection: { phase: 'ready' },
  busy: false,
  ...changes,
})

const old = (slot: number, changes: Partial<PlannedInstance> = {}) =>
  instance(slot, { templateHash: 'old', alike: false, ...changes })
const draining = (slot: number) => instance(slot, { state: 'draining', ready: false })
const starting = (slot: number) => instance(slot, { ready: false, connection: { phase: 'connecting', forMs: 10 } })

const brief = (action: Action): string => {
  if (action.type === 'schedule') return `schedule ${String(action.slot)}`
  return action.type === 'confirmDeleted' ? 'confirmDeleted' : `${action.type} ${action.uid}`
}
const planned = (instances: PlannedInstance[], changes: Partial<PlannedServer> = {}, now = 0) =>
  plan({ server: { ...server, ...changes }, instances, now }).map(brief)

describe('how many', () => {
  it.each<[string, PlannedInstance[], number, string[]]>([
    ['schedules what is missing', [], 2, ['schedule 0', 'schedule 1']],
    ['fills the gaps', [instance(0), instance(2)], 3, ['schedule 1']],
    ['is content with what is wanted', [instance(0), instance(1)], 2, []],
    ['drains the highest slot when there are too many', [instance(0), instance(1), instance(2)], 2, ['drain i2']],
    ['drains one that is not ready before a ready one', [starting(0), instance(1)], 1, ['drain i0']],
    ['drains all at zero', [instance(0), starting(1)], 0, ['drain i1', 'drain i0']],
    ['waits for a slot that is still draining', [instance(0), draining(1), draining(2)], 2, ['stop i1', 'stop i2']],
  ])('%s', (_, instances, replicas, actions) => {
    expect(planned(instances, { replicas })).toEqual(actions)
  })
})

describe('a changed template', () => {
  it.each<[string, PlannedInstance[], string[]]>([
    ['brings up one more first', [old(0), old(1)], ['schedule 2']],
    ['waits until the new one is ready', [old(0), old(1), starting(2)], []],
    ['lets one old one go for each new one that is ready', [old(0), old(1), instance(2)], ['drain i1']],
    ['takes the freed slot for the next', [old(0), instance(2)], ['schedule 1']],
    ['ends with new ones only', [old(0), instance(1), instance(2)], ['drain i0']],
    [
      'keeps every old one that serves while the new one fails',
      [old(0), old(1), instance(2, { state: 'waiting', ready: false, nextStartAt: 99, unit: 'none' })],
      [],
    ],
    [
      'makes room for a third template when the second one never came up',
      [old(0), old(1), old(2, { ready: false, state: 'waiting', nextStartAt: 99, unit: 'none' })],
      ['drain i2'],
    ],
  ])('%s', (_, instances, actions) => {
    expect(planned(instances)).toEqual(actions)
  })

  it('drains all that are too many at once when scaled down meanwhile', () => {
    expect(planned([old(0), old(1), old(2), old(3)], { replicas: 1 })).toEqual(['drain i3', 'drain i2', 'drain i1'])
  })
})

describe('care for one instance', () => {
  const waiting = { state: 'waiting', ready: false, unit: 'none', nextStartAt: 100 } as const
  it.each<[string, Partial<PlannedInstance>, number, string[]]>([
    ['starts what was scheduled', { state: 'scheduled', ready: false, unit: 'none' }, 0, ['start i0']],
    ['waits for its backoff', waiting, 99, []],
    ['starts again after its backoff', waiting, 100, ['start i0']],
    [
      'adopts what runs although no event says so',
      { state: 'scheduled', ready: false, unit: { state: 'running', handle: 'x' } },
      0,
      ['adopt i0'],
    ],
    ['starts what was created but not started', { unit: { state: 'created', handle: '0' } }, 0, ['start i0']],
    ['connects', { ready: false, connection: { phase: 'none' } }, 0, ['connect i0']],
    ['reports it ready', { ready: false }, 0, ['reportReady i0']],
    ['reports an exit', { unit: { state: 'exited', handle: '0' } }, 0, ['reportExit i0']],
    ['reports one that is gone', { unit: 'none' }, 0, ['reportExit i0']],
    [
      'kills one that does not answer',
      { connection: { phase: 'failed', reason: 'ProbeFailed', message: 'm' } },
      0,
      ['kill i0'],
    ],
    ['bears a short loss of the connection', { connection: { phase: 'connecting', forMs: 4_000 } }, 0, []],
    ['reports a long one', { connection: { phase: 'connecting', forMs: 6_000 } }, 0, ['reportUnready i0']],
    ['touches nothing while the engine is away', { unit: 'unknown', reason: 'EngineUnavailable', ready: false }, 0, []],
    ['says that the engine is away', { unit: 'unknown' }, 0, ['reportUnready i0']],
    ['leaves one alone that is being started or stopped', { state: 'draining', busy: true }, 0, []],
  ])('%s', (_, changes, now, actions) => {
    expect(planned([instance(0, changes)], { replicas: changes.state === 'draining' ? 0 : 1 }, now)).toEqual(actions)
  })

  it.each([
    [{ code: 0, signal: null, oom: false, at: '' }, 'Completed'],
    [{ code: 3, signal: null, oom: false, at: '' }, 'Error'],
    [{ code: null, signal: 'SIGSEGV', oom: false, at: '' }, 'Error'],
    [{ code: 137, signal: null, oom: true, at: '' }, 'OOMKilled'],
  ])('names the reason of an exit %j', (exit, reason) => {
    const exited = instance(0, { unit: { state: 'exited', handle: '0', exit } })
    expect(plan({ server: { ...server, replicas: 1 }, instances: [exited], now: 0 })).toMatchObject([{ reason }])
  })

  it('blames the daemon for a child that is gone, and nobody for a container', () => {
    const gone = (driver: 'process' | 'docker') =>
      plan({ server: { ...server, replicas: 1 }, instances: [instance(0, { unit: 'none', driver })], now: 0 })
    expect(gone('process')).toMatchObject([{ reason: 'DaemonRestarted' }])
    expect(gone('docker')).toMatchObject([{ reason: 'NodeLost' }])
  })

  it('says when the next start is due', () => {
    const waits = [instance(0, { ...waiting, nextStartAt: 500 }), instance(1, { ...waiting, nextStartAt: 300 })]
    expect(nextDue({ server, instances: waits, now: 100 })).toBe(200)
    expect(nextDue({ server, instances: [instance(0)], now: 100 })).toBeUndefined()
  })

  it('says when one that is ready will be available, and when a rollout will be stuck', () => {
    const slow = { ...server, strategy: { ...defaultStrategy, minReadySeconds: 10, progressDeadlineSeconds: 60 } }
    const fresh = instance(0, { readySince: 1_000 })
    expect(nextDue({ server: slow, instances: [fresh], now: 4_000 })).toBe(7_000)
    expect(nextDue({ server: slow, instances: [fresh], now: 11_000 })).toBeUndefined()
    expect(nextDue({ server: slow, instances: [draining(0)], now: 4_000 })).toBeUndefined()
    const progress = { revision: 'new', updated: 1, available: 0, old: 0, progressedAt: new Date(0).toISOString() }
    expect(nextDue({ server: { ...slow, progress }, instances: [starting(0)], now: 4_000 })).toBe(56_000)
    expect(nextDue({ server: { ...slow, progress }, instances: [starting(0)], now: 70_000 })).toBeUndefined()
  })
})

describe('deletion', () => {
  it('drains every instance', () => {
    expect(planned([instance(0), draining(1)], { deleting: true })).toEqual(['stop i1', 'drain i0'])
  })
  it('is confirmed once nothing is left', () => {
    expect(planned([], { deleting: true })).toEqual(['confirmDeleted'])
  })
})
