import type { Directory, Rights } from '@mcpctl/access'
import { DomainError, type Kind, type ResourceObject } from '@mcpctl/contracts'
import type { ReadScope } from '@mcpctl/read-model'
import type { AuthenticatedRequest } from './guards'

/** What the watcher has seen does not tell any more what he may see. */
export const accessChanged = () =>
  new DomainError('AccessChanged', 'what you may view has changed; list again and watch from there')

/** Who watches objects of a kind, and which of them he may see. */
export class WatchReader {
  readonly uid: string
  readonly tokenId: string
  private readonly rightsIn: NonNullable<AuthenticatedRequest['rightsIn']>
  private readonly first: Rights
  private rights: Rights
  /** Of the last event that rights follow from, when they were compared last. */
  private compared = -1n

  constructor(
    { identity, subject, rights, rightsIn }: AuthenticatedRequest,
    private readonly directory: Directory,
    private readonly kind: Kind,
  ) {
    if (!identity || !subject || !rights || !rightsIn) throw new Error('the route was reached without authentication')
    this.uid = subject.uid
    this.tokenId = identity.tokenId
    this.rightsIn = rightsIn
    this.first = rights
    this.rights = rights
  }

  get scopes(): ReadScope[] {
    return this.first.scopes('view', this.kind.plural)
  }

  maySee({ metadata: { name }, spec }: ResourceObject): boolean {
    const { plural } = this.kind
    const owner = plural === 'instances' ? spec['server'] : undefined
    return this.rights.allows({ role: 'view', kind: plural, name, ...(typeof owner === 'string' && { owner }) })
  }

  /** Whether these rights show the same objects as those that the watch began with. */
  seesTheSameBy(rights: Rights): boolean {
    const { plural } = this.kind
    const then = this.first.scopes('view', plural)
    const now = rights.scopes('view', plural)
    return then.length === now.length && then.every((scope, index) => isSame(scope, now[index]))
  }

  /** Throws AccessChanged, Forbidden for one who may not act as he does any more, and Unavailable when nobody can tell. */
  async confirm(): Promise<void> {
    const { facts, position } = await this.directory.current()
    if (position === this.compared) return
    const rights = this.rightsIn(facts)
    if (!this.seesTheSameBy(rights)) throw accessChanged()
    this.rights = rights
    this.compared = position
  }

  /** Whether what he knows from a position on was read by the same rights. Throws AccessChanged. */
  async confirmSince(from: bigint): Promise<void> {
    const { position } = await this.directory.current()
    if (position <= from) return
    const then = await this.directory.at(from)
    let rights: Rights
    try {
      rights = this.rightsIn(then)
    } catch {
      // He could not have acted so at that time.
      throw accessChanged()
    }
    if (!this.seesTheSameBy(rights)) throw accessChanged()
  }
}

const isSame = (a: ReadScope, b: ReadScope | undefined): boolean => {
  if (!b || a.all !== b.all) return false
  return a.all || (isSameSet(a.names, b.names) && isSameSet(a.owners, b.owners))
}

const isSameSet = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean =>
  a.size === b.size && [...a].every((name) => b.has(name))
