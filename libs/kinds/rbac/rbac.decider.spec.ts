import { describe, it } from '@jest/globals'
import type { Entry, OperationEntry, RoleEntry, SubjectRef } from '@mcpctl/access'
import { specFor } from '@mcpctl/event-store/decide/spec-for'
import { rbacDecider, type ApplyRbacCommand, type NamedSubject, type RbacEvent } from './rbac.decider'

const given = specFor(rbacDecider)

const identity = { name: 'dev-team', labels: {}, annotations: {} }
const alice: SubjectRef = { kind: 'User', name: 'alice', uid: '018f0000-0000-7000-8000-00000000000a' }
const otherAlice: SubjectRef = { ...alice, uid: '018f0000-0000-7000-8000-00000000000b' }
const dev: SubjectRef = { kind: 'Group', name: 'dev', uid: '018f0000-0000-7000-8000-00000000000c' }
const there = (subject: SubjectRef): NamedSubject => ({ ...subject, exists: true })
const gone = (subject: SubjectRef): NamedSubject => ({ ...subject, exists: false })
const nobody: NamedSubject = { kind: 'User', name: 'ghost', exists: false }

const view: RoleEntry = { role: 'view', resource: 'servers' }
const edit: RoleEntry = { role: 'edit', resource: 'servers', name: 'github' }
const logs: OperationEntry = { action: 'logs' }
const reveal: OperationEntry = { action: 'reveal', resource: 'secrets', name: 'gh-token' }

const created: RbacEvent = {
  type: 'RbacCreated',
  data: { ...identity, subjects: [alice], bindings: [view], operations: [logs] },
  claims: [{ op: 'take', scope: 'name', key: 'rbac/dev-team' }],
}
const deleted: RbacEvent = {
  type: 'RbacDeleted',
  data: {},
  claims: [{ op: 'release', scope: 'name', key: 'rbac/dev-team' }],
}
const bound = (data: SubjectRef): RbacEvent => ({ type: 'RbacSubjectAdded', data })
const unbound = (data: SubjectRef): RbacEvent => ({ type: 'RbacSubjectRemoved', data })
const granted = (data: Entry): RbacEvent => ({ type: 'RbacEntryGranted', data })
const revoked = (data: Entry): RbacEvent => ({ type: 'RbacEntryRevoked', data })

const apply = (
  desired: Partial<ApplyRbacCommand['desired']> = {},
  more: Partial<ApplyRbacCommand> = {},
): ApplyRbacCommand => ({
  type: 'Apply',
  mode: 'apply',
  identity,
  desired: { subjects: [there(alice)], bindings: [view], operations: [logs], ...desired },
  ...more,
})

describe('RbacBinding', () => {
  it('is created with what it grants to whom, and takes its name', () => given().when(apply()).then(created))
  it('ignores an apply that changes nothing, and another order', () => {
    given(created).when(apply()).thenNothing()
    given(created, granted(edit), bound(dev))
      .when(apply({ bindings: [edit, view], subjects: [there(dev), there(alice)] }))
      .thenNothing()
  })
  it('cannot be created twice', () =>
    given(created)
      .when(apply({}, { mode: 'create' }))
      .thenRefuses('AlreadyExists'))
  it('cannot be replaced before it exists', () =>
    given()
      .when(apply({}, { mode: 'replace' }))
      .thenRefuses('NotFound'))
  it('is labelled', () => {
    const labels = { team: 'web' }
    given(created)
      .when(apply({}, { identity: { ...identity, labels } }))
      .then({ type: 'RbacLabelled', data: { labels, annotations: {} } })
    given(created, { type: 'RbacLabelled', data: { labels, annotations: {} } })
      .when(apply({}, { identity: { ...identity, labels, annotations: { a: 'b' } } }))
      .then({ type: 'RbacLabelled', data: { labels, annotations: { a: 'b' } } })
  })

  it('revokes before it grants, each entry an event', () =>
    given(created)
      .when(apply({ bindings: [edit], operations: [reveal] }))
      .then(revoked(view), revoked(logs), granted(edit), granted(reveal)))
  it('tells an entry on one name from the one on all', () =>
    given(created)
      .when(apply({ bindings: [{ ...view, name: 'github' }] }))
      .then(revoked(view), granted({ ...view, name: 'github' })))
  it('remembers what was granted and revoked', () =>
    given(created, granted(edit), revoked(view), granted(reveal), revoked(logs))
      .when(apply({ bindings: [edit], operations: [reveal] }))
      .thenNothing())

  it('unbinds before it binds, each subject an event', () =>
    given(created)
      .when(apply({ subjects: [there(dev)] }))
      .then(unbound(alice), bound(dev)))
  it('remembers who was bound and unbound', () =>
    given(created, bound(dev), unbound(alice))
      .when(apply({ subjects: [there(dev)] }))
      .thenNothing())
  it('binds nobody who does not exist', () => {
    given()
      .when(apply({ subjects: [nobody] }))
      .thenRefuses('Invalid')
    given(created)
      .when(apply({ subjects: [there(alice), nobody] }))
      .thenRefuses('Invalid')
    given(created)
      .when(apply({ subjects: [gone(dev)] }))
      .thenRefuses('Invalid')
  })
  it('keeps a subject that is gone when named with its uid', () =>
    given(created)
      .when(apply({ subjects: [gone(alice)] }))
      .thenNothing())
  it('takes whoever bears the name of a subject that is gone for somebody else', () => {
    given(created)
      .when(apply({ subjects: [there(otherAlice)] }))
      .then(unbound(alice), bound(otherAlice))
    given(created)
      .when(apply({ subjects: [gone(alice), there(otherAlice)] }))
      .then(bound(otherAlice))
  })
  it('holds a subject once, however often it is named', () =>
    given(created)
      .when(apply({ subjects: [there(alice), there(alice)] }))
      .thenNothing())

  it('is deleted and releases its name', () => {
    given(created).when({ type: 'Delete' }).then(deleted)
    given().when({ type: 'Delete' }).thenRefuses('NotFound')
    given(created, deleted).when({ type: 'Delete' }).thenRefuses('NotFound')
  })
})
