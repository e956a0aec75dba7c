import type { UserType } from '@mcpctl/access'
import type { View, ViewObject } from '@mcpctl/read-model'
import type { UserEvent, UserProfile } from './user.decider'

export type UserObject = ViewObject<
  UserProfile & { type: UserType; enabled: boolean },
  { phase: 'Active' | 'Disabled'; hasPassword: boolean; tokens: string[] }
>

/** What `get` and `describe` show of a user: never a credential, only that there is one. */
export const userView: View<UserObject, UserEvent> = (user, event) => {
  if (event.type === 'UserCreated') {
    const { name, labels, annotations, type, ...profile } = event.data
    const spec = { type, ...profile, enabled: true }
    return { name, labels, annotations, spec, status: { phase: 'Active', hasPassword: false, tokens: [] } }
  }
  if (!user || event.type === 'UserDeleted') return undefined
  if (event.type === 'UserLabelled') return { ...user, ...event.data }
  return { ...user, spec: specAfter(user.spec, event), status: statusAfter(user.status, event) }
}

type Later = Exclude<UserEvent, { type: 'UserCreated' | 'UserDeleted' | 'UserLabelled' }>

const specAfter = (spec: UserObject['spec'], event: Later): UserObject['spec'] => {
  switch (event.type) {
    case 'UserProfileChanged':
      return { type: spec.type, ...event.data, enabled: spec.enabled }
    case 'UserDisabled':
      return { ...spec, enabled: false }
    case 'UserEnabled':
      return { ...spec, enabled: true }
    case 'PasswordSet':
    case 'SetupCodeIssued':
    case 'SetupCodeUsed':
    case 'TokenIssued':
    case 'TokenRevoked':
      return spec
  }
}

const statusAfter = (status: UserObject['status'], event: Later): UserObject['status'] => {
  switch (event.type) {
    case 'UserDisabled':
      return { ...status, phase: 'Disabled', tokens: [] }
    case 'UserEnabled':
      return { ...status, phase: 'Active' }
    case 'PasswordSet':
      return { ...status, hasPassword: true }
    case 'TokenIssued':
      return { ...status, tokens: [...status.tokens, event.data.id] }
    case 'TokenRevoked':
      return { ...status, tokens: status.tokens.filter((id) => id !== event.data.id) }
    case 'UserProfileChanged':
    case 'SetupCodeIssued':
    case 'SetupCodeUsed':
      return status
  }
}
