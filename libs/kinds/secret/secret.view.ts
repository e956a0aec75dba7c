import type { View, ViewObject } from '@mcpctl/read-model'
import type { Condition } from '@mcpctl/contracts'
import type { SecretEvent } from './secret.decider'

interface VersionShown {
  version: number
  /** RFC 3339. */
  at: string
  keys: string[]
}

interface SecretStatus {
  version: number
  keys: string[]
  /** Of the whole version: tells whether anything changed. */
  fingerprint: string
  /** By key, eight hex digits of a keyed hash: tells whether the value changed, and nothing of the value. */
  fingerprints: Record<string, string>
  rotatedAt: string
  /** Those that can be opened, oldest first. */
  versions: VersionShown[]
  conditions: Condition[]
}

export type SecretObject = ViewObject<{ data: Record<string, { keep: true }>; historyLimit?: number }, SecretStatus>

const DIGITS = 8

/** The fingerprints are those of a keyed hash, independent of each other: their sum changes with any of them. */
const fingerprintOf = (fingerprints: readonly string[]): string =>
  fingerprints
    .map((each) => BigInt(`0x${each}`))
    .reduce((sum, each) => sum ^ each, 0n)
    .toString(16)
    .padStart(64, '0')
    .slice(0, DIGITS)

const keeping = (keys: readonly string[]): Record<string, { keep: true }> =>
  Object.fromEntries(keys.map((key) => [key, { keep: true }]))

type VersionSet = Extract<SecretEvent, { type: 'SecretVersionSet' }>['data']

const withVersion = (secret: SecretObject, { version, values }: VersionSet, at: string): SecretObject => {
  const keys = Object.keys(values)
  const prints = Object.values(values).map(({ fingerprint }) => fingerprint)
  return {
    ...secret,
    spec: { ...secret.spec, data: keeping(keys) },
    status: {
      version,
      keys,
      fingerprint: fingerprintOf(prints),
      fingerprints: Object.fromEntries(keys.map((key, nth) => [key, (prints[nth] ?? '').slice(0, DIGITS)])),
      rotatedAt: at,
      versions: [...secret.status.versions, { version, at, keys }],
      conditions: [],
    },
  }
}

const undecryptable = ({ version, keys }: { version: number; keys: string[] }, at: string): Condition[] =>
  keys.length === 0
    ? []
    : [
        {
          type: 'Undecryptable',
          status: 'True',
          reason: 'SecretUndecryptable',
          message: `of version ${String(version)}, ${keys.join(', ')} cannot be opened: altered, or not under a key that is here; give a new value`,
          lastTransitionTime: at,
          observedGeneration: version,
        },
      ]

const fresh = { version: 0, keys: [], fingerprint: '', fingerprints: {}, rotatedAt: '', versions: [], conditions: [] }

/** What `get` and `describe` show of a secret: never a value, nor what a value was sealed to. */
export const secretView: View<SecretObject, SecretEvent> = (secret, event) => {
  if (event.type === 'SecretCreated') {
    const { name, labels, annotations, historyLimit, keys } = event.data
    const spec = { data: keeping(keys), ...(historyLimit !== undefined && { historyLimit }) }
    return { name, labels, annotations, spec, status: fresh }
  }
  if (!secret) return undefined
  switch (event.type) {
    case 'SecretVersionSet':
      return withVersion(secret, event.data, event.at)
    case 'SecretLabelled':
      return { ...secret, ...event.data }
    case 'SecretHistoryLimitSet':
      return { ...secret, spec: { data: secret.spec.data, ...event.data } }
    case 'SecretVersionsShredded': {
      const versions = secret.status.versions.filter(({ version }) => !event.data.versions.includes(version))
      return { ...secret, status: { ...secret.status, versions } }
    }
    case 'SecretUndecryptable':
      return { ...secret, status: { ...secret.status, conditions: undecryptable(event.data, event.at) } }
    case 'SecretRevealed':
      return secret
    case 'SecretDeleted':
      return undefined
  }
}
