import { describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { isUnchanged, keptKeys, type WantedKeys } from './secret-keys.plan'
import type { PresentSecret, Secret } from './secret.decider'

const name = 'gh-token'
const value = (key: string) => ({
  ciphertext: { origin: 'store', key: 'data-key', ciphertext: 'AA==' },
  fingerprint: `print of ${key}`,
  binary: false,
})

/** One whose current version, the second, has these keys; `applied`: those that the manifest before named. */
const having = (keys: string[], applied?: string[]): PresentSecret => ({
  status: 'present',
  name,
  labels: {},
  annotations: {},
  version: 2,
  versions: {
    1: { values: { ancient: value('ancient') }, applied: ['ancient'] },
    2: { values: Object.fromEntries(keys.map((key) => [key, value(key)])), ...(applied && { applied }) },
  },
  destroyed: {},
})

/** The same, of which a key of a version cannot be opened. */
const losing = (secret: PresentSecret, version: number, key: string): PresentSecret => ({
  ...secret,
  undecryptable: { version, keys: [key] },
})

const absent: Secret = { status: 'absent' }
const wanted = (mode: WantedKeys['mode'], given: string[], kept: string[] = []): WantedKeys => ({
  mode,
  name,
  given,
  kept,
})

const refusalOf = (act: () => unknown): DomainError => {
  try {
    act()
  } catch (error) {
    if (error instanceof DomainError) return error
  }
  throw new Error('it was not refused')
}

describe('which keys go on as they are', () => {
  const table: [string, Secret, WantedKeys, string[]][] = [
    ['of a new secret, none', absent, wanted('create', ['a']), []],
    ['of a new secret that is applied, none', absent, wanted('apply', ['a']), []],
    ['replacing drops what is left out', having(['a', 'b']), wanted('replace', ['a']), []],
    ['replacing keeps what it says it keeps', having(['a', 'b', 'c']), wanted('replace', ['a'], ['b']), ['b']],
    ['replacing by nothing drops all', having(['a', 'b']), wanted('replace', []), []],
    ['a manifest drops what the one before had named', having(['a', 'b'], ['a', 'b']), wanted('apply', ['a']), []],
    ['a manifest leaves what others have added', having(['a', 'ui'], ['a']), wanted('apply', ['a']), ['ui']],
    ['a manifest leaves what no manifest has named', having(['a', 'b']), wanted('apply', []), ['a', 'b']],
    ['a manifest that names nothing drops what it had named', having(['a', 'ui'], ['a']), wanted('apply', []), ['ui']],
    ['a manifest keeps what it says it keeps', having(['a', 'b'], ['a', 'b']), wanted('apply', [], ['a']), ['a']],
    ['a manifest may keep what another has added', having(['a', 'ui'], ['a']), wanted('apply', ['a'], ['ui']), ['ui']],
    ['in the order of the secret', having(['c', 'a', 'b']), wanted('replace', [], ['b', 'a', 'c']), ['c', 'a', 'b']],
    [
      'names of what every object has are no keys',
      having(['toString']),
      wanted('replace', ['constructor'], ['toString']),
      ['toString'],
    ],
  ]
  it.each(table)('%s', (_, secret, keys, expected) => {
    expect(keptKeys(secret, keys)).toEqual(expected)
  })

  it.each<[string, Secret, WantedKeys, string[]]>([
    ['a new secret', absent, wanted('create', ['a'], ['b']), ['b']],
    ['another key', having(['a']), wanted('replace', [], ['a', 'b', 'c']), ['b', 'c']],
    ['a key of a version before', having(['a']), wanted('apply', [], ['ancient']), ['ancient']],
    ['what every object has', having(['a']), wanted('apply', [], ['constructor']), ['constructor']],
  ])('nothing is kept that is not there: %s', (_, secret, keys, lost) => {
    const { code, details } = refusalOf(() => keptKeys(secret, keys))
    expect(code).toBe('Invalid')
    expect(details.errors?.map(({ pointer }) => pointer)).toEqual(lost.map((key) => `/spec/data/${key}`))
    expect(details.errors?.map(({ code: rule }) => rule)).toEqual(lost.map(() => 'keep'))
  })

  it.each<[string, Secret, WantedKeys, string]>([
    ['what is there is not created', having(['a']), wanted('create', ['a']), 'AlreadyExists'],
    ['what is not there is not replaced', absent, wanted('replace', ['a']), 'NotFound'],
    ['that comes before what is kept', absent, wanted('replace', [], ['a']), 'NotFound'],
  ])('%s', (_, secret, keys, code) => {
    expect(refusalOf(() => keptKeys(secret, keys)).code).toBe(code)
  })
})

describe('whether anything changes', () => {
  const prints = (...keys: string[]) => new Map(keys.map((key) => [key, `print of ${key}`]))

  it.each<[string, Secret, { prints: ReadonlyMap<string, string>; kept?: string[] }, boolean]>([
    ['a new secret does', absent, { prints: prints() }, false],
    ['the same values do not', having(['a', 'b']), { prints: prints('a', 'b') }, true],
    ['in another order they do not', having(['a', 'b']), { prints: prints('b', 'a') }, true],
    ['kept values do not', having(['a', 'b']), { prints: prints(), kept: ['a', 'b'] }, true],
    ['some of each do not', having(['a', 'b']), { prints: prints('b'), kept: ['a'] }, true],
    ['another value does', having(['a']), { prints: new Map([['a', 'print of b']]) }, false],
    ['another key does', having(['a']), { prints: prints('a', 'b') }, false],
    ['a key that goes does', having(['a', 'b']), { prints: prints('a') }, false],
    ['a key that goes beside one that is kept does', having(['a', 'b']), { prints: prints(), kept: ['a'] }, false],
    ['a key for another does', having(['a']), { prints: prints('b') }, false],
    ['a value of a version before does', having(['a']), { prints: prints('ancient') }, false],
    ['no keys at all, as before, do not', having([]), { prints: prints() }, true],
    ['the same value does where it cannot be opened', losing(having(['a']), 2, 'a'), { prints: prints('a') }, false],
    ['that of another key does not', losing(having(['a', 'b']), 2, 'b'), { prints: prints('a'), kept: ['b'] }, true],
    ['nor what was lost of a version before', losing(having(['a']), 1, 'a'), { prints: prints('a') }, true],
    ['what every object has does', having(['a']), { prints: prints('toString') }, false],
  ])('%s', (_, secret, { prints: fingerprints, kept = [] }, expected) => {
    expect(isUnchanged(secret, fingerprints, kept)).toBe(expected)
  })
})
