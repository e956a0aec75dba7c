import { describe, expect, it } from '@jest/globals'
import { templateWith } from '../../../test/support/rollout-world'
import type { SecretVersions } from '../instance/instance.kind'
import { changesOf, newestOf, resolveVersions } from './secret-versions.plan'

const at = (version: number, uid = 'a') => ({ uid, version })

describe('the versions that a template comes to', () => {
  const heads = new Map([
    ['gh', at(7)],
    ['pem', at(3, 'b')],
  ])

  it.each<[string, Record<string, number | undefined>, SecretVersions]>([
    ['none without a reference', {}, {}],
    ['the current one', { gh: undefined }, { gh: at(7) }],
    ['the one that is pinned', { gh: 4 }, { gh: at(4) }],
    ['the current one while what is pinned is not there yet', { gh: 9 }, { gh: at(7) }],
    ['each of several', { gh: undefined, pem: 2 }, { gh: at(7), pem: at(2, 'b') }],
    ['nothing of a secret that is not there', { gh: undefined, later: undefined }, { gh: at(7) }],
  ])('are %s', (_, secrets, versions) => {
    expect(resolveVersions(templateWith('app', secrets), heads)).toEqual(versions)
  })

  it.each<[string, number[], boolean, number]>([
    ['follows where one reference does', [2], true, 7],
    ['is the highest of several pins', [2, 5, 3], false, 5],
  ])('of one secret that is named more than once: %s', (_, pins, follows, version) => {
    const template = templateWith('app', follows ? { gh: undefined } : {})
    const file = (pin: number) => ({
      secret: 'gh',
      key: `k${String(pin)}`,
      path: `/${String(pin)}`,
      env: 'F',
      version: pin,
    })
    expect(resolveVersions({ ...template, secretFiles: pins.map(file) }, heads)).toEqual({ gh: at(version) })
  })
})

describe('the newest of what was given', () => {
  it.each<[string, SecretVersions[], SecretVersions, SecretVersions | undefined]>([
    ['nothing to nobody', [], { gh: at(1) }, undefined],
    ['the higher version, wherever it stands', [{ gh: at(1) }, { gh: at(2) }], { gh: at(3) }, { gh: at(2) }],
    ['the higher version, the other way round', [{ gh: at(2) }, { gh: at(1) }], { gh: at(3) }, { gh: at(2) }],
    ['what was made anew, however old', [{ gh: at(9) }, { gh: at(1, 'b') }], { gh: at(1, 'b') }, { gh: at(1, 'b') }],
    ['what has more of them', [{ gh: at(1) }, { gh: at(1), pem: at(1, 'b') }], {}, { gh: at(1), pem: at(1, 'b') }],
    ['the higher version of what is gone', [{ gh: at(4) }, { gh: at(5) }], {}, { gh: at(5) }],
    ['the higher version of what was there before', [{ gh: at(4) }, { gh: at(5) }], { gh: at(1, 'b') }, { gh: at(5) }],
  ])('is %s', (_, given, current, newest) => {
    expect(newestOf(given, current)).toEqual(newest)
    expect(newestOf([...given].reverse(), current)).toEqual(newest)
  })
})

describe('what has changed', () => {
  it.each<[string, SecretVersions, SecretVersions, string | undefined]>([
    ['nothing', { gh: at(1) }, { gh: at(1) }, undefined],
    ['a version', { gh: at(1) }, { gh: at(3) }, 'secret "gh" changed from version 1 to 3'],
    ['a secret that is there now', {}, { gh: at(1) }, 'secret "gh" is there now'],
    ['a secret with the name of what objects inherit', {}, { constructor: at(1) }, 'secret "constructor" is there now'],
    ['a secret that is another one', { gh: at(2) }, { gh: at(2, 'b') }, 'secret "gh" was made anew'],
    ['nothing, where it is gone: who has it keeps it', { gh: at(2) }, {}, undefined],
    [
      'several',
      { gh: at(1), pem: at(4) },
      { gh: at(2), pem: at(5) },
      'secret "gh" changed from version 1 to 2, secret "pem" changed from version 4 to 5',
    ],
  ])('is %s', (_, used, current, words) => {
    expect(changesOf(used, current)).toBe(words)
  })
})
