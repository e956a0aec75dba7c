import { Injectable } from '@nestjs/common'
import { CommandBus } from '@nestjs/cqrs'
import { DomainError, invalid, namePattern, notFound, type FieldError } from '@mcpctl/contracts'
import { v7 as uuidv7 } from 'uuid'
import { parseAnnotations, parseLabels } from './labels'
import { parseSpec } from './parse-spec'
import type { CommandContext, ObjectHead, WriteMode } from './requests'
import { streamOf } from './requests'
import type { Resource } from './resource'

/** A wanted object whose every field has been checked. */
export interface Desired extends ObjectHead {
  spec: object
}

/** What a write did, as it is kept with the command for a later replay. */
export type WriteOutcome = {
  kind: string
  plural: string
  name: string
  uid: string
  outcome: 'created' | 'configured' | 'unchanged'
}

const objectKeys = new Set(['kind', 'apiVersion', 'metadata', 'spec', 'status', 'referencedBy'])

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Splits a body into head and spec; takes the API object and the flat manifest entry. */
const split = (body: Record<string, unknown>, prefix: string) => {
  if (!isObject(body['metadata'])) {
    const { name, labels, annotations, ...spec } = body
    return { head: { name, labels, annotations }, spec, at: prefix, specAt: prefix, errors: [] as FieldError[] }
  }
  const { metadata, spec } = body
  const strange = Object.keys(body).filter((key) => !objectKeys.has(key))
  const errors = strange.map((key) => ({
    pointer: `${prefix}/${key}`,
    code: 'unknown-field',
    message: 'unknown field; fields of the spec go below "spec"',
  }))
  return { head: metadata, spec: spec ?? {}, at: `${prefix}/metadata`, specAt: `${prefix}/spec`, errors }
}

const nameProblem = (resource: Resource, name: unknown): string | undefined => {
  if (name === undefined) return 'Required value: the object needs a name'
  const pattern = resource.namePattern ?? namePattern
  if (typeof name === 'string' && pattern.test(name)) return undefined
  const dots = pattern.test('a.b') ? ', "-" or "."' : ' or "-"'
  return `Invalid value: ${JSON.stringify(name)}: must be at most 63 lower-case letters, digits${dots}, starting and ending with a letter or digit`
}

/** Checks a body against the kind's schema. Throws Invalid with one pointer per wrong field. */
export const parseDesired = (resource: Resource, body: unknown, prefix = ''): Desired => {
  const { kind, schema } = resource
  if (!schema) throw new DomainError('MethodNotAllowed', `${kind.plural} cannot be written; the reconciler makes them`)
  if (!isObject(body)) throw invalid(kind.name, '', [{ pointer: prefix, code: 'type', message: 'must be an object' }])
  const { head, spec: input, at, specAt, errors } = split(body, prefix)
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
  return { name, labels: labels.map, annotations: annotations.map, spec }
}

/** Position that a resourceVersion names. Throws BadRequest when it is none, Expired when it is another epoch's. */
export const positionOf = (resourceVersion: string, epoch: number): bigint => {
  const [, ofEpoch, position] = /^(\d{1,9})\.(\d{1,18})$/.exec(resourceVersion) ?? []
  if (ofEpoch === undefined || position === undefined)
    throw new DomainError('BadRequest', `resourceVersion "${resourceVersion}" is not one of ours`)
  if (Number(ofEpoch) !== epoch)
    throw new DomainError('Expired', 'this resourceVersion is from before a restore; read the object again')
  return BigInt(position)
}

/** The position that an If-Match header names, if there is one. */
export const preconditionOf = (ifMatch: string | undefined, epoch: number): bigint | undefined =>
  ifMatch === undefined ? undefined : positionOf(ifMatch.replace(/^(?:W\/)?"(.*)"$/, '$1'), epoch)

/** Turns checked bodies and names into commands of the kind concerned. The one write path of every kind. */
@Injectable()
export class ResourceWriter {
  constructor(private readonly commands: CommandBus) {}

  /** Stages the object as desired. `after`: the position that the writer had seen. Throws what the decider refuses. */
  async apply(
    resource: Resource,
    desired: Desired,
    options: { mode: WriteMode; context: CommandContext; after?: bigint | undefined },
  ): Promise<WriteOutcome> {
    const { kind, apply } = resource
    if (!apply) throw new DomainError('MethodNotAllowed', `${kind.plural} cannot be written; the reconciler makes them`)
    const { mode, context } = options
    const owner = await this.uidOf(resource, desired.name, context)
    if (owner === undefined && mode === 'replace') throw notFound(kind.plural, desired.name)
    const uid = owner ?? uuidv7()
    await this.refuseStale(resource, { name: desired.name, uid, ...options })
    const events = await this.execute(new apply(uid, { ...desired, mode }, context))
    const changed = events.length > 0
    const outcome = owner === undefined ? 'created' : changed ? 'configured' : 'unchanged'
    return { kind: kind.name, plural: kind.plural, name: desired.name, uid, outcome }
  }

  /** Stages the object's end. Throws NotFound, PreconditionFailed, or what the decider refuses. */
  async delete(
    resource: Resource,
    name: string,
    options: { context: CommandContext; after?: bigint | undefined },
  ): Promise<{ uid: string }> {
    const { kind, delete: request } = resource
    if (!request) throw new DomainError('MethodNotAllowed', `${kind.plural} cannot be deleted`)
    const uid = await this.uidOf(resource, name, options.context)
    if (uid === undefined) throw notFound(kind.plural, name)
    await this.refuseStale(resource, { name, uid, ...options })
    await this.execute(new request(uid, options.context))
    return { uid }
  }

  /** The uid that a name stands for now, with what the request staged. */
  async uidOf({ kind }: Resource, name: string, { unit }: CommandContext): Promise<string | undefined> {
    const owner = await unit.owner('name', `${kind.singular}/${name}`)
    return owner?.slice(kind.singular.length + 1)
  }

  /** A precondition asks whether the spec changed since; status reports do not make an edit stale. */
  async refuseStale(
    { kind, statusEvents }: Resource,
    { name, uid, context, after }: { name: string; uid: string; context: CommandContext; after?: bigint | undefined },
  ): Promise<void> {
    if (after === undefined) return
    const last = await context.unit.lastPosition(kind.singular, streamOf(kind.singular, uid), statusEvents ?? [])
    if (last <= after) return
    throw new DomainError(
      'PreconditionFailed',
      `Operation cannot be fulfilled on ${kind.plural} "${name}": the object has been modified; please apply your changes to the latest version and try again`,
      { kind: kind.plural, name },
    )
  }

  private async execute(request: object): Promise<unknown[]> {
    return this.commands.execute<object, unknown[]>(request)
  }
}
