import type { Condition, ResourceObject } from '@mcpctl/contracts'
import type { Vault, VaultState, VersionKey } from '@mcpctl/vault'

/** Says of a secret that its values cannot be had, for a reason that lies with the keys and not with the secret. */
const undecryptable = ({ metadata, status }: ResourceObject, message: string): Condition => ({
  type: 'Undecryptable',
  status: 'True',
  reason: 'SecretUndecryptable',
  message,
  lastTransitionTime: (status['rotatedAt'] as string | undefined) ?? metadata.createdAt,
  observedGeneration: metadata.generation,
})

const problemOf = (key: VersionKey | undefined, state: VaultState): string | undefined => {
  if (state.status === 'closed') return state.message
  if (!key) return 'the key of the current version is gone; give new values'
  return key.usable ? undefined : `the key-encryption key ${key.kek} is not in the key file; put it back`
}

const withKey = (secret: ResourceObject, keys: readonly VersionKey[], state: VaultState): ResourceObject => {
  const key = keys.find(({ version }) => version === secret.status['version'])
  const problem = problemOf(key, state)
  const told = (secret.status['conditions'] ?? []) as Condition[]
  const conditions = problem === undefined ? told : [undecryptable(secret, problem)]
  return { ...secret, status: { ...secret.status, ...(key && { kek: key.kek }), conditions } }
}

/**
 * Secrets with the key-encryption key of their current version, and whether it is at hand; other objects as they are. Joined at read, outside
 * resourceVersion and watch: wrapping keys anew changes no secret.
 */
export const withSecretKeys = async (vault: Vault, objects: readonly ResourceObject[]): Promise<ResourceObject[]> => {
  const secrets = objects.filter(({ kind }) => kind === 'Secret')
  if (secrets.length === 0) return [...objects]
  const state = await vault.state()
  const keys = await vault.keysOf(secrets.map(({ metadata }) => metadata.uid))
  return objects.map((object) =>
    object.kind === 'Secret' ? withKey(object, keys.get(object.metadata.uid) ?? [], state) : object,
  )
}
