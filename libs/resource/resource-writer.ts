import { Injectable } from '@nestjs/common'
import { CommandBus } from '@nestjs/cqrs'
import { DomainError, notFound } from '@mcpctl/contracts'
import { v7 as uuidv7 } from 'uuid'
import type { Desired } from './parse-desired'
import type { CommandContext, DeleteOptions, WriteMode } from './requests'
import { streamOf } from './requests'
import type { Resource } from './resource'

/** What a write did, as it is kept with the command for a later replay. */
export type WriteOutcome = {
  kind: string
  plural: string
  name: string
  uid: string
  outcome: 'created' | 'configured' | 'unchanged'
}

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
    options: DeleteOptions & { context: CommandContext; after?: bigint | undefined },
  ): Promise<{ uid: string }> {
    const { kind, delete: request } = resource
    if (!request) throw new DomainError('MethodNotAllowed', `${kind.plural} cannot be deleted`)
    const { context, force = false } = options
    if (force && !resource.heldByUse)
      throw new DomainError(
        'BadRequest',
        `force means nothing for ${kind.plural}: nothing keeps one from being deleted`,
      )
    const uid = await this.uidOf(resource, name, context)
    if (uid === undefined) throw notFound(kind.plural, name)
    await this.refuseStale(resource, { name, uid, ...options })
    await this.execute(new request(uid, context, { force }))
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
