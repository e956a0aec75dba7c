import { invalid } from '@mcpctl/contracts'
import {
  refuseMode,
  type ApplySecretCommand,
  type PresentSecret,
  type Secret,
  type SecretVersion,
} from './secret.decider'

/** What a write says of each key: that it has a value, or that it keeps the one it has. */
export interface WantedKeys {
  mode: ApplySecretCommand['mode']
  name: string
  given: readonly string[]
  kept: readonly string[]
}

const currentOf = (secret: PresentSecret) => secret.versions[secret.version]

const keysOf = (secret: Secret): string[] =>
  secret.status === 'absent' ? [] : Object.keys(currentOf(secret)?.values ?? {})

/**
 * The keys whose values go on as they are. Replacing drops what is left out. A manifest drops what the manifest before it had named and leaves what
 * others have added since. Throws what is wrong with the write: NotFound, AlreadyExists, Invalid for keeping what is not there.
 */
export const keptKeys = (secret: Secret, { mode, name, given, kept }: WantedKeys): string[] => {
  refuseMode(secret, mode, name)
  const keys = keysOf(secret)
  const errors = kept
    .filter((key) => !keys.includes(key))
    .map((key) => ({
      pointer: `/spec/data/${key}`,
      code: 'keep',
      message: 'cannot be kept: the secret does not have it yet; give it a value',
    }))
  if (errors.length > 0) throw invalid('Secret', name, errors)
  const base = secret.status === 'present' ? (currentOf(secret)?.applied ?? []) : []
  const left = mode === 'apply' ? keys.filter((key) => !base.includes(key)) : []
  return keys.filter((key) => !given.includes(key) && (kept.includes(key) || left.includes(key)))
}

/** Whether the values given and kept are those that the secret has, and can be had. Fingerprints: whole HMACs by key. */
export const isUnchanged = (
  secret: Secret,
  fingerprints: ReadonlyMap<string, string>,
  kept: readonly string[],
): boolean => {
  if (secret.status === 'absent') return false
  const values = currentOf(secret)?.values ?? {}
  const { version, undecryptable } = secret
  const lost = undecryptable?.version === version ? undecryptable.keys : []
  const same = [...fingerprints].every(
    ([key, print]) => valueAt(values, key)?.fingerprint === print && !lost.includes(key),
  )
  return same && Object.keys(values).length === fingerprints.size + kept.length
}

/** A key may have the name of what every object inherits. */
const valueAt = (values: SecretVersion['values'], key: string) => (Object.hasOwn(values, key) ? values[key] : undefined)
