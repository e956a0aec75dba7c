import { describe, it } from '@jest/globals'
import { specFor } from '@mcpctl/event-store/decide/spec-for'
import { userDecider, type ApplyUserCommand, type DesiredUser, type UserEvent } from './user.decider'

const given = specFor(userDecider)

const identity = { name: 'alice', labels: { team: 'web' }, annotations: {} }
const profile = { displayName: 'Alice', email: 'alice@example.com' }
const created: UserEvent = {
  type: 'UserCreated',
  data: { ...identity, type: 'human', ...profile },
  claims: [{ op: 'take', scope: 'name', key: 'user/alice' }],
}
const service: UserEvent = { ...created, data: { ...identity, type: 'service' } }
const deleted: UserEvent = {
  type: 'UserDeleted',
  data: {},
  claims: [{ op: 'release', scope: 'name', key: 'user/alice' }],
}
const disabled: UserEvent = { type: 'UserDisabled', data: {} }
const enabled: UserEvent = { type: 'UserEnabled', data: {} }
const passwordSet: UserEvent = { type: 'PasswordSet', data: {} }
const expiresAt = '2026-01-01T00:15:00.000Z'
const code: UserEvent = { type: 'SetupCodeIssued', data: { id: 'c1', expiresAt } }
const codeUsed: UserEvent = { type: 'SetupCodeUsed', data: { id: 'c1' } }
const token = (id: string): UserEvent => ({ type: 'TokenIssued', data: { id, prefix: 'mcp_pat_abcd' } })
const revoked = (id: string): UserEvent => ({ type: 'TokenRevoked', data: { id } })

const apply = (desired: DesiredUser = profile, more: Partial<ApplyUserCommand> = {}): ApplyUserCommand => ({
  type: 'Apply',
  mode: 'apply',
  identity,
  desired,
  ...more,
})
const use = (id = 'c1', now = '2026-01-01T00:00:00.000Z') => ({ type: 'UseSetupCode', id, now }) as const

describe('User', () => {
  it('is a human unless said otherwise, and takes its name', () => given().when(apply()).then(created))
  it('may be a service user', () =>
    given()
      .when(apply({ type: 'service' }))
      .then(service))
  it('may be created disabled', () =>
    given()
      .when(apply({ ...profile, enabled: false }))
      .then(created, disabled))
  it('ignores an apply that changes nothing', () => {
    given(created).when(apply()).thenNothing()
    given(created)
      .when(apply({ ...profile, type: 'human', enabled: true }))
      .thenNothing()
  })
  it('cannot be created twice', () =>
    given(created)
      .when(apply(profile, { mode: 'create' }))
      .thenRefuses('AlreadyExists'))
  it('cannot be replaced before it exists', () =>
    given()
      .when(apply(profile, { mode: 'replace' }))
      .thenRefuses('NotFound'))
  it('never changes its type', () =>
    given(created)
      .when(apply({ ...profile, type: 'service' }))
      .thenRefuses('Invalid'))

  it('says in an event of its own that its labels or annotations changed', () => {
    given(created)
      .when(apply(profile, { identity: { ...identity, labels: {} } }))
      .then({ type: 'UserLabelled', data: { labels: {}, annotations: {} } })
    given(created)
      .when(apply(profile, { identity: { ...identity, annotations: { a: 'b' } } }))
      .then({ type: 'UserLabelled', data: { labels: identity.labels, annotations: { a: 'b' } } })
    given(created, { type: 'UserLabelled', data: { labels: {}, annotations: {} } })
      .when(apply(profile, { identity: { ...identity, labels: {} } }))
      .thenNothing()
  })
  it('says the whole profile when a part of it changed', () => {
    given(created)
      .when(apply({ email: profile.email }))
      .then({ type: 'UserProfileChanged', data: { email: profile.email } })
    given(created, { type: 'UserProfileChanged', data: { email: profile.email } })
      .when(apply({ email: profile.email }))
      .thenNothing()
  })

  it('is disabled and enabled', () => {
    given(created)
      .when(apply({ ...profile, enabled: false }))
      .then(disabled)
    given(created, disabled)
      .when(apply({ ...profile, enabled: true }))
      .then(enabled)
    given(created, disabled).when({ type: 'Enable' }).then(enabled)
    given(created, disabled, enabled).when({ type: 'Enable' }).thenNothing()
  })
  it('stays disabled when an apply does not speak of it', () => given(created, disabled).when(apply()).thenNothing())

  it('is deleted, releases its name and is gone for good', () => {
    given(created).when({ type: 'Delete' }).then(deleted)
    given().when({ type: 'Delete' }).thenRefuses('NotFound')
    given(created, deleted).when({ type: 'Delete' }).thenRefuses('NotFound')
    given(created, deleted).when({ type: 'SetPassword' }).thenRefuses('NotFound')
  })
})

describe('The credentials of a user', () => {
  it('are a password, for humans', () => {
    given(created).when({ type: 'SetPassword' }).then(passwordSet)
    given(created, passwordSet).when({ type: 'SetPassword' }).then(passwordSet)
    given(service).when({ type: 'SetPassword' }).thenRefuses('Conflict')
  })
  it('are a code that is traded for a password, once', () => {
    given(created).when({ type: 'IssueSetupCode', id: 'c1', expiresAt }).then(code)
    given(service).when({ type: 'IssueSetupCode', id: 'c1', expiresAt }).thenRefuses('Conflict')
    given(created, code).when(use()).then(codeUsed, passwordSet)
    given(created, code, codeUsed).when(use()).thenRefuses('Unauthorized')
  })
  it.each<[string, UserEvent[], ReturnType<typeof use>]>([
    ['another', [code], use('c2')],
    ['one that expired', [code], use('c1', expiresAt)],
    ['one that was replaced', [code, { ...code, data: { id: 'c2', expiresAt } }], use()],
    ['one of before the user was disabled', [code, disabled, enabled], use()],
    ['one that never was', [], use()],
  ])('are not had by a code: %s', (_, past, command) =>
    given(created, ...past)
      .when(command)
      .thenRefuses('Unauthorized'),
  )
  it('are not had by a disabled user', () => {
    given(created, code, disabled).when(use()).thenRefuses('Conflict')
    given(created, disabled)
      .when({ type: 'IssueToken', token: { id: 't1', prefix: 'mcp_pat_abcd' } })
      .thenRefuses('Conflict')
  })
  it('are tokens, of which the log knows that they were issued', () =>
    given(service)
      .when({ type: 'IssueToken', token: { id: 't1', prefix: 'mcp_pat_abcd' } })
      .then(token('t1')))
  it('are revoked once', () => {
    given(created, token('t1')).when({ type: 'RevokeToken', id: 't1' }).then(revoked('t1'))
    given(created, token('t1'), revoked('t1')).when({ type: 'RevokeToken', id: 't1' }).thenNothing()
    given(created).when({ type: 'RevokeToken', id: 't1' }).thenNothing()
  })
  it('are gone when the user was disabled', () =>
    given(created, token('t1'), disabled, enabled).when({ type: 'RevokeToken', id: 't1' }).thenNothing())
})
