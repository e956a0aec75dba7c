import { describe, expect, it } from '@jest/globals'
import { secretView, type SecretObject } from './secret.view'
import type { SecretEvent } from './secret.decider'

const identity = { name: 'gh-token', labels: { team: 'web' }, annotations: { why: 'because' } }
const hmac = (digit: string) => digit.repeat(64)
const sealed = (digit: string) => ({
  ciphertext: { origin: 'store', key: 'data-key', ciphertext: 'c2VhbGVk' },
  fingerprint: hmac(digit),
  binary: false,
})
const at = (minute: number) => `2026-01-01T00:${String(minute).padStart(2, '0')}:00.000000Z`

const created: SecretEvent = { type: 'SecretCreated', data: { ...identity, keys: ['a'] }, claims: [] }
const set = (version: number, digits: Record<string, string>): SecretEvent => ({
  type: 'SecretVersionSet',
  data: {
    version,
    values: Object.fromEntries(Object.entries(digits).map(([key, digit]) => [key, sealed(digit)])),
    applied: Object.keys(digits),
  },
})

/** What is shown after the events, each a minute after the one before. */
const shown = (...events: SecretEvent[]): SecretObject | undefined =>
  events.reduce<SecretObject | undefined>(
    (secret, event, minute) => secretView(secret, { ...event, at: at(minute), position: BigInt(minute + 1) }),
    undefined,
  )

describe('a secret as it is shown', () => {
  it('has its keys and versions, and fingerprints of eight digits', () => {
    expect(shown(created, set(1, { token: 'a', user: 'b' }))).toEqual({
      ...identity,
      spec: { data: { token: { keep: true }, user: { keep: true } } },
      status: {
        version: 1,
        keys: ['token', 'user'],
        fingerprint: '11111111',
        fingerprints: { token: 'aaaaaaaa', user: 'bbbbbbbb' },
        rotatedAt: at(1),
        versions: [{ version: 1, at: at(1), keys: ['token', 'user'] }],
        conditions: [],
      },
    })
  })

  it('can be sent back as it is: its data keeps every value', () => {
    expect(shown(created, set(1, { a: '1' }), set(2, { a: '2', b: '3' }))?.spec.data).toEqual({
      a: { keep: true },
      b: { keep: true },
    })
  })

  it('is made with the keys of its first version, so that this one does not change it', () => {
    expect(shown(created)?.spec).toEqual(shown(created, set(1, { a: '1' }))?.spec)
  })

  it('shows nothing of what its values were sealed to', () => {
    const text = JSON.stringify(shown(created, set(1, { token: 'a' }), set(2, { token: 'b' })))
    for (const part of ['c2VhbGVk', 'data-key', 'store', hmac('a'), hmac('b'), 'a'.repeat(9), 'applied'])
      expect(text).not.toContain(part)
  })

  it('has one fingerprint, which changes with any value and not with their order', () => {
    const fingerprint = (digits: Record<string, string>) => shown(created, set(1, digits))?.status.fingerprint
    expect(fingerprint({ a: '1', b: '2' })).toBe(fingerprint({ b: '2', a: '1' }))
    expect(fingerprint({ a: '1', b: '2' })).not.toBe(fingerprint({ a: '1', b: '3' }))
    expect(fingerprint({ a: '1' })).toBe('11111111')
    expect(fingerprint({})).toBe('00000000')
  })

  it('lists the versions that can be opened, oldest first, and when it was rotated last', () => {
    const events = [created, set(1, { a: '1' }), set(2, { a: '2' }), set(3, { a: '3', b: '4' })]
    const status = shown(...events, { type: 'SecretVersionsShredded', data: { versions: [1, 2] } })?.status
    expect(status?.versions).toEqual([{ version: 3, at: at(3), keys: ['a', 'b'] }])
    expect([status?.version, status?.rotatedAt]).toEqual([3, at(3)])
  })

  it('says its history limit while it is not the default', () => {
    const limit = (historyLimit?: number): SecretEvent => ({
      type: 'SecretHistoryLimitSet',
      data: { ...(historyLimit !== undefined && { historyLimit }) },
    })
    const one = [created, set(1, { a: '1' })]
    expect(shown(...one)?.spec).not.toHaveProperty('historyLimit')
    expect(shown(...one, limit(7))?.spec).toEqual({ data: { a: { keep: true } }, historyLimit: 7 })
    expect(shown(...one, limit(7), set(2, { a: '2' }))?.spec.historyLimit).toBe(7)
    expect(shown(...one, limit(7), limit())?.spec).not.toHaveProperty('historyLimit')
    expect(shown({ ...created, data: { ...identity, keys: [], historyLimit: 2 } }, set(1, {}))?.spec.historyLimit).toBe(
      2,
    )
  })

  it('takes new labels and annotations, and is not rotated by them', () => {
    const labelled: SecretEvent = { type: 'SecretLabelled', data: { labels: {}, annotations: { a: 'b' } } }
    const secret = shown(created, set(1, { a: '1' }), labelled)
    expect(secret).toMatchObject({ labels: {}, annotations: { a: 'b' } })
    expect(secret?.status.rotatedAt).toBe(at(1))
  })

  it('is not changed by being revealed', () => {
    const one = [created, set(1, { a: '1' })]
    expect(shown(...one, { type: 'SecretRevealed', data: { version: 1, keys: ['a'] } })).toEqual(shown(...one))
  })

  it('says that it cannot be opened, which keys, and since when, until it can again', () => {
    const found = (...keys: string[]): SecretEvent => ({ type: 'SecretUndecryptable', data: { version: 1, keys } })
    const one = [created, set(1, { a: '1', b: '2' })]
    expect(shown(...one, found('a', 'b'))?.status.conditions).toEqual([
      {
        type: 'Undecryptable',
        status: 'True',
        reason: 'SecretUndecryptable',
        message: 'of version 1, a, b cannot be opened: altered, or not under a key that is here; give a new value',
        lastTransitionTime: at(2),
        observedGeneration: 1,
      },
    ])
    expect(shown(...one, found('a'), found())?.status.conditions).toEqual([])
    expect(shown(...one, found('a'), set(2, { a: '3' }))?.status.conditions).toEqual([])
  })

  it('is gone when it is deleted, and nothing before it was there', () => {
    expect(shown(created, set(1, {}), { type: 'SecretDeleted', data: {}, claims: [] })).toBeUndefined()
    expect(shown(set(1, { a: '1' }))).toBeUndefined()
  })
})
