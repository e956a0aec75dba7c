import { describe, expect, it } from '@jest/globals'
import { specFor } from '@mcpctl/event-store/decide/spec-for'
import { instanceDecider, type InstanceCommand, type InstanceEvent } from './instance.decider'
import type { ExitFacts, Handshake, InstanceIdentity } from './instance.kind'

const given = specFor(instanceDecider)

const serverUid = '018f0000-0000-7000-8000-000000000001'
const identity: InstanceIdentity = {
  name: 'github-ab12-0',
  server: { uid: serverUid, name: 'github' },
  slot: 0,
  templateHash: 'ab12',
  template: { package: 'npm:a@1.0.0', transport: 'stdio', command: [], args: [], env: [] },
  driver: 'process',
  isolated: false,
}
const handshake: Handshake = {
  protocolVersion: '2025-06-18',
  capabilities: {},
  serverInfo: { name: 'a', version: '1.0.0' },
}
const start = Date.parse('2026-01-01T00:00:00.000Z')
const at = (seconds: number) => new Date(start + seconds * 1000).toISOString()

const claims = (op: 'take' | 'release') => [
  { op, scope: 'name', key: 'instance/github-ab12-0' },
  { op, scope: 'slot', key: `${serverUid}/0` },
]
const scheduled: InstanceEvent = { type: 'InstanceScheduled', data: identity, claims: claims('take') }
const started: InstanceEvent = { type: 'InstanceStarted', data: { handle: 'h1', at: at(0) } }
const restarted = (restarts: number): InstanceEvent => ({
  type: 'InstanceRestarted',
  data: { handle: `h${String(restarts + 1)}`, at: at(0), restarts },
})
const ready = (seconds: number): InstanceEvent => ({
  type: 'InstanceReady',
  data: { handshake, tools: 3, at: at(seconds) },
})
const unready: InstanceEvent = { type: 'InstanceUnready', data: { reason: 'ProbeFailed', message: 'lost' } }
const crash: ExitFacts = { code: 1, signal: null, oom: false, reason: 'Error', message: 'exited with code 1' }
const exited = (failures: number): InstanceEvent => ({
  type: 'InstanceExited',
  data: { ...crash, at: at(0), failures, nextStartAt: at(1) },
})
const draining: InstanceEvent = { type: 'InstanceDraining', data: { reason: 'scaled down' } }
const stopped: InstanceEvent = { type: 'InstanceStopped', data: {}, claims: claims('release') }

const reportStarted = (handle: string, seconds = 0) => ({ type: 'ReportStarted', handle, at: at(seconds) }) as const
const reportExit = (seconds: number, facts: Partial<ExitFacts> = {}) =>
  ({ type: 'ReportExit', exit: { ...crash, ...facts }, at: at(seconds) }) as const
const reportReady = { type: 'ReportReady', handshake, tools: 3, at: at(5) } as const
const reportUnready = { type: 'ReportUnready', reason: 'ProbeFailed', message: 'lost' } as const
const reportFailure = (seconds: number) =>
  ({ type: 'ReportStartFailure', reason: 'ImageNotFound', message: 'no such image', at: at(seconds) }) as const

/** Seconds until the next start after this exit. */
const backoff = (
  past: InstanceEvent[],
  command: Extract<InstanceCommand, { type: 'ReportExit' | 'ReportStartFailure' }>,
) => {
  const state = past.reduce((before, event) => instanceDecider.evolve(before, event), instanceDecider.initial)
  const [event] = instanceDecider.decide(command, state)
  if (event?.type !== 'InstanceExited' && event?.type !== 'InstanceStartFailed') throw new Error('expected a failure')
  return {
    failures: event.data.failures,
    seconds: (Date.parse(event.data.nextStartAt) - Date.parse(command.at)) / 1000,
  }
}

describe('Instance', () => {
  it('is scheduled and takes its name and its slot', () => given().when({ type: 'Schedule', identity }).then(scheduled))
  it('is scheduled once', () => given(scheduled).when({ type: 'Schedule', identity }).thenNothing())

  it('is started', () => given(scheduled).when(reportStarted('h1')).then(started))
  it('is not started again by the same report', () => given(scheduled, started).when(reportStarted('h1')).thenNothing())
  it('is adopted when it runs under another handle', () =>
    given(scheduled, started)
      .when(reportStarted('other'))
      .then({ type: 'InstanceAdopted', data: { handle: 'other' } }))
  it('is known by the handle under which it was adopted', () =>
    given(scheduled, started, { type: 'InstanceAdopted', data: { handle: 'other' } })
      .when(reportStarted('other'))
      .thenNothing())
  it('is restarted after an exit, and counts that', () =>
    given(scheduled, started, exited(1)).when(reportStarted('h2')).then(restarted(1)))
  it('counts restarts on', () =>
    given(scheduled, started, exited(1), restarted(1), exited(2)).when(reportStarted('h3')).then(restarted(2)))
  it('is not started while it drains', () =>
    given(scheduled, started, draining).when(reportStarted('h2')).thenNothing())

  it('is ready when the handshake was answered', () => given(scheduled, started).when(reportReady).then(ready(5)))
  it('is ready once', () => given(scheduled, started, ready(5)).when(reportReady).thenNothing())
  it('is not ready before it runs', () => given(scheduled).when(reportReady).thenNothing())
  it('is not ready while it drains', () => given(scheduled, started, draining).when(reportReady).thenNothing())
  it('becomes unready', () => given(scheduled, started, ready(5)).when(reportUnready).then(unready))
  it('says once that it is unready', () => given(scheduled, started, unready).when(reportUnready).thenNothing())
  it('says why else it is unready', () =>
    given(scheduled, started, unready)
      .when({ ...reportUnready, message: 'else' })
      .then({ type: 'InstanceUnready', data: { reason: 'ProbeFailed', message: 'else' } }))
  it('becomes ready again', () => given(scheduled, started, ready(1), unready).when(reportReady).then(ready(5)))
  it('is unready anew after it was ready again', () =>
    given(scheduled, started, unready, ready(1)).when(reportUnready).then(unready))
  it('is ready anew after a restart', () =>
    given(scheduled, started, ready(1), exited(1), restarted(1)).when(reportReady).then(ready(5)))

  it('exits once', () => given(scheduled, started, exited(1)).when(reportExit(1)).thenNothing())
  it('does not exit before it runs', () => given(scheduled).when(reportExit(1)).thenNothing())
  it('does not exit while it drains', () => given(scheduled, started, draining).when(reportExit(1)).thenNothing())
  it('says how it exited', () =>
    given(scheduled, started)
      .when(reportExit(0))
      .then({ type: 'InstanceExited', data: { ...crash, at: at(0), failures: 1, nextStartAt: at(1) } }))
  it('fails to start', () =>
    given(scheduled)
      .when(reportFailure(0))
      .then({
        type: 'InstanceStartFailed',
        data: { reason: 'ImageNotFound', message: 'no such image', failures: 1, nextStartAt: at(1) },
      }))
  it('does not fail to start while it runs', () => given(scheduled, started).when(reportFailure(0)).thenNothing())

  it('drains', () => given(scheduled, started).when({ type: 'Drain', reason: 'scaled down' }).then(draining))
  it('drains before it was started, too', () =>
    given(scheduled).when({ type: 'Drain', reason: 'scaled down' }).then(draining))
  it('drains once', () => given(scheduled, started, draining).when({ type: 'Drain', reason: 'again' }).thenNothing())
  it('cannot drain before it exists', () =>
    given().when({ type: 'Drain', reason: 'scaled down' }).thenRefuses('NotFound'))
  it('stops, and releases its name and its slot', () =>
    given(scheduled, started, draining).when({ type: 'ConfirmStopped' }).then(stopped))
  it('stops once', () => given(scheduled, started, draining, stopped).when({ type: 'ConfirmStopped' }).thenNothing())

  it.each([reportStarted('h'), reportFailure(0), reportReady, reportUnready, reportExit(0)])(
    'is not told of any more once it is gone: $type',
    (report) => {
      given(scheduled, started, draining, stopped).when(report).thenNothing()
    },
  )
  it('that nobody wants any more is removed as an orphan', () =>
    given(scheduled, started, draining, stopped)
      .when({ type: 'ReportOrphan', handle: 'h1' })
      .then({ type: 'OrphanRemoved', data: { handle: 'h1' } }))
  it('that is wanted is no orphan', () =>
    given(scheduled, started).when({ type: 'ReportOrphan', handle: 'h1' }).thenNothing())
  it('that was never heard of is an orphan, and stays unknown', () =>
    given({ type: 'OrphanRemoved', data: { handle: 'h1' } })
      .when({ type: 'ReportOrphan', handle: 'h1' })
      .then({ type: 'OrphanRemoved', data: { handle: 'h1' } }))
})

describe('the backoff of an instance', () => {
  const failedTimes = (failures: number) => [scheduled, started, exited(failures), restarted(1)]

  it.each([
    [0, 1],
    [1, 2],
    [2, 4],
    [3, 8],
    [7, 128],
    [8, 256],
    [9, 300],
    [10, 300],
    [1000, 300],
  ])('after %i failures the next start waits %i seconds', (failures, seconds) => {
    const past = failures === 0 ? [scheduled, started] : failedTimes(failures)
    expect(backoff(past, reportExit(0))).toEqual({ failures: failures + 1, seconds })
  })

  it('is the same for starts that fail', () => {
    expect(backoff([scheduled], reportFailure(0))).toEqual({ failures: 1, seconds: 1 })
    expect(backoff([scheduled, started, exited(2)], reportFailure(0))).toEqual({ failures: 3, seconds: 4 })
  })

  it.each([
    ['9:59 of health are not enough', 599, { failures: 6, seconds: 32 }],
    ['10:00 of health forget it', 600, { failures: 1, seconds: 1 }],
  ])('%s', (_, seconds, expected) => {
    expect(backoff([...failedTimes(5), ready(0)], reportExit(seconds))).toEqual(expected)
  })

  it('counts health from the last time it became ready', () => {
    expect(backoff([...failedTimes(5), ready(0), unready], reportExit(700)).failures).toBe(6)
    expect(backoff([...failedTimes(5), ready(0), unready, ready(300)], reportExit(700)).failures).toBe(6)
    expect(backoff([...failedTimes(5), ready(0), unready, ready(100)], reportExit(700)).failures).toBe(1)
  })

  it.each(['DaemonRestarted', 'NodeLost'] as const)('blames nobody for %s: it starts at once', (reason) => {
    expect(backoff([scheduled, started], reportExit(0, { reason }))).toEqual({ failures: 0, seconds: 0 })
    expect(backoff(failedTimes(4), reportExit(0, { reason }))).toEqual({ failures: 4, seconds: 0 })
  })

  it('is a minute at most for a key that is away: nothing says when it is back', () => {
    const sealed = { ...reportFailure(0), reason: 'SecretUndecryptable', message: 'no key' } as const
    expect(backoff([scheduled, started, exited(3)], sealed)).toEqual({ failures: 4, seconds: 8 })
    expect(backoff([scheduled, started, exited(20)], sealed)).toEqual({ failures: 21, seconds: 60 })
  })

  it.each(['Completed', 'OOMKilled', 'ProbeFailed', 'ProtocolError'] as const)('counts %s', (reason) => {
    expect(backoff(failedTimes(4), reportExit(0, { reason }))).toEqual({ failures: 5, seconds: 16 })
  })
})
