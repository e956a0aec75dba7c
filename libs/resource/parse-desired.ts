import { didYouMean, DomainError, invalid, metadataKeys, namePattern, type FieldError } from '@mcpctl/contracts'
import { parseAnnotations, parseLabels } from './labels'
import { escapePointer, isObject, parseSpec } from './parse-spec'
import type { ObjectHead } from './requests'
import type { Resource } from './resource'

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
    return `Invalid value: ${JSON.stringify(name)}: the prefix "system:" is reserved`
  const signs = ['-', '.', '@', '_', '+'].filter((sign) => pattern.test(`a${sign}b`)).map((sign) => `"${sign}"`)
  const allowed = `lower-case letters, digits${signs.length > 1 ? `, ${signs.slice(0, -1).join(', ')}` : ''} or ${signs.at(-1) ?? ''}`
  return `Invalid value: ${JSON.stringify(name)}: must be at most 63 ${allowed}, starting and ending with a letter or digit`
}

/** Checks a body against the kind's schema. Throws Invalid with one pointer per wrong field. */
export const parseDesired = (resource: Resource, body: unknown, prefix = ''): Desired => {
  const { kind, schema } = resource
  if (!schema) throw new DomainError('MethodNotAllowed', `${kind.plural} cannot be written; the reconciler makes them`)
  if (!isObject(body)) throw invalid(kind.name, '', [{ pointer: prefix, code: 'type', message: 'must be an object' }])
  const { head, spec: input, at, specAt, errors } = split(body, kind.name, prefix)
  const wrongName = nameProblem(resource, head['name'])
  const labels = parseLabels(head['labels'], `${at}/labels`)
  const annotations = parseAnnotations(head['annotations'], `${at}/annotations`)
  const { spec, errors: specErrors } = parseSpec(schema, input, specAt)
  const all = [
    ...errors,
    ...(wrongName === undefined ? [] : [{ pointer: `${at}/name`, code: 'name', message: wrongName }]),
    ...labels.errors,
    ...annotations.errors,
    ...specErrors,
  ]
  const name = typeof head['name'] === 'string' ? head['name'] : ''
  if (all.length > 0) throw invalid(kind.name, name, all)
  const { resourceVersion: version } = head as { resourceVersion?: unknown }
  const seen = typeof version === 'string' && version !== '' ? { resourceVersion: version } : {}
  return { name, labels: labels.map, annotations: annotations.map, spec, ...seen }
}
