import type { SecretContent, SecretHead, SecretSnapshot } from '@mcpctl/resource'
import type { EnvEntry, InstanceInputs, InstanceTemplate, SecretFile, SecretKeyRef } from '@mcpctl/runtime'
import { referenceOf, referencesOf, type SecretReferences } from './server.kind'

/** A version of a secret that a template needs; the current one unless a version is said. */
export interface WantedSecret {
  name: string
  version?: number
}

/** What reading a wanted secret came to. */
export type FoundSecret = SecretSnapshot | 'NotFound' | 'NoSuchVersion'

/** Why an instance cannot start, in words that name the secret and the key, never a value. */
export interface MissingSecret {
  reason: 'CreateConfigError' | 'SecretUndecryptable'
  message: string
}

type Picked = { content: SecretContent } | { left: 'out' } | { missing: MissingSecret }

/** The names of the secrets that a template refers to, each once, sorted. */
export const secretNames = (template: SecretReferences): string[] =>
  [...new Set(referencesOf(template).map(({ name }) => name))].sort()

/** Under which a found secret is looked up. */
export const wantedKey = ({ name, version }: WantedSecret): string =>
  version === undefined ? name : `${name}@${version}`

/** What has to be read for a template, each once. */
export const wantedSecrets = (template: InstanceTemplate): WantedSecret[] => {
  const wanted = referencesOf(template).map(({ name, version }) => ({
    name,
    ...(version !== undefined && { version }),
  }))
  return [...new Map(wanted.map((each) => [wantedKey(each), each])).values()]
}

const quoted = (text: string) => JSON.stringify(text)

const MAX_KEYS_TOLD = 10

const keysText = (keys: readonly string[]): string => {
  if (keys.length === 0) return 'it has none'
  const more = keys.length > MAX_KEYS_TOLD ? ', …' : ''
  return `it has ${keys.slice(0, MAX_KEYS_TOLD).join(', ')}${more}`
}

const absent = (optional: boolean | undefined, message: string): Picked =>
  optional === true ? { left: 'out' } : { missing: { reason: 'CreateConfigError', message } }

const pick = ({ name, key, version, optional }: SecretKeyRef, found: FoundSecret | undefined): Picked => {
  if (found === undefined || found === 'NotFound') return absent(optional, `secret ${quoted(name)} not found`)
  if (found === 'NoSuchVersion') return absent(optional, `secret ${quoted(name)} has no version ${String(version)}`)
  const value = found.values.get(key)
  if (value === undefined) {
    const where = version === undefined ? '' : ` in version ${found.version}`
    const message = `secret ${quoted(name)} has no key ${quoted(key)}${where}; ${keysText([...found.values.keys()])}`
    return absent(optional, message)
  }
  if (value === 'Forgotten')
    return absent(
      optional,
      `version ${found.version} of secret ${quoted(name)} is destroyed; key ${quoted(key)} is gone`,
    )
  if (value !== 'Undecryptable') return { content: value }
  const message = `key ${quoted(key)} of secret ${quoted(name)} cannot be decrypted; see: mcpctl describe secret/${name}`
  return { missing: { reason: 'SecretUndecryptable', message } }
}

/** Text that can stand in an environment, or undefined: bytes would come out as others there. */
const textOf = ({ value }: SecretContent): string | undefined => {
  const text = value.toString('utf8')
  return text.includes('\0') || !Buffer.from(text).equals(value) ? undefined : text
}

const notText = ({ name, key }: SecretKeyRef, variable: string): MissingSecret => ({
  reason: 'CreateConfigError',
  message: `key ${quoted(key)} of secret ${quoted(name)} is binary and cannot stand in variable ${variable}; use secretFiles`,
})

interface Resolving {
  inputs: InstanceInputs
  missing: MissingSecret[]
}

const addEnv = ({ inputs, missing }: Resolving, entry: EnvEntry, found: ReadonlyMap<string, FoundSecret>): void => {
  if (!('valueFrom' in entry)) {
    inputs.env.push({ name: entry.name, value: entry.value })
    return
  }
  const { secretRef } = entry.valueFrom
  const picked = pick(secretRef, found.get(wantedKey(secretRef)))
  if ('left' in picked) return
  const value = 'content' in picked ? textOf(picked.content) : undefined
  if ('missing' in picked || value === undefined) {
    missing.push('missing' in picked ? picked.missing : notText(secretRef, entry.name))
    return
  }
  inputs.env.push({ name: entry.name, value })
  inputs.secretEnv.push(entry.name)
  inputs.secrets.push(Buffer.from(picked.content.value))
}

const addFile = ({ inputs, missing }: Resolving, file: SecretFile, found: ReadonlyMap<string, FoundSecret>): void => {
  const reference = referenceOf(file)
  const picked = pick(reference, found.get(wantedKey(reference)))
  if ('missing' in picked) missing.push(picked.missing)
  if (!('content' in picked)) return
  inputs.files.push({ path: file.path, env: file.env, content: Buffer.from(picked.content.value) })
  inputs.secrets.push(Buffer.from(picked.content.value))
}

/**
 * The environment and the files that a template and the secrets found make, in the template's order, or everything that is missing. Pure: the same
 * inputs give the same answer, for the start of an instance as for a client's configuration.
 */
export const resolveInputs = (
  template: InstanceTemplate,
  found: ReadonlyMap<string, FoundSecret>,
): { inputs: InstanceInputs } | { missing: MissingSecret[] } => {
  const resolving: Resolving = { inputs: { env: [], files: [], secrets: [], secretEnv: [] }, missing: [] }
  for (const entry of template.env) addEnv(resolving, entry, found)
  for (const file of template.secretFiles ?? []) addFile(resolving, file, found)
  return resolving.missing.length > 0 ? { missing: resolving.missing } : { inputs: resolving.inputs }
}

/** What is missing as far as it shows without opening a secret. */
export const missingIn = (
  template: InstanceTemplate,
  heads: ReadonlyMap<string, Omit<SecretHead, 'changedAt'>>,
): MissingSecret[] =>
  referencesOf(template).flatMap((reference) => {
    const head = heads.get(reference.name)
    if (reference.optional === true || (head && reference.version !== undefined)) return []
    const values = new Map((head?.keys ?? []).map((key) => [key, 'Forgotten' as const]))
    if (values.has(reference.key)) return []
    const picked = pick(reference, head ? { uid: head.uid, version: head.version, values } : 'NotFound')
    return 'missing' in picked ? [picked.missing] : []
  })

/** One text of several problems. */
export const missingText = (missing: readonly MissingSecret[]): string =>
  [...new Set(missing.map(({ message }) => message))].join('; ')

/** Environment and files in the order of a start, with references in place of values: what may be shown to who may see the server. */
export const placeholdersOf = ({ env, secretFiles = [] }: InstanceTemplate) => ({
  env: env.map((entry) =>
    'valueFrom' in entry
      ? { name: entry.name, secret: entry.valueFrom.secretRef }
      : { name: entry.name, value: entry.value },
  ),
  files: secretFiles.map((file) => ({ path: file.path, env: file.env, secret: referenceOf(file) })),
})
