import { entryText, isRole, type Entry } from './entry'
import { createRbacLine, type AccessFacts, type Grant, type UserFact } from './facts'
import { matches, type Ask } from './rights'

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
export const entryFor = (ask: Ask): Entry => {
  const name = ask.owner ?? ask.name
  if ('role' in ask) {
    const viaServer = ask.kind === 'instances' && ask.role === 'view' && ask.owner !== undefined
    const resource = viaServer ? 'servers' : ask.kind
    return { role: ask.role, resource, ...(name !== undefined && { name }) }
  }
  const resource = ask.kind === 'instances' && ask.owner !== undefined ? 'servers' : ask.kind
  return {
    action: ask.action,
    ...(resource !== undefined && { resource }),
    ...(resource !== undefined && name !== undefined && { name }),
  }
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

/** Everybody who may do what is asked, by name. Looks at each binding once. */
export const whoCan = (facts: AccessFacts, ask: Ask): WhoCan[] => {
  const found = new Map<string, WhoCan>()
  for (const { subjects, entries } of facts.allRbacs()) {
    if (!entries.some(({ entry }) => matches(entry, ask))) continue
    for (const user of subjects.flatMap((subject) => facts.usersOf(subject)))
      if (user.enabled && !found.has(user.uid)) found.set(user.uid, { user, grants: pathsOf(facts, user, ask) })
  }
  return [...found.values()].sort((a, b) => (a.user.name < b.user.name ? -1 : 1))
}

const pathsOf = (facts: AccessFacts, { uid }: UserFact, ask: Ask) =>
  facts.grantsOfUser(uid).filter(({ entry }) => matches(entry, ask))

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
