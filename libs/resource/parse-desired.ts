import {
  didYouMean,
  DomainError,
  invalid,
  maskSecrets,
  metadataKeys,
  namePattern,
  type FieldError,
} from '@mcpctl/contracts'
import { parseAnnotations, parseLabels } from './labels'
import { findCredentials } from './credential-fields'
import { escapePointer, isObject, parseSpec } from './parse-spec'
import type { Asked } from './request-runner'
import type { ObjectHead } from './requests'
import type { Resource } from './resource'
import { shown } from './rules'

/** A wanted object whose every field has been checked. */
export interface Desired extends ObjectHead {
  spec: object
  /** The version that the writer has seen, where the body says it. */
  resourceVersion?: string
}

const objectKeys = ['kind', 'apiVersion', 'metadata', 'spec', 'status', 'referencedBy']
/** What the server says of an object. Taken in a body, so that what was read can be sent back; but for the version, it is ignored. */
const serverOwned = ['uid', 'resourceVersion', 'generation', 'createdAt', 'createdBy', 'deletionTimestamp']

const unknown = (
  object: Record<string, unknown>,
  known: string[],
  { prefix, otherwise }: { prefix: string; otherwise: string },
): FieldError[] =>
  Object.keys(object)
    .filter((key) => !known.includes(key))
    .map((key) => ({
      pointer: `${prefix}/${escapePointer(key)}`,
      code: 'unknown-field',
      message: `unknown field${didYouMean(key, known) || otherwise}`,
    }))

const wrongKind = (given: unknown, kind: string, prefix: string): FieldError[] =>
  given === undefined || given === kind
    ? []
    : [{ pointer: `${prefix}/kind`, code: 'kind', message: `must be ${kind}, or be left out` }]

/** Splits a body into head and spec; takes the API object and the flat manifest entry. */
const split = (body: Record<string, unknown>, kind: string, prefix: string) => {
  if (!isObject(body['metadata'])) {
    const { name, labels, annotations, ...spec } = body
    return { head: { name, labels, annotations }, spec, at: prefix, specAt: prefix, errors: [] as FieldError[] }
  }
  const { metadata, spec } = body
  const errors = [
    ...unknown(body, objectKeys, { prefix, otherwise: '; fields of the spec go below "spec"' }),
    ...unknown(metadata, [...metadataKeys, ...serverOwned], { prefix: `${prefix}/metadata`, otherwise: '' }),
    ...wrongKind(body['kind'], kind, prefix),
  ]
  return { head: metadata, spec: spec ?? {}, at: `${prefix}/metadata`, specAt: `${prefix}/spec`, errors }
}

const nameProblem = (resource: Resource, name: unknown): string | undefined => {
  if (name === undefined) return 'Required value: the object needs a name'
  const pattern = resource.namePattern ?? namePattern
  if (typeof name === 'string' && pattern.test(name)) return undefined
  if (typeof name === 'string' && name.startsWith('system:'))
    return `Invalid value: ${shown(name)}: the prefix "system:" is reserved`
  const signs = ['-', '.', '@', '_', '+'].filter((sign) => pattern.test(`a${sign}b`)).map((sign) => `"${sign}"`)
  const allowed = `lower-case letters, digits${signs.length > 1 ? `, ${signs.slice(0, -1).join(', ')}` : ''} or ${signs.at(-1) ?? ''}`
  return `Invalid value: ${shown(name)}: must be at most 63 ${allowed}, starting and ending with a letter or digit`
}

/** A wrong name still says which object is meant, unless it looks like a secret that was typed in its place. */
const parseName = (resource: Resource, given: unknown, at: string): { name: string; errors: FieldError[] } => {
  const name = typeof given === 'string' ? given : ''
  const message = nameProblem(resource, given)
  if (message === undefined) return { name, errors: [] }
  return { name: maskSecrets(name), errors: [{ pointer: `${at}/name`, code: 'name', message }] }
}

/**
 * Checks a body against the kind's schema. Throws Invalid with one pointer per wrong field, each beginning with `prefix`. `allowCredentialLike`: whoever
 * asks knows that a field looks like a credential, and wants it so.
 */
export const parseDesired = (
  resource: Resource,
  body: unknown,
  prefix = '',
  { allowCredentialLike = false }: Pick<Asked, 'allowCredentialLike'> = {},
): Desired => {
  const { kind, schema } = resource
  if (!schema) throw new DomainError('MethodNotAllowed', `${kind.plural} cannot be written; the reconciler makes them`)
  if (!isObject(body)) throw invalid(kind.name, '', [{ pointer: prefix, code: 'type', message: 'must be an object' }])
  const { head, spec: input, at, specAt, errors } = split(body, kind.name, prefix)
  const { name, errors: nameErrors } = parseName(resource, head['name'], at)
  const labels = parseLabels(head['labels'], `${at}/labels`)
  const annotations = parseAnnotations(head['annotations'], `${at}/annotations`)
  const { spec, errors: specErrors } = parseSpec(schema, input, specAt)
  const all = [
    ...errors,
    ...nameErrors,
    ...labels.errors,
    ...annotations.errors,
    ...specErrors,
    ...(allowCredentialLike ? [] : misplacedCredentials(head, spec, { at, specAt })),
  ]
  if (all.length > 0) throw invalid(kind.name, name, all)
  return { name, labels: labels.map, annotations: annotations.map, spec, ...versionIn(head) }
}

const versionIn = ({ resourceVersion }: { resourceVersion?: unknown }): Pick<Desired, 'resourceVersion'> =>
  typeof resourceVersion === 'string' && resourceVersion !== '' ? { resourceVersion } : {}

/** Fields that hold what belongs into a Secret; a field in which it may stand is no such field. */
const misplacedCredentials = (
  { name, labels, annotations }: Record<string, unknown>,
  spec: object,
  { at, specAt }: { at: string; specAt: string },
): FieldError[] => [
  ...findCredentials({ name, labels, annotations }, at).errors,
  ...findCredentials(spec, specAt).errors,
]

/** Fields of the spec in which a credential may stand, and would be better off in a Secret: as warnings, with their pointers. */
export const credentialWarnings = ({ spec }: Desired, prefix = ''): FieldError[] =>
  findCredentials(spec, prefix).warnings
