import { entryText, isRole, type Entry } from './entry'
import type { SubjectRef } from './events'
import type { UserFact } from './fact'
import type { AccessFacts } from './facts'
import { byOrigin, grantsIn, inherited, type Grant, type Via } from './grant'
import { matches, matching, type Ask, type OperationAsk, type RoleAsk } from './rights'

/** Why somebody may, or may not. */
export interface Explanation {
  allowed: boolean
  /** Every grant that allows it. */
  paths: Grant[]
  /** For a no: grants that come close, for example the same role on another name. At most five. */
  nearest: Grant[]
  /** For a no: the command that would allow it. */
  remedy?: string
}

const MOST_NEAREST = 5

/** Says which grants let a user do what is asked; for a no, what is near and what would help. */
export const explain = (facts: AccessFacts, user: UserFact, ask: Ask): Explanation => {
  const grants = facts.grantsOfUser(user.uid)
  const paths = grants.filter(({ entry }) => matches(entry, ask))
  if (paths.length > 0) return { allowed: true, paths, nearest: [] }
  const nearest = grants
    .filter(({ entry }) => closeness(entry, ask) > 0)
    .sort((a, b) => closeness(b.entry, ask) - closeness(a.entry, ask))
    .slice(0, MOST_NEAREST)
  return { allowed: false, paths: [], nearest, remedy: createRbacLine(entryFor(ask), user.name) }
}

/** The narrowest entry that allows what is asked. */
export const entryFor = (ask: Ask): Entry => ('role' in ask ? roleEntryFor(ask) : operationEntryFor(ask))

const named = (name: string | undefined) => (name === undefined ? {} : { name })

const roleEntryFor = ({ role, kind, name, owner }: RoleAsk): Entry => {
  const resource = kind === 'instances' && role === 'view' && owner !== undefined ? 'servers' : kind
  return { role, resource, ...named(owner ?? name) }
}

const operationEntryFor = ({ action, kind, name, owner }: OperationAsk): Entry => {
  if (kind === undefined) return { action }
  if (kind === 'instances' && owner !== undefined) return { action, resource: 'servers', name: owner }
  return { action, resource: kind, ...named(name) }
}

const closeness = (entry: Entry, ask: Ask): number => {
  if (!isRole(entry)) return 'action' in ask && entry.action === ask.action ? 2 : 0
  if (!('role' in ask)) return 0
  const kind = entry.resource === ask.kind || entry.resource === '*'
  const role = entry.role === ask.role
  return kind && role ? 3 : kind ? 2 : role ? 1 : 0
}

/** Who may, through which grants. */
export interface WhoCan {
  user: UserFact
  grants: Grant[]
}

/** Everybody who may do what is asked, by name. Looks at each binding once, and makes nothing anew for each member of a group. */
export const whoCan = (facts: AccessFacts, ask: Ask): WhoCan[] => {
  const found = new Map<UserFact, Grant[]>()
  // In their order from the start: there may be ten thousand lists of grants to sort else.
  for (const { grant, subject } of givenBy(facts, ask)) {
    let reached: { via: Via | undefined; grant: Grant } = { via: undefined, grant }
    for (const { user, via } of facts.reachedBy(subject)) {
      if (!user.enabled) continue
      if (reached.via !== via) reached = { via, grant: inherited(grant, via) }
      const held = found.get(user)
      if (held) held.push(reached.grant)
      else found.set(user, [reached.grant])
    }
  }
  return [...found].map(([user, grants]) => ({ user, grants })).sort((a, b) => (a.user.name < b.user.name ? -1 : 1))
}

/** The grants that allow it and to whom each is given, as `byOrigin` orders them. */
const givenBy = (facts: AccessFacts, ask: Ask): { grant: Grant; subject: SubjectRef }[] => {
  const allows = matching(ask)
  const given: { grant: Grant; subject: SubjectRef; order: Grant }[] = []
  for (const rbac of facts.allRbacs()) {
    if (!rbac.entries.some(({ entry }) => allows(entry))) continue
    for (const grant of grantsIn(rbac).filter(({ entry }) => allows(entry)))
      for (const subject of rbac.subjects) {
        const via = subject.kind === 'User' ? undefined : { group: subject.name, since: '', by: '' }
        given.push({ grant, subject, order: inherited(grant, via) })
      }
  }
  return given.sort((a, b) => byOrigin(a.order, b.order))
}

/** What a change gives and takes, per user that has something of either. */
export interface AccessChange {
  user: string
  gained: string[]
  lost: string[]
}

/** Compares what everybody holds before and after. Looks at the users named only. */
export const accessChanges = (before: AccessFacts, after: AccessFacts, users: Iterable<string>): AccessChange[] =>
  [...new Set(users)]
    .flatMap((uid) => {
      const name = (after.user(uid) ?? before.user(uid))?.name
      if (name === undefined) return []
      const had = entriesOf(before, uid)
      const has = entriesOf(after, uid)
      const gained = [...has].filter((entry) => !had.has(entry)).sort()
      const lost = [...had].filter((entry) => !has.has(entry)).sort()
      return gained.length + lost.length > 0 ? [{ user: name, gained, lost }] : []
    })
    .sort((a, b) => (a.user < b.user ? -1 : 1))

const entriesOf = (facts: AccessFacts, uid: string) =>
  new Set(facts.grantsOfUser(uid).map(({ entry }) => entryText(entry)))

/** The line that would allow it. */
const createRbacLine = (entry: Entry, user: string): string => {
  const name = `${user}-${entryText(entry).replaceAll(/[^a-z0-9]+/g, '-')}`.slice(0, 63).replace(/-$/, '')
  const what = isRole(entry) ? `--binding ${entryText(entry)}` : `--operation ${entryText(entry).slice('op '.length)}`
  return `mcpctl create rbac ${name} --subject User:${user} ${what}`
}
