import type { Command } from 'commander'
import { toEntry } from '@mcpctl/contracts'
import type { Kind, ManifestEntry, ResourceObject } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { throwAll, usage } from '../errors'
import { showGlobal } from '../global-options'
import type { Session } from '../session'
import { requireKind } from '../targets'
import { named } from './flags'

interface Listed {
  kind?: string
  name: string
  uid: string
  state?: string
}

/** An object that names somebody who is gone, and what it looks like without. */
interface Dangling {
  kind: Kind
  object: ResourceObject
  /** `User:dave` */
  gone: string[]
  entry: ManifestEntry
  isEmpty: boolean
}

const listedIn = (object: ResourceObject, field: string): Listed[] => (object.status[field] ?? []) as Listed[]

const isGone = ({ state }: Listed): boolean => state === 'Dangling'

const without = (kind: Kind, object: ResourceObject): Dangling | undefined => {
  const field = kind.plural === 'rbac' ? 'subjects' : 'members'
  const listed = listedIn(object, field)
  const gone = listed.filter(isGone).map((subject) => `${subject.kind ?? 'User'}:${subject.name}`)
  if (gone.length === 0) return undefined
  const kept = listed.filter((subject) => !isGone(subject))
  const shown = kept.map((subject) => (field === 'members' ? subject.name : { kind: subject.kind, name: subject.name }))
  return { kind, object, gone, entry: { ...toEntry(kind, object), [field]: shown }, isEmpty: kept.length === 0 }
}

const findDangling = async (session: Session): Promise<Dangling[]> => {
  const kinds = ['groups', 'rbac'].map(requireKind)
  const lists = await Promise.all(kinds.map((kind) => session.client.list(kind.plural)))
  return kinds.flatMap((kind, index) => (lists[index]?.items ?? []).flatMap((object) => without(kind, object) ?? []))
}

const nameOf = ({ kind, object }: Dangling): string => `${kind.singular}/${object.metadata.name}`

const prune = async (session: Session, { kind, object, entry }: Dangling): Promise<void> => {
  await session.client.replace(kind.plural, entry, object.metadata.resourceVersion)
}

const hintAt = (session: Session, found: Dangling): void => {
  if (found.isEmpty && found.kind.plural === 'rbac')
    session.say(`${nameOf(found)} has no subject left; run: mcpctl delete ${nameOf(found)}`)
}

export const runReconcile = async (session: Session, isDryRun: boolean): Promise<void> => {
  const found = await findDangling(session)
  if (found.length === 0) return session.io.err('No dangling subjects found\n')
  if (!isDryRun) {
    session.announceContext()
    const what = found.map((each) => `${nameOf(each)}: ${each.gone.join(', ')}`)
    await session.confirm(what, 'prune the dangling subjects of', false)
  }
  const errors: unknown[] = []
  for (const each of found) {
    try {
      if (!isDryRun) await prune(session, each)
      session.print(`${nameOf(each)} pruned: ${each.gone.join(', ')}${isDryRun ? ' (dry run)' : ''}\n`)
      hintAt(session, each)
    } catch (error) {
      errors.push(error)
    }
  }
  throwAll(errors)
}

export const defineReconcile = (parent: Command, open: OpenSession): void => {
  const command = named(parent, 'reconcile', 'Remove subjects from bindings, and members from groups, that are gone')
  showGlobal(command, '--reason')
  command
    .usage('--prune-dangling [flags]')
    .option('--prune-dangling', 'remove users and groups that were deleted since')
    .option('--dry-run <mode>', 'client: only print what would be removed', 'none')
    .action(async ({ pruneDangling, dryRun }: { pruneDangling?: boolean; dryRun: string }) => {
      if (!pruneDangling) throw usage('say what to do', 'For example: mcpctl auth reconcile --prune-dangling --dry-run')
      if (!['none', 'client'].includes(dryRun))
        throw usage(`invalid dry-run value "${dryRun}": must be "none" or "client"`)
      await runReconcile(open(command), dryRun === 'client')
    })
}
