import { describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { specFor } from '@mcpctl/event-store/decide/spec-for'
import {
  liveVersions,
  secretDecider,
  versionOf,
  type ApplySecretCommand,
  type PresentSecret,
  type SecretCommand,
  type SecretEvent,
  type SecretIdentity,
} from './secret.decider'

const given = specFor(secretDecider)

const identity: SecretIdentity = { name: 'gh-token', labels: { team: 'web' }, annotations: {} }
const sealed = (text: string) => ({
  ciphertext: { origin: 'store', key: `key of ${text}`, ciphertext: 'AA==' },
  fingerprint: `print of ${text}`,
  binary: false,
})
const values = (text: string) => ({ values: { token: sealed(text) } })

const created: SecretEvent = {
  type: 'SecretCreated',
  data: { ...identity, keys: ['token'] },
  claims: [{ op: 'take', scope: 'name', key: 'secret/gh-token' }],
}
const set = (version: number): SecretEvent => ({
  type: 'SecretVersionSet',
  data: { version, ...values(String(version)) },
})
const shredded = (...versions: number[]): SecretEvent => ({ type: 'SecretVersionsShredded', data: { versions } })
const limited = (historyLimit?: number): SecretEvent => ({
  type: 'SecretHistoryLimitSet',
  data: { ...(historyLimit !== undefined && { historyLimit }) },
})
const bad = (version: number, ...keys: string[]): SecretEvent => ({
  type: 'SecretUndecryptable',
  data: { version, keys },
})
const deleted: SecretEvent = {
  type: 'SecretDeleted',
  data: {},
  claims: [{ op: 'release', scope: 'name', key: 'secret/gh-token' }],
}
/** One with this many versions. */
const past = (versions: number): SecretEvent[] => [
  created,
  ...Array.from({ length: versions }, (_, before) => set(before + 1)),
]

/** As it is after these events. */
const presentAfter = (events: SecretEvent[]): PresentSecret => {
  const state = events.reduce((secret, event) => secretDecider.evolve(secret, event), secretDecider.initial)
  if (state.status === 'absent') throw new Error('there is none')
  return state
}

const apply = (more: Partial<ApplySecretCommand> = {}): ApplySecretCommand => ({
  type: 'Apply',
  mode: 'apply',
  identity,
  inUse: [],
  ...more,
})
const write = (text: string, more: Partial<ApplySecretCommand> = {}) => apply({ next: values(text), ...more })
const remove = (more: Partial<Extract<SecretCommand, { type: 'Delete' }>> = {}): SecretCommand => ({
  type: 'Delete',
  users: [],
  hidden: 0,
  force: false,
  ...more,
})

describe('Secret', () => {
  it('is created with its first version, and takes its name', () => {
    given().when(write('1')).then(created, set(1))
    given()
      .when(write('1', { mode: 'create' }))
      .then(created, set(1))
  })
  it('is created without values where none are given', () =>
    given()
      .when(apply({ mode: 'create' }))
      .then(
        { ...created, data: { ...identity, keys: [] } },
        { type: 'SecretVersionSet', data: { version: 1, values: {} } },
      ))
  it('keeps which keys a manifest has named', () =>
    given()
      .when(apply({ next: { ...values('1'), applied: ['token'] } }))
      .then(created, { type: 'SecretVersionSet', data: { version: 1, ...values('1'), applied: ['token'] } }))
  it('cannot be created twice', () =>
    given(...past(1))
      .when(write('2', { mode: 'create' }))
      .thenRefuses('AlreadyExists'))
  it('cannot be replaced before it exists', () =>
    given()
      .when(write('1', { mode: 'replace' }))
      .thenRefuses('NotFound'))
  it('is set to its next version, and leaves the one before', () =>
    given(...past(1))
      .when(write('2', { mode: 'replace' }))
      .then(set(2)))
  it('ignores a write that changes nothing', () =>
    given(...past(3))
      .when(apply())
      .thenNothing())
  it('says in an event of its own that its labels or annotations changed, and sets no version for that', () => {
    given(...past(1))
      .when(apply({ identity: { ...identity, labels: {} } }))
      .then({ type: 'SecretLabelled', data: { labels: {}, annotations: {} } })
    given(...past(1))
      .when(apply({ identity: { ...identity, annotations: { why: 'because' } } }))
      .then({ type: 'SecretLabelled', data: { labels: identity.labels, annotations: { why: 'because' } } })
    given(...past(1), { type: 'SecretLabelled', data: { labels: {}, annotations: {} } })
      .when(apply({ identity: { ...identity, labels: {} } }))
      .thenNothing()
  })

  describe('how many versions it has', () => {
    it('is five, unless it says otherwise', () => {
      given(...past(4))
        .when(write('5'))
        .then(set(5))
      given(...past(5))
        .when(write('6'))
        .then(set(6), shredded(1))
      given(...past(6), shredded(1))
        .when(write('7'))
        .then(set(7), shredded(2))
    })
    it('may be one: the current one', () => {
      given()
        .when(write('1', { historyLimit: 1 }))
        .then({ ...created, data: { ...identity, historyLimit: 1, keys: ['token'] } }, set(1))
      given(...past(1), limited(1))
        .when(write('2', { historyLimit: 1 }))
        .then(set(2), shredded(1))
    })
    it('is told once, and not where it is the default', () => {
      given()
        .when(write('1', { historyLimit: 5 }))
        .then(created, set(1))
      given(...past(1))
        .when(apply({ historyLimit: 5 }))
        .thenNothing()
      given(...past(1))
        .when(apply({ historyLimit: 7 }))
        .then(limited(7))
      given(...past(1), limited(7))
        .when(apply({ historyLimit: 7 }))
        .thenNothing()
      given(...past(1), limited(7))
        .when(apply())
        .then(limited())
      given(...past(1), limited(7), limited())
        .when(apply())
        .thenNothing()
    })
    it('becomes smaller at once: the older ones are destroyed', () =>
      given(...past(4))
        .when(apply({ historyLimit: 2 }))
        .then(limited(2), shredded(1, 2)))
    it('holds again when the limit that was higher goes', () =>
      given(...past(7), limited(7))
        .when(apply())
        .then(limited(), shredded(1, 2)))
    it('is more while older ones are in use', () => {
      given(...past(5))
        .when(write('6', { inUse: [1] }))
        .then(set(6))
      given(...past(6))
        .when(write('7', { inUse: [1, 6] }))
        .then(set(7), shredded(2))
      given(...past(3))
        .when(apply({ historyLimit: 1, inUse: [2] }))
        .then(limited(1), shredded(1))
    })
    it('never is none: the current one stays, whatever is said', () =>
      given(...past(3), limited(1))
        .when({ type: 'Sweep', inUse: [] })
        .then(shredded(1, 2)))
    it('is swept once an older one falls out of use', () => {
      const full = [...past(7), shredded(2)]
      given(...full)
        .when({ type: 'Sweep', inUse: [1] })
        .thenNothing()
      given(...full)
        .when({ type: 'Sweep', inUse: [] })
        .then(shredded(1))
      given(...full, shredded(1))
        .when({ type: 'Sweep', inUse: [] })
        .thenNothing()
    })
  })

  describe('revealed', () => {
    const reveal = (version: number): SecretCommand => ({ type: 'Reveal', version, keys: ['token'] })
    it('is recorded, with version and keys, each time', () => {
      const revealed: SecretEvent = { type: 'SecretRevealed', data: { version: 1, keys: ['token'] } }
      given(...past(2))
        .when(reveal(1))
        .then(revealed)
      given(...past(2), revealed)
        .when(reveal(1))
        .then(revealed)
    })
    it('is not what never was, and not what was destroyed', () => {
      given(...past(2))
        .when(reveal(3))
        .thenRefuses('NotFound', /there is no version 3 of secret "gh-token"; the current one is 2/)
      given(...past(2))
        .when(reveal(0))
        .thenRefuses('NotFound')
      given(...past(2), shredded(1))
        .when(reveal(1))
        .thenRefuses('Expired', /version 1 of secret "gh-token" was destroyed/)
      given().when(reveal(1)).thenRefuses('NotFound')
    })
  })

  describe('that cannot be opened', () => {
    const report = (version: number, ...keys: string[]): SecretCommand => ({
      type: 'ReportUndecryptable',
      version,
      keys,
    })
    it('is alarmed once for each state that is found', () => {
      given(...past(1))
        .when(report(1, 'token'))
        .then(bad(1, 'token'))
      given(...past(1), bad(1, 'token'))
        .when(report(1, 'token'))
        .thenNothing()
      given(...past(1), bad(1, 'token'))
        .when(report(1, 'token', 'user'))
        .then(bad(1, 'token', 'user'))
    })
    it('is well again when it can be, said once', () => {
      given(...past(1))
        .when(report(1))
        .thenNothing()
      given(...past(1), bad(1, 'token'))
        .when(report(1))
        .then(bad(1))
      given(...past(1), bad(1, 'token'), bad(1))
        .when(report(1))
        .thenNothing()
    })
    it('is well again by new values', () =>
      given(...past(1), bad(1, 'token'), set(2))
        .when(report(2))
        .thenNothing())
    it('is no alarm when it is gone', () => given().when(report(1, 'token')).thenRefuses('NotFound'))
  })

  describe('deleted', () => {
    it('destroys every version that is left, and gives its name back', () => {
      given(...past(2))
        .when(remove())
        .then(shredded(1, 2), deleted)
      given(...past(3), shredded(1))
        .when(remove())
        .then(shredded(2, 3), deleted)
    })
    it('is not, while servers use it: those who may be seen are named, the others counted', () => {
      given(...past(1))
        .when(remove({ users: ['github', 'slack'] }))
        .thenRefuses('InUse', /used by servers "github", "slack"; take it out of them first, or delete it with --force/)
      given(...past(1))
        .when(remove({ users: ['github'], hidden: 2 }))
        .thenRefuses('InUse', /used by servers "github" and 2 that you may not view;/)
      given(...past(1))
        .when(remove({ hidden: 1 }))
        .thenRefuses('InUse', /used by servers 1 that you may not view;/)
    })
    it('is by force all the same', () =>
      given(...past(1))
        .when(remove({ users: ['github'], hidden: 2, force: true }))
        .then(shredded(1), deleted))
    it('is gone: nothing more can be done to it but to make it anew', () => {
      const gone = [...past(2), shredded(1, 2), deleted]
      given(...gone)
        .when(remove())
        .thenRefuses('NotFound')
      given(...gone)
        .when({ type: 'Sweep', inUse: [] })
        .thenRefuses('NotFound')
      given(...gone)
        .when(write('1'))
        .then(created, set(1))
    })
  })

  it('knows of a destroyed version its keys, and nothing it was sealed to', () => {
    const state = presentAfter([...past(3), shredded(1)])
    expect(liveVersions(state)).toEqual([2, 3])
    expect(state.destroyed).toEqual({ 1: ['token'] })
    expect(JSON.stringify(state)).not.toContain('print of 1')
    expect(versionOf(state, 2)).toEqual(values('2'))
    expect(() => versionOf(state, 1)).toThrow(DomainError)
    expect(() => versionOf(state, 4)).toThrow(DomainError)
  })
  it('lists its versions by number, also beyond nine', () => {
    const state = presentAfter(past(12))
    expect(liveVersions(state)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
  })
})
