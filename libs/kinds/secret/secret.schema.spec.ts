import 'reflect-metadata'
import { inspect } from 'node:util'
import { describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { parseDesired, parseSpec } from '@mcpctl/resource'
import type { SecretValue } from '@mcpctl/vault'
import { SecretModule } from './secret.module'
import { RevealSpec, type SecretSpec } from './secret.schema'

const canary = 'Kq7dWm2xTz9bLf4nRv8cHs3gYp6jEa1u'

const parsed = (entry: object) =>
  parseDesired(SecretModule.resource, { name: 'gh-token', ...entry }) as unknown as { spec: SecretSpec }

const refusal = (entry: object): DomainError | undefined => {
  try {
    parsed(entry)
    return undefined
  } catch (error) {
    if (error instanceof DomainError) return error
    throw error
  }
}

const problems = (entry: object): Record<string, string> =>
  Object.fromEntries((refusal(entry)?.details.errors ?? []).map(({ pointer, message }) => [pointer, message]))

/** Each key with its bytes in hexadecimal, and whether it is text. */
const taken = (data: unknown) =>
  [...parsed({ data }).spec.data.entries()].map(([key, entry]) =>
    entry === 'keep' ? [key, 'keep'] : [key, entry.bytes().toString('hex'), entry.binary ? 'binary' : 'text'],
  )

const text = (value: string) => Buffer.from(value).toString('hex')
const base64 = Buffer.from([0, 255, 128, 10]).toString('base64')

describe('a secret', () => {
  it.each<object>([
    {},
    { data: {} },
    { data: null },
    { data: { token: canary } },
    { data: { token: canary }, historyLimit: 1 },
    { historyLimit: 100 },
    { historyLimit: null },
    { data: Object.fromEntries(Array.from({ length: 256 }, (_, n) => [`k${String(n)}`, ''])) },
  ])('may be %j', (entry) => {
    expect(problems(entry)).toEqual({})
  })

  it.each<[string, unknown, unknown[]]>([
    ['text', canary, [text(canary), 'text']],
    ['an empty value', '', ['', 'text']],
    ['a trailing newline, which stays', 'a\n', [text('a\n'), 'text']],
    ['a leading blank, which stays', ' a\t', [text(' a\t'), 'text']],
    ['letters of all scripts', 'pässwörd 🐙', [text('pässwörd 🐙'), 'text']],
    ['two stars, which are no mask', '**', [text('**'), 'text']],
    ['stars in a longer text', 'a********', [text('a********'), 'text']],
    ['text in an object', { value: canary }, [text(canary), 'text']],
    ['text that is said to be none', { value: canary, binary: false }, [text(canary), 'text']],
    ['bytes that are no UTF-8', { value: base64, binary: true }, ['00ff800a', 'binary']],
    ['no bytes', { value: '', binary: true }, ['', 'binary']],
    ['a value to keep', { keep: true }, ['keep']],
  ])('B44: takes %s', (_, value, expected) => {
    expect(taken({ token: value })).toEqual([['token', ...expected]])
  })

  it.each(['a', '.dockerconfigjson', '-', '_', 'A.b-c_9', 'a'.repeat(253), 'constructor', 'toString', 'keep', 'value'])(
    'B44: has a key %s',
    (key) => {
      expect(taken({ [key]: canary })).toEqual([[key, text(canary), 'text']])
    },
  )

  it.each(['../k', 'a/b', '', '.', '..', 'a b', 'a\0b', 'a\nb', 'ä', 'a'.repeat(254), '$(id)', 'a:b'])(
    'B44: has no key %j, and says which by its place',
    (key) => {
      const message = problems({ data: { good: '1', [key]: canary } })['/data']
      expect(message).toMatch(/^the name of key 2 must be 1 to 253 letters/)
    },
  )

  it('is told of each key that is wrong, of five at most', () => {
    const data = Object.fromEntries(Array.from({ length: 7 }, (_, n) => [`k${String(n)}`, n]))
    const message = problems({ data: { ...data, good: 'x' } })['/data'] ?? ''
    expect(message.split('; ').filter((part) => /^k\d: must be text/.test(part))).toHaveLength(5)
    expect(message).toMatch(/; 2 more$/)
  })

  it('has at most 256 keys', () => {
    const data = Object.fromEntries(Array.from({ length: 257 }, (_, n) => [`k${String(n)}`, canary]))
    expect(problems({ data })).toEqual({
      '/data': 'must have at most 256 keys, not 257; spread them over several secrets',
    })
  })

  it.each<[string, unknown, RegExp]>([
    ['null', null, /^has no value; write "" for an empty one/],
    ['a number', 12_345, /must be text, not a number; put it in quotes/],
    ['a boolean', true, /must be text, not a boolean; put it in quotes/],
    ['a list', [canary], /^must be text, not a list/],
    ['nothing in it', {}, /"value" must be text/],
    ['a number in an object', { value: 12_345 }, /"value" must be text/],
    ['null in an object', { value: null }, /"value" must be text/],
    ['NUL', `a\0${canary}`, /must not contain NUL; send it as/],
    ['NUL in an object', { value: '\0' }, /must not contain NUL/],
    ['B45: a mask', '********', /is a mask, not a value/],
    ['B45: a short mask', '***', /is a mask, not a value/],
    ['B45: a mask of a diff', '*** (before)', /is a mask, not a value/],
    ['B45: a mask of a diff', '***** (after)', /is a mask, not a value/],
    ['B45: a mask in an object', { value: '********' }, /is a mask, not a value/],
    ['base64 that is none', { value: `${canary}!`, binary: true }, /must be base64/],
    ['base64 without padding', { value: 'YQ', binary: true }, /must be base64/],
    ['base64 with too much padding', { value: 'YQ===', binary: true }, /must be base64/],
    ['base64 in lines', { value: 'YWFh\nYWFh', binary: true }, /must be base64/],
    ['base64 for URLs', { value: '_-_-', binary: true }, /must be base64/],
    ['binary that is no boolean', { value: canary, binary: 'yes' }, /"binary" must be true or false/],
    ['another field', { value: canary, encoding: 'hex' }, /and no other field/],
    ['a value beside keep', { value: canary, keep: true }, /nothing beside it/],
    ['keep that is not true', { keep: false }, /must be \{ keep: true \}/],
    ['keep that is text', { keep: canary }, /must be \{ keep: true \}/],
  ])('is refused with %s', (_, value, message) => {
    const found = problems({ data: { first: 'x', token: value } })
    expect(Object.keys(found)).toEqual(['/data'])
    expect(found['/data']).toMatch(/^token: /)
    expect(found['/data']?.slice('token: '.length)).toMatch(message)
  })

  it.each<[string, unknown]>([
    ['text', canary],
    ['a list', [canary]],
    ['a number', 7],
    ['a boolean', false],
  ])('has no data that is %s', (_, data) => {
    expect(problems({ data })).toEqual({ '/data': 'must be a map of keys to values' })
  })

  it.each<[string, unknown]>([
    ['historyLimit', 0],
    ['historyLimit', 101],
    ['historyLimit', 1.5],
    ['historyLimit', '5'],
    ['stringData', {}],
    ['type', 'Opaque'],
    ['constructor', canary],
  ])('is refused with %s: %j', (field, value) => {
    expect(Object.keys(problems({ [field]: value }))).toEqual([`/${field}`])
  })

  it('is refused with a member that would pass for a class', () => {
    expect(problems({ historyLimit: { constructor: canary } })).toEqual({
      '/historyLimit/constructor': 'unknown field',
    })
  })

  it('B43: has no key that is a token, and does not repeat it', () => {
    const token = `ghp_${'a1B2'.repeat(9)}`
    expect(problems({ data: { [token]: 'x' } })).toEqual({
      '/data': 'the name of key 1 looks like a credential; names are shown, values are not',
    })
    expect(problems({ labels: { token } })).toHaveProperty(['/labels/token'])
    expect(problems({ data: { token } })).toEqual({})
  })

  it.each<[string, object]>([
    ['a value', { data: { token: `${canary}\0` } }],
    ['a value as data', { data: canary }],
    ['a value as a key', { data: { [`${canary}/`]: 'x' } }],
    ['a value in a wrong place', { data: { token: { data: canary } } }],
    ['a value as the limit', { historyLimit: canary }],
    ['a value as a field', { [canary]: true }],
    ['a value as the value of an unknown field', { stringData: { token: canary } }],
    ['a value in base64', { data: { token: { value: Buffer.from(canary).toString('base64url'), binary: true } } }],
  ])('does not show %s in what it says is wrong', (_, entry) => {
    const error = refusal(entry)
    expect(error?.code).toBe('Invalid')
    const said = [error?.message, JSON.stringify(error?.details), inspect(error, { depth: 20 }), error?.stack].join(
      '\n',
    )
    expect(said).not.toContain(canary)
    expect(said).not.toContain(Buffer.from(canary).toString('base64url'))
  })

  it('shows no value however it is printed', () => {
    const desired = parsed({ data: { token: canary, other: { value: base64, binary: true }, old: { keep: true } } })
    const printed = [inspect(desired, { depth: 20, showHidden: true }), JSON.stringify(desired)]
    expect(printed.join('\n')).not.toContain(canary)
    expect(printed.join('\n')).not.toContain(base64)
    expect(JSON.parse(JSON.stringify(desired.spec.data))).toEqual({
      token: { keep: true },
      other: { keep: true },
      old: { keep: true },
    })
    const value = desired.spec.data.entries().get('token') as SecretValue
    expect([String(value), JSON.stringify({ value }), inspect({ value }, { showHidden: true })].join()).not.toContain(
      canary,
    )
    expect(value.text()).toBe(canary)
  })
})

describe('what is to be revealed', () => {
  const wrong = (body: unknown) => parseSpec(RevealSpec, body, '').errors.map(({ pointer }) => pointer)

  it.each<unknown>([{}, { version: 1 }, { version: 7, keys: ['token'] }, { keys: [] }, { version: null, keys: null }])(
    'may be %j',
    (body) => {
      expect(wrong(body)).toEqual([])
    },
  )

  it.each<[unknown, string]>([
    [{ version: 0 }, '/version'],
    [{ version: -1 }, '/version'],
    [{ version: '1' }, '/version'],
    [{ version: 1.5 }, '/version'],
    [{ keys: 'token' }, '/keys'],
    [{ keys: [7] }, '/keys'],
    [{ key: 'token' }, '/key'],
    [[], ''],
    ['token', ''],
  ])('is refused when it is %j', (body, pointer) => {
    expect(wrong(body)).toEqual([pointer])
  })
})
