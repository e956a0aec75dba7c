import { describe, expect, it } from '@jest/globals'
import type { SecretContent, SecretHead } from '@mcpctl/resource'
import type { EnvEntry, InstanceTemplate, SecretFile } from '@mcpctl/runtime'
import {
  missingIn,
  placeholdersOf,
  resolveInputs,
  secretNames,
  wantedSecrets,
  type FoundSecret,
} from './env-resolver.plan'

const template = (env: EnvEntry[], secretFiles: SecretFile[] = []): InstanceTemplate => ({
  package: 'npm:a@1.0.0',
  transport: 'stdio',
  command: [],
  args: [],
  env,
  ...(secretFiles.length > 0 && { secretFiles }),
})
const plain = (name: string, value: string): EnvEntry => ({ name, value })
const ref = (name: string, secret: string, key: string, more: { version?: number; optional?: boolean } = {}) => ({
  name,
  valueFrom: { secretRef: { name: secret, key, ...more } },
})
const file = (secret: string, key: string, more: Partial<SecretFile> = {}): SecretFile => ({
  secret,
  key,
  path: `/run/secrets/${key}`,
  env: `${key.toUpperCase()}_FILE`,
  ...more,
})
const content = (value: string | Buffer): SecretContent => ({ value: Buffer.from(value), binary: false })
const snapshot = (version: number, values: Record<string, string | Buffer>): FoundSecret => ({
  uid: 'u',
  version,
  values: new Map(
    Object.entries(values).map(([key, value]) => [
      key,
      value === 'Undecryptable' || value === 'Forgotten' ? value : content(value),
    ]),
  ),
})

const found = () =>
  new Map<string, FoundSecret>([
    ['gh-token', snapshot(4, { token: 'ghp_current', pem: 'key\n', empty: '', binary: Buffer.from([0xff, 0x00]) })],
    ['gh-token@3', snapshot(3, { token: 'Forgotten', pem: 'Forgotten' })],
    ['gh-token@2', snapshot(2, { token: 'ghp_two' })],
    ['gh-token@9', 'NoSuchVersion'],
    ['broken', snapshot(1, { token: 'Undecryptable', fine: 'fine' })],
    ['gone', 'NotFound'],
  ])
const resolve = (env: EnvEntry[], files: SecretFile[] = []) => resolveInputs(template(env, files), found())

describe('what an instance starts with', () => {
  it('is the environment in its order, plain values and those of secrets', () => {
    const resolved = resolve([plain('LOG', 'info'), ref('TOKEN', 'gh-token', 'token'), ref('E', 'gh-token', 'empty')])
    expect(resolved).toEqual({
      inputs: {
        env: [
          { name: 'LOG', value: 'info' },
          { name: 'TOKEN', value: 'ghp_current' },
          { name: 'E', value: '' },
        ],
        files: [],
        secrets: [Buffer.from('ghp_current'), Buffer.from('')],
        secretEnv: ['TOKEN', 'E'],
      },
    })
  })
  it('is files with their bytes as they are', () => {
    expect(resolve([], [file('gh-token', 'binary', { path: '/etc/app/key' })])).toMatchObject({
      inputs: { files: [{ path: '/etc/app/key', env: 'BINARY_FILE', content: Buffer.from([0xff, 0x00]) }] },
    })
  })
  it('is of the version that is pinned', () => {
    expect(resolve([ref('TOKEN', 'gh-token', 'token', { version: 2 })])).toMatchObject({
      inputs: { env: [{ name: 'TOKEN', value: 'ghp_two' }] },
    })
  })
  it('is the same for the same, and owes nothing to what was read', () => {
    const secrets = found()
    const wanted = template([ref('TOKEN', 'gh-token', 'token')], [file('gh-token', 'pem')])
    const first = resolveInputs(wanted, secrets)
    expect(resolveInputs(wanted, secrets)).toEqual(first)
    for (const secret of secrets.values())
      if (typeof secret !== 'string')
        for (const each of secret.values.values()) if (typeof each !== 'string') each.value.fill(0)
    expect(first).toMatchObject({
      inputs: {
        files: [{ content: Buffer.from('key\n') }],
        secrets: [Buffer.from('ghp_current'), Buffer.from('key\n')],
      },
    })
  })
  it('leaves out what is optional and not there', () => {
    const optional = { optional: true }
    const env = [
      ref('A', 'gone', 'token', optional),
      ref('B', 'gh-token', 'tokne', optional),
      ref('C', 'gh-token', 'token', { version: 3, ...optional }),
      ref('D', 'gh-token', 'token', { version: 9, ...optional }),
      ref('E', 'gh-token', 'token', optional),
    ]
    expect(resolve(env, [file('gone', 'pem', optional)])).toMatchObject({
      inputs: { env: [{ name: 'E', value: 'ghp_current' }], files: [] },
    })
  })
})

describe('what is missing', () => {
  const config = 'CreateConfigError'
  it.each<[string, EnvEntry, string, string]>([
    ['a secret', ref('A', 'gone', 'token'), config, 'secret "gone" not found'],
    ['a secret that nobody looked for', ref('A', 'other', 'token'), config, 'secret "other" not found'],
    [
      'a key',
      ref('A', 'gh-token', 'tokne'),
      config,
      'secret "gh-token" has no key "tokne"; it has token, pem, empty, binary',
    ],
    [
      'a key of a version',
      ref('A', 'gh-token', 'pem', { version: 2 }),
      config,
      'secret "gh-token" has no key "pem" in version 2; it has token',
    ],
    ['a version', ref('A', 'gh-token', 'token', { version: 9 }), config, 'secret "gh-token" has no version 9'],
    [
      'a shredded version',
      ref('A', 'gh-token', 'token', { version: 3 }),
      config,
      'version 3 of secret "gh-token" is destroyed; key "token" is gone',
    ],
    [
      'text',
      ref('A', 'gh-token', 'binary'),
      config,
      'key "binary" of secret "gh-token" is binary and cannot stand in variable A; use secretFiles',
    ],
    [
      'a key to decrypt with, though it is optional',
      ref('A', 'broken', 'token', { optional: true }),
      'SecretUndecryptable',
      'key "token" of secret "broken" cannot be decrypted; see: mcpctl describe secret/broken',
    ],
  ])('is %s', (_, entry, reason, message) => {
    expect(resolve([entry])).toEqual({ missing: [{ reason, message }] })
  })
  it('is told all at once, and never with a value', () => {
    const resolved = resolve(
      [ref('A', 'gone', 'a'), ref('B', 'gh-token', 'nope'), ref('C', 'gh-token', 'token')],
      [file('gone', 'b')],
    )
    expect('missing' in resolved && resolved.missing).toHaveLength(3)
    expect(JSON.stringify(resolved)).not.toContain('ghp_current')
  })
  it('does not hurt another key of the same secret', () => {
    expect(resolve([ref('A', 'broken', 'fine')])).toMatchObject({ inputs: { env: [{ name: 'A', value: 'fine' }] } })
  })
  it('shows without opening a secret, as far as it can', () => {
    const head: SecretHead = { uid: 'u', version: 4, changedAt: '2026-01-01T00:00:00Z', keys: ['token'] }
    const missing = (...env: EnvEntry[]) => missingIn(template(env), new Map([['gh-token', head]]))
    expect(missing(ref('A', 'gh-token', 'token'), plain('B', 'b'))).toEqual([])
    expect(missing(ref('A', 'gh-token', 'nope', { version: 3 }))).toEqual([])
    expect(missing(ref('A', 'gone', 'token', { optional: true }))).toEqual([])
    expect(missing(ref('A', 'gone', 'token', { version: 3 }), ref('B', 'gh-token', 'nope'))).toEqual([
      { reason: config, message: 'secret "gone" not found' },
      { reason: config, message: 'secret "gh-token" has no key "nope"; it has token' },
    ])
  })
})

describe('a template', () => {
  const wanted = template(
    [plain('LOG', 'info'), ref('A', 'b', 'k'), ref('B', 'a', 'k', { version: 2 }), ref('C', 'b', 'other')],
    [file('a', 'pem')],
  )
  it('tells each secret and version once', () => {
    expect(secretNames(wanted)).toEqual(['a', 'b'])
    expect(wantedSecrets(wanted)).toEqual([{ name: 'b' }, { name: 'a', version: 2 }, { name: 'a' }])
  })
  it('shows where values come from, in the order of a start', () => {
    expect(placeholdersOf(wanted)).toEqual({
      env: [
        { name: 'LOG', value: 'info' },
        { name: 'A', secret: { name: 'b', key: 'k' } },
        { name: 'B', secret: { name: 'a', key: 'k', version: 2 } },
        { name: 'C', secret: { name: 'b', key: 'other' } },
      ],
      files: [{ path: '/run/secrets/pem', env: 'PEM_FILE', secret: { name: 'a', key: 'pem' } }],
    })
  })
})
