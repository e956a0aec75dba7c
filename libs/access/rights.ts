import type { Role } from '@mcpctl/contracts'
import { isRole, roles, type Action, type Entry, type OperationEntry, type RoleEntry } from './entry'

/** A role on one object by name; without a name on all objects of the kind. `owner` is the server that an instance belongs to. */
export interface RoleAsk {
  role: Role
  kind: string
  name?: string
  owner?: string
}

/** An action, on an object where it is about one. */
export interface OperationAsk {
  action: Action
  kind?: string
  name?: string
  owner?: string
}

export type Ask = RoleAsk | OperationAsk

/** One place where what is asked may be allowed. */
interface Way<What> {
  what: What
  kind?: string | undefined
  name?: string | undefined
}

/** Who sees a server sees its instances; who may edit it could restart it anyway. */
const asOwner: Partial<Record<Role, Role>> = { view: 'view', delete: 'edit' }

/** An instance is reached by its own name, by that of its server, and by rights on the server itself. */
const waysOfRole = ({ role, kind, name, owner }: RoleAsk): Way<Role>[] => {
  const itself = { what: role, kind, name }
  if (kind !== 'instances') return [itself]
  const onServer = asOwner[role]
  return [
    itself,
    ...(owner === undefined ? [] : [{ what: role, kind, name: owner }]),
    ...(onServer === undefined ? [] : [{ what: onServer, kind: 'servers', name: owner }]),
  ]
}

const waysOfOperation = ({ action, kind, name, owner }: OperationAsk): Way<Action>[] => [
  { what: action, kind, name },
  ...(kind === 'instances' && owner !== undefined
    ? [kind, 'servers'].map((place) => ({ what: action, kind: place, name: owner }))
    : []),
]

/** Whether one entry allows what is asked. `Rights` answers the same for many at once. */
export const matches = (entry: Entry, ask: Ask): boolean => matching(ask)(entry)

/** As `matches`, for one question to many entries. */
export const matching = (ask: Ask): ((entry: Entry) => boolean) => {
  const roleWays = 'role' in ask ? waysOfRole(ask) : []
  const operationWays = 'action' in ask ? waysOfOperation(ask) : []
  return (entry) =>
    isRole(entry)
      ? roleWays.some((way) => matchesRole(entry, way))
      : operationWays.some((way) => matchesOperation(entry, way))
}

const matchesRole = ({ role, resource, name }: RoleEntry, way: Way<Role>): boolean => {
  if (role !== way.what && !(role === 'edit' && way.what === 'view')) return false
  return resource === '*' || isAt({ resource, name }, way)
}

const matchesOperation = ({ action, resource, name }: OperationEntry, way: Way<Action>): boolean => {
  if (action !== '*' && action !== way.what) return false
  return resource === undefined || isAt({ resource, name }, way)
}

const isAt = (place: { resource: string; name: string | undefined }, { kind, name }: Way<unknown>): boolean =>
  place.resource === kind && (place.name === undefined || place.name === name)

/** Where a role holds: everywhere, or on what bears these names, or, of instances, on those of these servers. */
export interface Scope {
  all: boolean
  names: ReadonlySet<string>
  owners: ReadonlySet<string>
}

const bits: Record<Role, number> = { view: 1, create: 2, edit: 4 | 1, delete: 8, run: 16 }

interface Held {
  all: number
  names: Map<string, number>
}

interface Operated {
  all: boolean
  kinds: Map<string, { all: boolean; names: Set<string> }>
}

const none: Held = { all: 0, names: new Map() }

/** Entries, compiled so that a question costs a few look-ups. What the subjects of a user hold is compiled once for all users. */
export class CompiledEntries {
  private readonly kinds = new Map<string, Held>()
  private readonly operations = new Map<string, Operated>()

  constructor(entries: Iterable<Entry>) {
    for (const entry of entries)
      if (isRole(entry)) this.addRole(entry)
      else this.addOperation(entry)
  }

  get isEmpty(): boolean {
    return this.kinds.size + this.operations.size === 0
  }

  allowsRole({ what, kind = '*', name }: Way<Role>): boolean {
    const held = this.held(kind)
    return holds(held.all | this.held('*').all | (name === undefined ? 0 : (held.names.get(name) ?? 0)), what)
  }

  allowsOperation({ what, kind, name }: Way<Action | '*'>): boolean {
    return ['*', what].some((action) => {
      const operated = this.operations.get(action)
      return operated !== undefined && (operated.all || isWithin(operated, kind, name))
    })
  }

  /** Names of a kind on which the role holds. */
  names(role: Role, kind: string): string[] {
    return [...this.held(kind).names].filter(([, mask]) => holds(mask, role)).map(([name]) => name)
  }

  private addRole({ role, resource, name }: RoleEntry): void {
    const held = this.kinds.get(resource) ?? { all: 0, names: new Map<string, number>() }
    this.kinds.set(resource, held)
    if (name === undefined) held.all |= bits[role]
    else held.names.set(name, (held.names.get(name) ?? 0) | bits[role])
  }

  private addOperation({ action, resource, name }: OperationEntry): void {
    const held = this.operations.get(action) ?? {
      all: false,
      kinds: new Map<string, { all: boolean; names: Set<string> }>(),
    }
    this.operations.set(action, held)
    if (resource === undefined) return void (held.all = true)
    const kind = held.kinds.get(resource) ?? { all: false, names: new Set<string>() }
    held.kinds.set(resource, kind)
    if (name === undefined) kind.all = true
    else kind.names.add(name)
  }

  private held(kind: string): Held {
    return this.kinds.get(kind) ?? none
  }
}

/**
 * What somebody may do: the union of what his subjects hold. There is no rule that takes away: what no entry allows is denied. A token's
 * scope narrows: both must allow.
 */
export class Rights {
  private readonly parts: readonly CompiledEntries[]

  constructor(
    entries: Iterable<Entry> | readonly CompiledEntries[],
    private readonly narrowedBy?: Rights,
  ) {
    const [first] = entries as Iterable<Entry | CompiledEntries>
    this.parts =
      first instanceof CompiledEntries
        ? (entries as readonly CompiledEntries[])
        : [new CompiledEntries(entries as Iterable<Entry>)]
  }

  /** The same rights, within those of a token. */
  within(scope: Rights): Rights {
    return new Rights(this.parts, this.narrowedBy?.within(scope) ?? scope)
  }

  allows(ask: Ask): boolean {
    if (this.narrowedBy && !this.narrowedBy.allows(ask)) return false
    return 'role' in ask ? this.allowsRole(ask) : this.allowsOperation(ask)
  }

  /** Which objects of a kind the role reaches; for lists and watches. */
  scope(role: Role, kind: string): Scope {
    const own = this.ownScope(role, kind)
    if (!this.narrowedBy) return own
    return both(own, this.narrowedBy.scope(role, kind))
  }

  /** As `scope`, exactly: an object is reached when each of these reaches it. */
  scopes(role: Role, kind: string): Scope[] {
    return [this.ownScope(role, kind), ...(this.narrowedBy?.scopes(role, kind) ?? [])]
  }

  /** Whether there may be an object that the role reaches. */
  reaches(role: Role, kind: string): boolean {
    return this.scopes(role, kind).every(({ all, names, owners }) => all || names.size > 0 || owners.size > 0)
  }

  /** Whether a holder of these rights holds all that the entry gives, with at least its scope. `*` is covered by `*` alone. */
  covers(entry: Entry): boolean {
    if (this.narrowedBy && !this.narrowedBy.covers(entry)) return false
    if (isRole(entry)) {
      const { role, resource: kind, name } = entry
      return this.allowsRole({ role, kind, ...(name !== undefined && { name }) })
    }
    const way = { what: entry.action as Action | '*', kind: entry.resource, name: entry.name }
    return this.parts.some((part) => part.allowsOperation(way))
  }

  /** All five roles on everything, and every action. */
  isFullAdmin(): boolean {
    return roles.every((role) => this.covers({ role, resource: '*' })) && this.covers({ action: '*' })
  }

  private allowsRole(ask: RoleAsk): boolean {
    return waysOfRole(ask).some((way) => this.parts.some((part) => part.allowsRole(way)))
  }

  private allowsOperation(ask: OperationAsk): boolean {
    return waysOfOperation(ask).some((way) => this.parts.some((part) => part.allowsOperation(way)))
  }

  private ownScope(role: Role, kind: string): Scope {
    const all = this.parts.some((part) => part.allowsRole({ what: role, kind }))
    const names = new Set(this.parts.flatMap((part) => part.names(role, kind)))
    const onServer = kind === 'instances' ? asOwner[role] : undefined
    const servers = onServer && this.ownScope(onServer, 'servers')
    const owners = kind === 'instances' ? new Set([...names, ...(servers?.names ?? [])]) : new Set<string>()
    return { all: all || servers?.all === true, names, owners }
  }
}

const holds = (mask: number, role: Role): boolean => (mask & bits[role]) === bits[role]

const isWithin = ({ kinds }: Operated, kind: string | undefined, name: string | undefined): boolean => {
  const held = kind === undefined ? undefined : kinds.get(kind)
  return held !== undefined && (held.all || (name !== undefined && held.names.has(name)))
}

const both = (a: Scope, b: Scope): Scope => {
  if (a.all) return b
  if (b.all) return a
  // An instance may be in by its own name here and by its server's there: whoever filters checks each object again.
  return { all: false, names: common(a.names, b.names), owners: common(a.owners, b.owners) }
}

const common = (a: ReadonlySet<string>, b: ReadonlySet<string>) => new Set([...a].filter((name) => b.has(name)))
