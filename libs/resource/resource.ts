import type { Provider, Type } from '@nestjs/common'
import { didYouMean, DomainError, findKind, kindWords, type Kind } from '@mcpctl/contracts'
import type { ObjectView, ReferencesOf } from '@mcpctl/read-model'
import type { ApplyRequest, CommandContext, DeleteRequest, ObjectHead, WriteMode } from './requests'

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
  delete?: new (uid: string, context: CommandContext) => DeleteRequest
  view: ObjectView
  references?: ReferencesOf
}

/** The kinds that this daemon serves. */
export class Resources {
  private readonly byPlural = new Map<string, Resource>()

  register(resource: Resource): Resource {
    this.byPlural.set(resource.kind.plural, resource)
    return resource
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

/** Registers a kind with the uniform path when its module starts. */
export const provideResource = <Spec extends object>(resource: Resource<Spec>): Provider => ({
  provide: `resource:${resource.kind.plural}`,
  inject: [Resources],
  useFactory: (resources: Resources) => resources.register(resource as unknown as Resource),
})
