import type { Command } from 'commander'
import type { ManifestEntry, ResourceObject } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { usage } from '../errors'
import { showGlobal } from '../global-options'
import { printCreated, sendCreate } from '../manifest/create'
import type { CreateStyle } from '../manifest/create'
import { valueAt } from '../output/columns'
import type { Session } from '../session'
import { requireKind } from '../targets'
import { addMetadataOptions, entryOf } from './create-metadata'
import type { MetadataFlags } from './create-metadata'
import { addStyleOptions, styleOf } from './create-style'
import type { StyleFlags } from './create-style'
import { collect } from './flags'

interface RbacFlags extends StyleFlags, MetadataFlags {
  subject?: string[]
  binding?: string[]
  operation?: string[]
}

export interface CreateRbacRequest {
  entry: ManifestEntry
  style: CreateStyle
}

const example = 'mcpctl create rbac dev-team --subject Group:dev --binding view:servers --binding edit:servers:github'

const subjectKinds: Record<string, string> = { user: 'User', group: 'Group' }

/** `User:alice` or `Group:dev`; the name may hold a colon of its own, as that of `system:authenticated`. */
const subjectOf = (word: string): object => {
  const at = word.indexOf(':')
  const kind = subjectKinds[word.slice(0, Math.max(at, 0)).toLowerCase()]
  const name = word.slice(at + 1)
  if (kind === undefined || name === '')
    throw usage(`--subject needs User:NAME or Group:NAME, not "${word}"`, 'For example: --subject Group:dev')
  return { kind, name }
}

/** `edit:servers` or `edit:servers:github`. Which roles there are is the daemon's to say. */
const bindingOf = (word: string): object => {
  const [, role, resource, name] = /^([^:]+):([^:]+)(?::(.+))?$/.exec(word) ?? []
  if (role === undefined || resource === undefined)
    throw usage(`--binding needs role:resource or role:resource:name, not "${word}"`, `For example: ${example}`)
  return { role, resource, ...(name !== undefined && { name }) }
}

/** `logs`, `logs:servers` or `logs:servers/github`. */
const operationOf = (word: string): object => {
  const [, action, resource, name] = /^([^:/]+)(?::([^:/]+)(?:\/(.+))?)?$/.exec(word) ?? []
  if (action === undefined)
    throw usage(
      `--operation needs action, action:kind or action:kind/name, not "${word}"`,
      'For example: --operation logs:servers/github',
    )
  return { action, ...(resource !== undefined && { resource }), ...(name !== undefined && { name }) }
}

export const parseCreateRbac = (words: string[], flags: RbacFlags): CreateRbacRequest => {
  const fields = {
    subjects: flags.subject?.map(subjectOf),
    bindings: flags.binding?.map(bindingOf),
    operations: flags.operation?.map(operationOf),
  }
  return { entry: entryOf(words, flags, { fields, example }), style: styleOf(flags) }
}

const words = (object: ResourceObject, path: string): string[] => {
  const value = valueAt(object, path)
  return Array.isArray(value) ? value.map(String) : []
}

/** Says who holds what from now on, and what of it should be granted with care. */
const sayGrants = (session: Session, object: ResourceObject): void => {
  const subjects = words(object, 'status.grants.subjects')
  const grants = [
    ...words(object, 'status.grants.bindings'),
    ...words(object, 'status.grants.operations').map((operation) => `operation ${operation}`),
  ]
  if (subjects.length === 0 || grants.length === 0)
    session.say(`it grants nothing yet: it has no ${subjects.length === 0 ? 'subject' : 'binding and no operation'}`)
  else session.say(`${subjects.join(', ')} may now: ${grants.join(', ')}`)
  for (const warning of words(object, 'status.warnings')) session.warn(warning)
}

export const runCreateRbac = async (session: Session, { entry, style }: CreateRbacRequest): Promise<void> => {
  const kind = requireKind('rbac')
  if (!style.dryRun) session.announceContext()
  const object = await sendCreate(session, { kind, entry, locate: () => '' }, style)
  await printCreated(session, [{ kind, object }], style)
  if (!style.dryRun) sayGrants(session, object)
}

export const defineCreateRbac = (command: Command, open: OpenSession, run = runCreateRbac): void => {
  showGlobal(command, '--reason')
  addMetadataOptions(addStyleOptions(command))
    .summary('Grant roles and operations to users and groups')
    .description('Create a binding: each of its subjects holds each of its roles and operations')
    .usage('NAME [flags]')
    .argument('[words...]')
    .option('--subject <kind:name>', 'User:NAME or Group:NAME; may be repeated', collect)
    .option('--binding <role:resource[:name]>', 'a role on a kind or on one object; may be repeated', collect)
    .option('--operation <action[:kind[/name]]>', 'something else that is allowed; may be repeated', collect)
    .addHelpText(
      'after',
      `
Roles are view, create, edit, delete and run; edit includes view.

Examples:
  ${example}
  mcpctl create rbac on-call --subject User:alice --operation logs --operation reveal:secrets/gh-token`,
    )
    .action(async (typed: string[], flags: RbacFlags) => run(open(command), parseCreateRbac(typed, flags)))
}
