import type { InstanceTemplate } from '@mcpctl/runtime'
import type { SecretVersions } from '../instance/instance.kind'
import { secretNames } from './env-resolver.plan'
import { referencesOf } from './server.kind'

type Head = Pick<SecretVersions[string], 'uid' | 'version'>

/** The current version where one reference follows it, or none that is pinned is there yet; else the highest that is pinned. */
const versionOf = (references: readonly { version?: number }[], head: Head): number => {
  const pins = references.flatMap(({ version }) => version ?? [])
  return pins.length < references.length ? head.version : Math.min(head.version, Math.max(...pins))
}

/** The versions that a template's references come to; a secret that is not there is left out. */
export const resolveVersions = (template: InstanceTemplate, heads: ReadonlyMap<string, Head>): SecretVersions => {
  const references = referencesOf(template)
  return Object.fromEntries(
    secretNames(template).flatMap((name) => {
      const head = heads.get(name)
      const own = references.filter((reference) => reference.name === name)
      return head ? [[name, { uid: head.uid, version: versionOf(own, head) }]] : []
    }),
  )
}

/** The newest of what instances of one template were given. Versions only grow, so no clock has to be believed. */
export const newestOf = (given: readonly SecretVersions[], current: SecretVersions): SecretVersions | undefined => {
  const age = (secrets: SecretVersions, isCounted: (name: string, uid: string) => boolean) =>
    Object.entries(secrets)
      .filter(([name, { uid }]) => isCounted(name, uid))
      .reduce((sum, [, { version }]) => sum + version, 0)
  const isAlive = (name: string, uid: string) => (current[name]?.uid ?? uid) === uid
  // What was made anew counts only between two that both have what was there before.
  const newer = (a: SecretVersions, b: SecretVersions) =>
    age(b, isAlive) - age(a, isAlive) || age(b, () => true) - age(a, () => true)
  return [...given].sort(newer)[0]
}

/** What differs, in words; undefined when nothing does. What is not there any more is no change: who has it keeps it. */
export const changesOf = (used: SecretVersions, current: SecretVersions): string | undefined => {
  const changes = Object.entries(current).flatMap(([name, { uid, version }]) => {
    // A secret may have the name of something that every object inherits.
    const before = Object.hasOwn(used, name) ? used[name] : undefined
    const secret = `secret ${JSON.stringify(name)}`
    if (!before) return [`${secret} is there now`]
    if (before.uid !== uid) return [`${secret} was made anew`]
    return before.version === version
      ? []
      : [`${secret} changed from version ${String(before.version)} to ${String(version)}`]
  })
  return changes.length > 0 ? changes.join(', ') : undefined
}
