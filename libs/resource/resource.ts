import type { Type } from '@nestjs/common'
import { didYouMean, DomainError, findKind, kindWords, type Kind } from '@mcpctl/contracts'
import type { Decider, DomainEvent } from '@mcpctl/event-store'
import type { ObjectJoins, ObjectView, ReferencesOf } from '@mcpctl/read-model'
import type { ApplyRequest, CommandContext, DeleteOptions, DeleteRequest, ObjectHead, WriteMode } from './requests'

/** What the uniform path needs to serve a kind. */
export interface Resource<Spec extends object = object> {
  kind: Kind
  /** The class that validates and describes the spec; absent for kinds that nobody writes. */
  schema?: Type<Spec>
  /** Narrower than the rule for all names. */
  namePattern?: RegExp
  apply?: new (
    uid: string,
    desired: ObjectHead & { spec: Spec; mode: WriteMode },
    context: CommandContext,
  ) => ApplyRequest<Spec>
  delete?: new (uid: string, context: CommandContext, options?: DeleteOptions) => DeleteRequest
  /** Refuses to go while others use it, unless it is forced. */
  heldByUse?: true
  /** Its category, the types of its events and what they mean. */
  decider: Decider<unknown, never, DomainEvent>
  view: ObjectView
  /** Events that report what is, not what is wanted: they do not make an edit stale. */
  statusEvents?: readonly string[]
  references?: ReferencesOf
  joins?: ObjectJoins
}

/** The kinds that this daemon serves. */
export class Resources {
  private readonly byPlural: Map<string, Resource>

  constructor(resources: Resource[]) {
    this.byPlural = new Map(resources.map((resource) => [resource.kind.plural, resource]))
  }

  all(): Resource[] {
    return [...this.byPlural.values()]
  }

  /** By path segment. Throws NotFound with a suggestion. */
  get(plural: string): Resource {
    const resource = this.byPlural.get(plural)
    if (resource) return resource
    const kinds = this.all().map(({ kind }) => kind)
    const near = findKind(kinds, plural)
    const hint = near ? `; did you mean "${near.plural}"?` : didYouMean(plural, kinds.flatMap(kindWords))
    throw new DomainError('NotFound', `the server doesn't have a resource type "${plural}"${hint}`)
  }
}

/** Puts a kind's own types aside, as the uniform path sees it. */
export const defineResource = <Spec extends object>(resource: Resource<Spec>): Resource =>
  resource as unknown as Resource
