import { describe, it } from '@jest/globals'
import { specFor } from '@mcpctl/event-store/decide/spec-for'
import { projectDecider, type ProjectEvent, type ProjectState } from './project.decider'

const given = specFor(projectDecider)

const identity = { name: 'web', labels: { team: 'web' }, annotations: {} }
const alice = { kind: 'User', name: 'alice' } as const
const dev = { kind: 'Group', name: 'dev' } as const
const desired: ProjectState = { description: 'tools', servers: ['github', 'files'], members: [alice] }
const created: ProjectEvent = {
  type: 'ProjectCreated',
  data: { ...identity, ...desired },
  claims: [{ op: 'take', scope: 'name', key: 'project/web' }],
}
const deleted: ProjectEvent = {
  type: 'ProjectDeleted',
  data: {},
  claims: [{ op: 'release', scope: 'name', key: 'project/web' }],
}
const apply = (
  changes: Partial<ProjectState> = {},
  more: { mode?: 'create' | 'replace' | 'apply'; unknownServers?: string[]; forbiddenServers?: string[] } = {},
) =>
  ({
    type: 'Apply',
    mode: 'apply',
    identity,
    desired: { ...desired, ...changes },
    unknownServers: [] as string[],
    forbiddenServers: [] as string[],
    ...more,
  }) as const

describe('Project', () => {
  it('is created with what it holds, and takes its name', () => given().when(apply()).then(created))
  it('ignores an apply that changes nothing', () => given(created).when(apply()).thenNothing())
  it('ignores another order', () =>
    given(created)
      .when(apply({ servers: ['files', 'github'] }))
      .thenNothing())
  it('cannot be created twice', () =>
    given(created)
      .when(apply({}, { mode: 'create' }))
      .thenRefuses('AlreadyExists'))
  it('cannot be replaced before it exists', () =>
    given()
      .when(apply({}, { mode: 'replace' }))
      .thenRefuses('NotFound'))
  it('is replaced', () =>
    given(created)
      .when(apply({ description: 'else' }, { mode: 'replace' }))
      .then({ type: 'ProjectDescribed', data: { description: 'else' } }))

  it('loses its description', () => {
    const { description: _, ...undescribed } = desired
    given(created)
      .when({ ...apply(), desired: undescribed })
      .then({ type: 'ProjectDescribed', data: { description: '' } })
    given(created, { type: 'ProjectDescribed', data: { description: '' } })
      .when({ ...apply(), desired: undescribed })
      .thenNothing()
  })
  it('says in an event of its own that its labels changed', () =>
    given(created)
      .when({ ...apply(), identity: { ...identity, labels: {} } })
      .then({ type: 'ProjectLabelled', data: { labels: {}, annotations: {} } }))
  it('says in an event of its own that its annotations changed', () =>
    given(created)
      .when({ ...apply(), identity: { ...identity, annotations: { a: 'b' } } })
      .then({ type: 'ProjectLabelled', data: { labels: identity.labels, annotations: { a: 'b' } } }))
  it('detaches before it attaches, each server an event', () =>
    given(created)
      .when(apply({ servers: ['files', 'search', 'mail'] }))
      .then(
        { type: 'ServerDetached', data: { server: 'github' } },
        { type: 'ServerAttached', data: { server: 'search' } },
        { type: 'ServerAttached', data: { server: 'mail' } },
      ))
  it('removes members before it adds others; a group is not the user of that name', () =>
    given(created)
      .when(apply({ members: [dev, { kind: 'Group', name: 'alice' }] }))
      .then(
        { type: 'MemberRemoved', data: alice },
        { type: 'MemberAdded', data: dev },
        { type: 'MemberAdded', data: { kind: 'Group', name: 'alice' } },
      ))
  it('remembers what was attached, detached, added and removed', () =>
    given(
      created,
      { type: 'ServerDetached', data: { server: 'github' } },
      { type: 'ServerAttached', data: { server: 'mail' } },
      { type: 'MemberRemoved', data: alice },
      { type: 'MemberAdded', data: dev },
      { type: 'ProjectLabelled', data: { labels: {}, annotations: {} } },
    )
      .when({ ...apply({ servers: ['files', 'mail'], members: [dev] }), identity: { ...identity, labels: {} } })
      .thenNothing())

  it('attaches no server that does not exist', () => {
    given()
      .when(apply({}, { unknownServers: ['files'] }))
      .thenRefuses('Invalid')
    given(created)
      .when(apply({ servers: ['github', 'files', 'gone'] }, { unknownServers: ['gone'] }))
      .thenRefuses('Invalid')
  })
  it('keeps a server that has gone since', () =>
    given(created)
      .when(apply({ description: 'else' }, { unknownServers: ['files'] }))
      .then({ type: 'ProjectDescribed', data: { description: 'else' } }))

  it('is deleted and releases its name', () => given(created).when({ type: 'Delete' }).then(deleted))
  it('cannot be deleted before it exists', () => given().when({ type: 'Delete' }).thenRefuses('NotFound'))
  it('cannot be deleted twice', () => given(created, deleted).when({ type: 'Delete' }).thenRefuses('NotFound'))
})
