import { describe, expect, it } from '@jest/globals'
import type { InstanceEvent } from './instance.decider'
import type { InstanceIdentity } from './instance.kind'
import { instanceView, type InstanceObject } from './instance.view'

const identity: InstanceIdentity = {
  name: 'github-ab12-0',
  server: { uid: 's', name: 'github' },
  slot: 0,
  templateHash: 'ab12',
  template: { image: 'a:1', transport: 'http', port: 80, command: [], args: [], env: [] },
  driver: 'docker',
  isolated: true,
}
const handshake = { protocolVersion: '2025-06-18', capabilities: {}, serverInfo: { name: 'a', version: '1' } }
const started: InstanceEvent = { type: 'InstanceStarted', data: { handle: 'h1', at: 'started' } }
const ready: InstanceEvent = { type: 'InstanceReady', data: { handshake, tools: 3, at: 'ready' } }
const exit = { code: 1, signal: null, oom: false, message: 'exited with code 1', at: 'exited', nextStartAt: 'next' }
const exited = (failures: number, reason: 'Error' | 'DaemonRestarted' | 'NodeLost' | 'OOMKilled' = 'Error') =>
  ({ type: 'InstanceExited', data: { ...exit, reason, failures } }) satisfies InstanceEvent
const startFailed = (failures: number, reason: 'ImagePullBackOff' | 'ImageNotFound' | 'PackageInstallFailed') =>
  ({
    type: 'InstanceStartFailed',
    data: { reason, message: 'm', failures, nextStartAt: 'next' },
  }) satisfies InstanceEvent
const restarted: InstanceEvent = { type: 'InstanceRestarted', data: { handle: 'h2', at: 'again', restarts: 1 } }
const unready = (reason: 'ProbeFailed' | 'EngineUnavailable') =>
  ({ type: 'InstanceUnready', data: { reason, message: 'm' } }) satisfies InstanceEvent
const draining: InstanceEvent = { type: 'InstanceDraining', data: { reason: 'scaled down' } }

/** The object after these events, the n-th of which happened at `t<n>`. */
const after = (...events: InstanceEvent[]): InstanceObject | undefined =>
  [{ type: 'InstanceScheduled', data: identity, claims: [] } as InstanceEvent, ...events].reduce<
    InstanceObject | undefined
  >((object, event, n) => instanceView(object, { ...event, position: BigInt(n), at: `t${String(n)}` }), undefined)

/** Phase, ready, condition, and since when it holds. */
const brief = (...events: InstanceEvent[]) => {
  const { phase, ready: isReady, conditions } = after(...events)?.status ?? {}
  const [condition] = conditions ?? []
  return `${String(phase)} ${String(isReady)} ${String(condition?.reason)} since ${String(condition?.lastTransitionTime)}`
}

describe('what is shown of an instance', () => {
  it('is what it was scheduled as', () => {
    expect(after()).toMatchObject({
      name: 'github-ab12-0',
      spec: { server: 'github', serverUid: 's', slot: 0, driver: 'docker', source: 'a:1', transport: 'http' },
      status: { phase: 'Pending', ready: false, isolated: true, restarts: 0 },
    })
  })

  it.each<[string, InstanceEvent[]]>([
    ['Pending false Starting since t0', []],
    ['Starting false Starting since t0', [started]],
    ['Running true AsExpected since t2', [started, ready]],
    ['Unready false ProbeFailed since t3', [started, ready, unready('ProbeFailed')]],
    ['Unknown false EngineUnavailable since t3', [started, ready, unready('EngineUnavailable')]],
    ['Running true AsExpected since t4', [started, ready, unready('ProbeFailed'), ready]],
    ['Error false Error since t3', [started, ready, exited(1)]],
    ['OOMKilled false OOMKilled since t3', [started, ready, exited(1, 'OOMKilled')]],
    ['CrashLoopBackOff false Error since t3', [started, ready, exited(2)]],
    ['Pending false DaemonRestarted since t3', [started, ready, exited(5, 'DaemonRestarted')]],
    ['Pending false NodeLost since t3', [started, ready, exited(0, 'NodeLost')]],
    ['ImageNotFound false ImageNotFound since t0', [startFailed(1, 'ImageNotFound')]],
    ['CrashLoopBackOff false ImageNotFound since t0', [startFailed(2, 'ImageNotFound')]],
    ['ImagePullBackOff false ImagePullBackOff since t0', [startFailed(7, 'ImagePullBackOff')]],
    ['PackageInstallFailed false PackageInstallFailed since t0', [startFailed(7, 'PackageInstallFailed')]],
    ['Starting false Starting since t3', [started, ready, exited(1), restarted]],
    ['Terminating false Terminating since t3', [started, ready, draining]],
  ])('is %s', (expected, events) => {
    expect(brief(...events)).toBe(expected)
  })

  it('counts restarts and remembers the last exit through the next run', () => {
    expect(after(started, exited(1), restarted, ready)?.status).toMatchObject({
      restarts: 1,
      handle: 'h2',
      startedAt: 'again',
      lastExit: { code: 1, reason: 'Error', at: 'exited' },
    })
  })

  it('says when the next start is due only while it waits for it', () => {
    expect(after(started, exited(1))?.status).toMatchObject({ nextStartAt: 'next' })
    expect(after(started, exited(1), restarted)?.status).not.toHaveProperty('nextStartAt')
    expect(after(started, exited(1))?.status).not.toHaveProperty('startedAt')
  })

  it('has the handshake and since when it is ready, only while there is a run', () => {
    expect(after(started, ready)?.status).toMatchObject({
      handshake,
      tools: 3,
      protocol: '2025-06-18',
      readySince: 'ready',
    })
    expect(after(started, ready, exited(1))?.status).not.toHaveProperty('handshake')
    expect(after(started, ready, unready('ProbeFailed'))?.status).not.toHaveProperty('readySince')
  })

  it('has the handle under which it was adopted', () => {
    expect(after(started, { type: 'InstanceAdopted', data: { handle: 'h9' } })?.status.handle).toBe('h9')
  })

  it('has one time of deletion', () => {
    expect(after(started, draining, draining)?.deletionTimestamp).toBe('t2')
  })

  it('ends with it', () => {
    expect(after(started, draining, { type: 'InstanceStopped', data: {}, claims: [] })).toBeUndefined()
    expect(after({ type: 'OrphanRemoved', data: { handle: 'h' } }, started)).toBeUndefined()
  })
})
