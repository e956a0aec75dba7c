import { describe, it } from '@jest/globals'
import { specFor } from '@mcpctl/event-store/decide/spec-for'
import { serverDecider, type ServerEvent, type ServerObservation, type ServerState } from './server.decider'

const given = specFor(serverDecider)

const template = { package: 'npm:a@1.0.0', transport: 'stdio', command: [], args: [], env: [] } as const
const identity = { name: 'github', labels: { team: 'core' }, annotations: {} }
const desired: ServerState = { replicas: 2, template: { ...template, command: [], args: [], env: [] } }
const created: ServerEvent = {
  type: 'ServerCreated',
  data: { ...identity, ...desired },
  claims: [{ op: 'take', scope: 'name', key: 'server/github' }],
}
const deleting: ServerEvent = { type: 'ServerDeletionRequested', data: { at: '2026-01-01T00:00:00.000Z' } }
const deleted: ServerEvent = {
  type: 'ServerDeleted',
  data: {},
  claims: [{ op: 'release', scope: 'name', key: 'server/github' }],
}
const apply = (
  mode: 'create' | 'replace' | 'apply',
  changes: Partial<ServerState> = {},
  forbiddenSecrets: string[] = [],
) => ({ type: 'Apply', mode, identity, desired: { ...desired, ...changes }, forbiddenSecrets }) as const

const observation: ServerObservation = {
  phase: 'Running',
  replicas: 2,
  updatedReplicas: 2,
  readyReplicas: 2,
  availableReplicas: 2,
  observedGeneration: 1,
  conditions: [
    { type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable', message: '2 of 2', observedGeneration: 1 },
  ],
}
const report = (at: string, changes: Partial<ServerObservation> = {}) =>
  ({ type: 'ReportStatus', observation: { ...observation, ...changes }, at }) as const
const dated = (at: string) => observation.conditions.map((condition) => ({ ...condition, lastTransitionTime: at }))

describe('Server', () => {
  it('is created by the first apply and takes its name', () => given().when(apply('apply')).then(created))
  it('ignores an apply that changes nothing', () => given(created).when(apply('apply')).thenNothing())
  it('cannot be created twice', () => given(created).when(apply('create')).thenRefuses('AlreadyExists'))
  it('cannot be replaced before it exists', () => given().when(apply('replace')).thenRefuses('NotFound'))
  it('says in an event of its own that what runs has changed', () =>
    given(created)
      .when(apply('apply', { template: { ...desired.template, args: ['x'] } }))
      .then({ type: 'ServerTemplateChanged', data: { template: { ...desired.template, args: ['x'] } } }))
  it('says in an event of its own how many are wanted', () =>
    given(created)
      .when(apply('apply', { replicas: 5 }))
      .then({ type: 'ReplicasChanged', data: { from: 2, replicas: 5 } }))
  it('says in an event of its own that its labels changed', () =>
    given(created)
      .when({ ...apply('apply'), identity: { ...identity, labels: {} } })
      .then({ type: 'ServerLabelled', data: { labels: {}, annotations: {} } }))
  it('says in events of their own how instances are replaced, and when secrets restart them', () => {
    const strategy = { maxUnavailable: 1, maxSurge: 0, minReadySeconds: 0, progressDeadlineSeconds: 600 }
    const changed = { type: 'ServerStrategyChanged', data: { strategy } } as const
    const manual = { type: 'SecretRotationChanged', data: { secretRotation: 'Manual' } } as const
    const wanted = apply('apply', { strategy, secretRotation: 'Manual' })
    given(created).when(wanted).then(changed, manual)
    given(created, changed, manual).when(wanted).thenNothing()
    given(created, changed, manual)
      .when(apply('apply'))
      .then({ type: 'ServerStrategyChanged', data: {} }, { type: 'SecretRotationChanged', data: {} })
    given(created, changed, manual, { type: 'ServerStrategyChanged', data: {} })
      .when(apply('apply', { secretRotation: 'Manual' }))
      .thenNothing()
  })
  it('is written by nobody who may not use its secrets, whenever what runs changes', () => {
    const other = { template: { ...desired.template, args: ['x'] } }
    given()
      .when(apply('create', {}, ['gh-token']))
      .thenRefuses('SecretUse')
    given(created)
      .when(apply('apply', other, ['gh-token']))
      .thenRefuses('SecretUse')
    given(created)
      .when(apply('apply', { replicas: 5 }, ['gh-token']))
      .then({ type: 'ReplicasChanged', data: { from: 2, replicas: 5 } })
  })
  it('is scaled', () =>
    given(created)
      .when({ type: 'Scale', replicas: 0 })
      .then({ type: 'ReplicasChanged', data: { from: 2, replicas: 0 } }))
  it('ignores being scaled to what it has', () => given(created).when({ type: 'Scale', replicas: 2 }).thenNothing())
  it('cannot be scaled before it exists', () => given().when({ type: 'Scale', replicas: 2 }).thenRefuses('NotFound'))
  it('cannot be changed while it is being deleted', () =>
    given(created, deleting).when(apply('apply')).thenRefuses('Conflict'))
  it('cannot be scaled while it is being deleted', () =>
    given(created, deleting).when({ type: 'Scale', replicas: 1 }).thenRefuses('Conflict'))
  it('is asked to go once', () =>
    given(created, deleting).when({ type: 'Delete', at: '2026-01-02T00:00:00.000Z' }).thenNothing())
  it('cannot go before it exists', () => given().when({ type: 'Delete', at: '' }).thenRefuses('NotFound'))
  it('goes when the reconciler says so, and releases its name', () =>
    given(created, deleting).when({ type: 'ConfirmDeleted' }).then(deleted))
  it('does not go unasked', () => given(created).when({ type: 'ConfirmDeleted' }).thenNothing())
  it('dates a condition when it turns', () =>
    given(created)
      .when(report('t1'))
      .then({ type: 'ServerStatusReported', data: { ...observation, conditions: dated('t1') } }))
  it('keeps the date of a condition that did not turn', () =>
    given(created, { type: 'ServerStatusReported', data: { ...observation, conditions: dated('t1') } })
      .when(report('t2', { phase: 'Degraded' }))
      .then({ type: 'ServerStatusReported', data: { ...observation, phase: 'Degraded', conditions: dated('t1') } }))
  it('ignores a report of what is known', () =>
    given(created, { type: 'ServerStatusReported', data: { ...observation, conditions: dated('t1') } })
      .when(report('t2'))
      .thenNothing())
  it('ignores a report about a server that is gone', () =>
    given(created, deleting, deleted).when(report('t3')).thenNothing())
})
