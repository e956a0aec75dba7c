import 'reflect-metadata'
import { describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { parseDesired } from '@mcpctl/resource'
import { ServerModule } from './server.module'
import { placeOf } from './server-env.schema'

const wrong = (entry: object): string[] => {
  try {
    parseDesired(ServerModule.resource, { name: 'github', package: 'npm:@scope/echo@1.2.3', ...entry })
    return []
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    return (error.details.errors ?? []).map(({ pointer, message }) => `${pointer}: ${message}`)
  }
}
const pointers = (entry: object) => wrong(entry).map((line) => line.slice(0, line.indexOf(': ')))

const ref = { name: 'gh-token', key: 'token' }
const from = (secretRef: object) => ({ env: [{ name: 'A', valueFrom: { secretRef } }] })
const files = (...secretFiles: object[]) => ({ secretFiles })
const pem = { secret: 'gh-token', key: 'pem' }

describe('a value of a secret', () => {
  it.each<object>([
    from(ref),
    from({ ...ref, version: 3, optional: true }),
    from({ ...ref, version: null, optional: null }),
    from({ name: 'a.b', key: '.Npm-rc_1' }),
    files(pem),
    files({ ...pem, path: '/run/secrets/a/b.pem', env: 'MY_PEM', version: 1, optional: false }),
    files(pem, { secret: 'other', key: 'pem', path: '/etc/app/pem', env: 'OTHER_PEM' }),
    { ...files(pem), env: [{ name: 'PEM', value: 'a' }] },
    { secretFiles: [] },
    { secretFiles: null },
  ])('may be %j', (entry) => {
    expect(wrong(entry)).toEqual([])
  })

  const [value, key] = ['/env/0/value', '/env/0/valueFrom/secretRef']
  it.each<[object, string]>([
    [{ env: [{ name: 'A', value: 'b', valueFrom: { secretRef: ref } }] }, value],
    [{ env: [{ name: 'A', value: '', valueFrom: { secretRef: ref } }] }, value],
    [{ env: [{ name: 'A' }] }, value],
    [{ env: [{ name: 'A', valueFrom: {} }] }, key],
    [{ env: [{ name: 'A', valueFrom: 'gh-token' }] }, '/env/0/valueFrom'],
    [{ env: [{ name: 'A', valueFrom: { secretRef: ref, fieldRef: ref } }] }, '/env/0/valueFrom/fieldRef'],
    [from({ name: 'gh-token' }), `${key}/key`],
    [from({ key: 'token' }), `${key}/name`],
    [from({ ...ref, name: 'Gh' }), `${key}/name`],
    [from({ ...ref, key: '../k' }), `${key}/key`],
    [from({ ...ref, key: '' }), `${key}/key`],
    [from({ ...ref, version: 0 }), `${key}/version`],
    [from({ ...ref, version: '3' }), `${key}/version`],
    [from({ ...ref, optional: 'yes' }), `${key}/optional`],
    [from({ ...ref, value: 'x' }), `${key}/value`],
    [files({ key: 'pem' }), '/secretFiles/0/secret'],
    [files({ ...pem, key: 'a/b' }), '/secretFiles/0/key'],
    [files({ ...pem, path: 'pem' }), '/secretFiles/0/path'],
    [files({ ...pem, env: 'MY-PEM' }), '/secretFiles/0/env'],
    [files({ ...pem, mode: 0o400 }), '/secretFiles/0/mode'],
    [files(...Array.from({ length: 65 }, (_, i) => ({ ...pem, key: `k${String(i)}` }))), '/secretFiles'],
  ])('may not be %j', (entry, pointer) => {
    expect(pointers(entry)).toEqual([pointer])
  })

  const steps =
    'must be a path without "." and "..", of letters, digits and @%+=:,.-_; give path where the key makes none'
  it.each<[string, object[], string]>([
    ['of a parent', [{ ...pem, path: '/run/secrets/../pem' }], `item 0: path ${steps}`],
    ['of a key that makes none', [{ ...pem, key: '..', env: 'A' }], `item 0: path ${steps}`],
    ['of a directory', [{ ...pem, path: '/run/secrets/' }], `item 0: path ${steps}`],
    [
      'with a name that no system takes',
      [{ ...pem, path: `/run/secrets/${'a'.repeat(256)}` }],
      'item 0: path must have at most 255 characters between two slashes',
    ],
    ['of all of them', [{ ...pem, path: '/run/secrets' }], 'item 0: path must not be a place of the system'],
    ['of the system', [{ ...pem, path: '/proc/1/environ' }], 'item 0: path must not be a place of the system'],
    [
      'of another',
      [pem, { ...pem, secret: 'b', env: 'B' }],
      'item 0: path is the path of another entry too; give one of them a path of its own',
    ],
    [
      'below another',
      [{ ...pem, path: '/run/secrets/pem/a', env: 'A' }, pem],
      'item 0: path lies below the file of another entry',
    ],
    [
      'told twice',
      [pem, { ...pem, secret: 'b', path: '/run/secrets/b' }],
      'item 1: variable PEM_FILE is set twice; give env another name here',
    ],
  ])('has no path %s', (_, secretFiles, message) => {
    expect(wrong({ secretFiles })).toEqual([`/secretFiles: ${message}`])
  })

  it('sets no variable that is set already', () => {
    expect(wrong({ ...files(pem), env: [{ name: 'PEM_FILE', value: 'x' }] })).toEqual([
      '/secretFiles: item 0: variable PEM_FILE is set twice; give env another name here',
    ])
  })

  it('is not repeated where it was typed into the wrong field', () => {
    const canary = 'Hunter2 hunter2'
    const told = wrong({
      ...from({ name: canary, key: canary, version: 1, optional: true }),
      ...files({ secret: canary, key: canary, path: canary, env: canary }),
    })
    expect(told).toHaveLength(6)
    expect(told.join()).not.toContain('unter2')
  })

  it.each([
    ['pem', '/run/secrets/pem', 'PEM_FILE'],
    ['tls.key', '/run/secrets/tls.key', 'TLS_KEY_FILE'],
    ['1st-key', '/run/secrets/1st-key', '_1ST_KEY_FILE'],
  ])('%s lies at %s, and %s tells so', (name, path, env) => {
    expect(placeOf({ secret: 'a', key: name })).toEqual({ path, env })
  })
})
