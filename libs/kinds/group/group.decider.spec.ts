import { describe, it } from '@jest/globals'
import { specFor } from '@mcpctl/event-store/decide/spec-for'
import { groupDecider, type ApplyGroupCommand, type GroupEvent, type NamedMember } from './group.decider'

const given = specFor(groupDecider)

const identity = { name: 'dev', labels: {}, annotations: {} }
const alice = { name: 'alice', uid: '018f0000-0000-7000-8000-00000000000a' }
const bob = { name: 'bob', uid: '018f0000-0000-7000-8000-00000000000b' }
/** Who bears the name of alice now. */
const otherAlice = { name: 'alice', uid: '018f0000-0000-7000-8000-00000000000c' }
const there = (member: { name: string; uid: string }): NamedMember => ({ ...member, exists: true })
const gone = (member: { name: string; uid: string }): NamedMember => ({ ...member, exists: false })
const nobody: NamedMember = { name: 'ghost', exists: false }

const created: GroupEvent = {
  type: 'GroupCreated',
  data: { ...identity, description: 'developers', members: [alice] },
  claims: [{ op: 'take', scope: 'name', key: 'group/dev' }],
}
const deleted: GroupEvent = {
  type: 'GroupDeleted',
  data: {},
  claims: [{ op: 'release', scope: 'name', key: 'group/dev' }],
}
const added = (data: { name: string; uid: string }): GroupEvent => ({ type: 'GroupMemberAdded', data })
const removed = (data: { name: string; uid: string }): GroupEvent => ({ type: 'GroupMemberRemoved', data })

const apply = (
  members: NamedMember[] = [there(alice)],
  { description = 'developers', ...more }: Partial<ApplyGroupCommand> & { description?: string } = {},
): ApplyGroupCommand => ({ type: 'Apply', mode: 'apply', identity, desired: { description, members }, ...more })

describe('Group', () => {
  it('is created with its members, by uid, and takes its name', () => given().when(apply()).then(created))
  it('needs no description and no members', () =>
    given()
      .when(apply([], { description: '' }))
      .then({ ...created, data: { ...identity, members: [] } }))
  it('ignores an apply that changes nothing, and another order', () => {
    given(created).when(apply()).thenNothing()
    given(created, added(bob))
      .when(apply([there(bob), there(alice)]))
      .thenNothing()
  })
  it('cannot be created twice', () =>
    given(created)
      .when(apply([], { mode: 'create' }))
      .thenRefuses('AlreadyExists'))
  it('cannot be replaced before it exists', () =>
    given()
      .when(apply([], { mode: 'replace' }))
      .thenRefuses('NotFound'))
  it('is described', () => {
    given(created)
      .when(apply([there(alice)], { description: '' }))
      .then({ type: 'GroupDescribed', data: { description: '' } })
    given(created, { type: 'GroupDescribed', data: { description: '' } })
      .when(apply([there(alice)], { description: '' }))
      .thenNothing()
  })
  it('is labelled', () => {
    const labels = { team: 'web' }
    given(created)
      .when(apply([there(alice)], { identity: { ...identity, labels } }))
      .then({ type: 'GroupLabelled', data: { labels, annotations: {} } })
    given(created, { type: 'GroupLabelled', data: { labels, annotations: {} } })
      .when(apply([there(alice)], { identity: { ...identity, labels, annotations: { a: 'b' } } }))
      .then({ type: 'GroupLabelled', data: { labels, annotations: { a: 'b' } } })
  })

  it('loses members before it gets others, each an event', () =>
    given(created)
      .when(apply([there(bob)]))
      .then(removed(alice), added(bob)))
  it('remembers who came and went', () =>
    given(created, added(bob), removed(alice))
      .when(apply([there(bob)]))
      .thenNothing())
  it('takes nobody who does not exist', () => {
    given()
      .when(apply([nobody]))
      .thenRefuses('Invalid')
    given(created)
      .when(apply([there(alice), nobody]))
      .thenRefuses('Invalid')
    given(created)
      .when(apply([gone(bob)]))
      .thenRefuses('Invalid')
  })
  it('keeps a member who is gone when named with its uid', () =>
    given(created)
      .when(apply([gone(alice), there(bob)]))
      .then(added(bob)))
  it('takes whoever bears the name of a member who is gone for somebody else', () => {
    given(created)
      .when(apply([there(otherAlice)]))
      .then(removed(alice), added(otherAlice))
    given(created)
      .when(apply([gone(alice), there(otherAlice)]))
      .then(added(otherAlice))
  })
  it('has a member once, however often he is named', () =>
    given(created)
      .when(apply([there(alice), there(alice)]))
      .thenNothing())

  it('is deleted and releases its name', () => {
    given(created).when({ type: 'Delete' }).then(deleted)
    given().when({ type: 'Delete' }).thenRefuses('NotFound')
    given(created, deleted).when({ type: 'Delete' }).thenRefuses('NotFound')
  })
})
