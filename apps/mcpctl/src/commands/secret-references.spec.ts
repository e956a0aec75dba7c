import { describe, expect, it } from '@jest/globals'
import { secretEnvOf, secretFilesOf } from './secret-references'

describe('references to secrets in flags', () => {
  it.each<[string, object]>([
    ['TOKEN=gh-token:token', { name: 'TOKEN', valueFrom: { secretRef: { name: 'gh-token', key: 'token' } } }],
    ['T=a:tls.key@3', { name: 'T', valueFrom: { secretRef: { name: 'a', key: 'tls.key', version: 3 } } }],
  ])('are variables: %s', (word, entry) => {
    expect(secretEnvOf([word])).toEqual([entry])
  })
  it.each<[string, object]>([
    ['gh-token:pem', { secret: 'gh-token', key: 'pem' }],
    ['gh-token:pem@2', { secret: 'gh-token', key: 'pem', version: 2 }],
    ['a:pem:/run/secrets/x:y.pem', { secret: 'a', key: 'pem', path: '/run/secrets/x:y.pem' }],
    ['a:pem@2:/etc/key', { secret: 'a', key: 'pem', version: 2, path: '/etc/key' }],
  ])('are files: %s', (word, entry) => {
    expect(secretFilesOf([word])).toEqual([entry])
  })

  it.each([
    'TOKEN=ghp_16C7e42F292c6912E7',
    'TOKEN=:ghp_16C7e42F',
    'TOKEN=ghp_16C7e42F:',
    'T=a:b:ghp_16',
    'T=a:b@0ghp_1',
  ])('are refused without a word of them: %s', (word) => {
    expect(() => secretEnvOf([word])).toThrow(/^--env-secret T(OKEN)?=… needs SECRET:KEY/)
    expect(() => secretEnvOf([word])).not.toThrow(/ghp_/)
  })
  it.each(['ghp_16C7e42F292c6912E7', 'ghp_16:', ':ghp_16', 'a:b:ghp_16', 'a:ghp_16@x', 'a:b@1@ghp_1'])(
    'are refused as files without a word of them: %s',
    (word) => {
      expect(() => secretFilesOf(['a:b', word])).toThrow(/^--secret-file number 2 needs SECRET:KEY/)
      expect(() => secretFilesOf([word])).not.toThrow(/ghp_/)
    },
  )
  it('are refused without the word that is no pair', () => {
    expect(() => secretEnvOf(['ghp_16C7e42F'])).toThrow(/^--env-secret needs NAME=SECRET:KEY$/)
  })
  it('name a variable once', () => {
    expect(() => secretEnvOf(['A=a:b', 'A=a:c'])).toThrow('--env-secret names "A" twice')
  })
})
