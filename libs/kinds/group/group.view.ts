import type { GroupMember } from '@mcpctl/access'
import type { ObjectJoins, View, ViewObject } from '@mcpctl/read-model'
import type { GroupEvent } from './group.decider'

/** A member by name; with its uid when it is gone, so that whoever bears the name now is not taken for it. */
export type ShownMember = string | GroupMember

export type GroupObject = ViewObject<
  { description?: string; members: ShownMember[] },
  { members: (GroupMember & { state?: 'Bound' | 'Dangling' })[]; dangling?: string[] }
>

/** What `get` and `describe` show of a group. */
export const groupView: View<GroupObject, GroupEvent> = (group, event) => {
  if (event.type === 'GroupCreated') {
    const { name, labels, annotations, description, members } = event.data
    const spec = { ...(description !== undefined && { description }), members: members.map(nameOf) }
    return { name, labels, annotations, spec, status: { members } }
  }
  if (!group || event.type === 'GroupDeleted') return undefined
  switch (event.type) {
    case 'GroupLabelled':
      return { ...group, ...event.data }
    case 'GroupDescribed': {
      const { description: _, ...rest } = group.spec
      const { description } = event.data
      return { ...group, spec: description === '' ? rest : { ...rest, description } }
    }
    case 'GroupMemberAdded':
      return withMembers(group, [...group.status.members, event.data])
    case 'GroupMemberRemoved':
      return withMembers(
        group,
        group.status.members.filter(({ uid }) => uid !== event.data.uid),
      )
  }
}

const nameOf = ({ name }: GroupMember): string => name

const withMembers = (group: GroupObject, members: GroupMember[]): GroupObject => ({
  ...group,
  spec: { ...group.spec, members: members.map(nameOf) },
  status: { members },
})

export const groupReferences = (group: GroupObject) => group.status.members.map(({ uid }) => ({ kind: 'User', uid }))

/** Members that were deleted since, which the group's own stream does not tell. */
export const groupJoins: ObjectJoins<GroupObject> = {
  uids: ({ status }) => status.members.map(({ uid }) => uid),
  show: ({ spec, status }, existing) => {
    const gone = status.members.filter(({ uid }) => !existing.has(uid))
    return {
      spec: { ...spec, members: status.members.map(({ uid, name }) => (existing.has(uid) ? name : { name, uid })) },
      status: {
        members: status.members.map((member) => ({
          ...member,
          state: existing.has(member.uid) ? 'Bound' : 'Dangling',
        })),
        ...(gone.length > 0 && { dangling: gone.map(nameOf) }),
      },
    }
  },
}
