import { describe, expect, it } from '@jest/globals'
import { defaultStrategy } from './rollout.plan'
import { observe as observed } from './server-status.plan'
import type { PlannedInstance, PlannedServer } from './server.plan'

const server: PlannedServer = {
  generation: 3,
  replicas: 2,
  strategy: defaultStrategy,
  templateHash: 'new',
  secrets: {},
  usesSecrets: false,
  deleting: false,
  driver: 'process',
  isolated: false,
}
const ready = (changes: Partial<PlannedInstance> = {}): PlannedInstance => ({
  uid: 'u',
  name: 'github-new-0',
  slot: 0,
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
  unit: { state: 'running', handle: '1' },
  connection: { phase: 'ready' },
  busy: false,
  ...changes,
})
const starting = ready({ ready: false, phase: 'Starting', reason: 'Starting' })
const old = ready({ templateHash: 'old', alike: false })
const failing = ready({
  name: 'github-new-1',
  ready: false,
  state: 'waiting',
  phase: 'CrashLoopBackOff',
  reason: 'Error',
  message: 'exited with code 1',
  failures: 4,
  failure: { phase: 'CrashLoopBackOff', reason: 'Error', message: 'exited with code 1' },
  unit: 'none',
})
const blameless = ready({ ready: false, state: 'waiting', phase: 'Pending', reason: 'DaemonRestarted', unit: 'none' })
const draining = ready({ state: 'draining', ready: false })
const away = ready({ unit: 'unknown', ready: false, reason: 'EngineUnavailable' })

const observe = (planned: PlannedServer, instances: PlannedInstance[], now = 0) =>
  observed({ server: planned, instances, now })

/** Phase and counts: replicas, up to date, ready. */
const brief = (instances: PlannedInstance[], changes: Partial<PlannedServer> = {}) => {
  const { phase, replicas, updatedReplicas, readyReplicas } = observe({ ...server, ...changes }, instances)
  return [phase, replicas, updatedReplicas, readyReplicas]
}
const conditions = (instances: PlannedInstance[], changes: Partial<PlannedServer> = {}) =>
  observe({ ...server, ...changes }, instances).conditions.map(
    ({ type, status, reason }) => `${type}=${status} ${reason}`,
  )

const no = { available: 'Available=False MinimumReplicasUnavailable', degraded: 'Degraded=False AsExpected' }
const yes = { available: 'Available=True MinimumReplicasAvailable', progressing: 'Progressing=True RolloutInProgress' }
const complete = 'Progressing=False RolloutComplete'

describe('the status of a server', () => {
  it.each<[string, [PlannedInstance[], Partial<PlannedServer>], unknown[], string[]]>([
    ['nothing yet', [[], {}], ['Progressing', 0, 0, 0], [no.available, yes.progressing, no.degraded]],
    ['starting', [[ready(), starting], {}], ['Progressing', 2, 2, 1], [no.available, yes.progressing, no.degraded]],
    ['all ready', [[ready(), ready()], {}], ['Running', 2, 2, 2], [yes.available, complete, no.degraded]],
    ['replacing', [[ready(), old, old], {}], ['Progressing', 3, 1, 3], [yes.available, yes.progressing, no.degraded]],
    [
      'one too many',
      [[ready(), ready(), ready()], {}],
      ['Progressing', 3, 3, 3],
      [yes.available, yes.progressing, no.degraded],
    ],
    ['draining one', [[ready(), ready(), draining], {}], ['Running', 2, 2, 2], [yes.available, complete, no.degraded]],
    [
      'crashing',
      [[ready(), failing], {}],
      ['CrashLoopBackOff', 2, 2, 1],
      [no.available, yes.progressing, 'Degraded=True Error'],
    ],
    [
      'old ones serve while new ones crash',
      [[old, old, failing], {}],
      ['Degraded', 3, 1, 2],
      [yes.available, yes.progressing, 'Degraded=True Error'],
    ],
    [
      'the daemon restarted',
      [[ready(), blameless], {}],
      ['Progressing', 2, 2, 1],
      [no.available, yes.progressing, no.degraded],
    ],
    [
      'the engine is away',
      [[away, away], {}],
      ['Unknown', 2, 2, 0],
      [no.available, yes.progressing, 'Degraded=True EngineUnavailable'],
    ],
    [
      'scaled to zero',
      [[], { replicas: 0 }],
      ['Running', 0, 0, 0],
      ['Available=True ScaledToZero', complete, no.degraded],
    ],
    [
      'going to zero',
      [[draining], { replicas: 0 }],
      ['Running', 0, 0, 0],
      ['Available=True ScaledToZero', complete, no.degraded],
    ],
    [
      'being deleted',
      [[ready(), draining], { deleting: true }],
      ['Terminating', 1, 1, 1],
      ['Available=False Terminating', yes.progressing, no.degraded],
    ],
  ])('%s', (_, [instances, changes], counts, expected) => {
    expect(brief(instances, changes)).toEqual(counts)
    expect(conditions(instances, changes)).toEqual(expected)
  })

  it('names the instance that fails most, why, and where to look', () => {
    const worse = {
      ...failing,
      name: 'github-new-7',
      failures: 9,
      failure: { phase: 'CrashLoopBackOff', reason: 'OOMKilled', message: 'ran out of memory' },
    } as const
    const degraded = observe(server, [failing, worse]).conditions.find(({ type }) => type === 'Degraded')
    expect(degraded).toMatchObject({
      reason: 'OOMKilled',
      message: 'instance github-new-7: ran out of memory; see: mcpctl logs instance/github-new-7',
    })
  })

  it('goes on saying so while the instance starts once more', () => {
    const again = { ...failing, state: 'running', phase: 'Starting', reason: 'Starting' } as const
    expect(conditions([ready(), again])).toContain('Degraded=True Error')
    expect(brief([ready(), again])).toEqual(['CrashLoopBackOff', 2, 2, 1])
    expect(conditions([ready(), { ...again, ready: true }])).toContain('Degraded=False AsExpected')
  })

  it('points to the description of one that never ran: it has no log', () => {
    const failure = {
      phase: 'PackageInstallFailed',
      reason: 'PackageInstallFailed',
      message: 'no such package',
    } as const
    const degraded = observe(server, [{ ...failing, failure }]).conditions.find(({ type }) => type === 'Degraded')
    expect(degraded?.message).toBe('instance github-new-1: no such package; see: mcpctl describe instance/github-new-1')
  })

  it('says whether the secrets that it names are there', () => {
    const secrets = (changes: Partial<PlannedServer>, instances: PlannedInstance[] = [ready()]) =>
      observe({ ...server, ...changes }, instances).conditions.find(({ type }) => type === 'SecretsReady')
    const gone = { reason: 'CreateConfigError', message: 'secret "gh-token" not found' } as const
    const sealed = {
      ...failing,
      failure: { phase: 'SecretUndecryptable', reason: 'SecretUndecryptable', message: 'm' },
    } as const
    expect(secrets({})).toBeUndefined()
    expect(secrets({ usesSecrets: true })).toMatchObject({ status: 'True', reason: 'AsExpected' })
    expect(secrets({ usesSecrets: true, missing: [gone, gone] })).toMatchObject({ status: 'False', ...gone })
    expect(secrets({ usesSecrets: true }, [ready(), sealed])).toMatchObject({
      status: 'False',
      reason: 'SecretUndecryptable',
      message: 'm',
    })
  })

  it('says of which generation it speaks', () => {
    const seen = observe(server, [ready()])
    expect(seen.observedGeneration).toBe(3)
    expect(seen.conditions.map(({ observedGeneration }) => observedGeneration)).toEqual([3, 3, 3])
  })

  it('shows the driver of what runs, and of what would run when nothing does', () => {
    const docker = { ...server, driver: 'docker', isolated: true } as const
    expect(observe(docker, [])).toMatchObject({ driver: 'docker', isolated: true })
    expect(observe(docker, [ready()])).toMatchObject({ driver: 'process', isolated: false })
    const mixed = [ready({ driver: 'docker', isolated: true }), ready()]
    expect(observe(docker, mixed)).toMatchObject({ isolated: false })
  })

  it('shows protocol and tools of one that is ready', () => {
    const known = { protocol: '2025-06-18', tools: 4 }
    expect(observe(server, [starting, ready(known)])).toMatchObject(known)
    expect(observe(server, [{ ...starting, ...known }])).not.toHaveProperty('protocol')
  })
})
