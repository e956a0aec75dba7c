import type { Command } from 'commander'
import type { ManifestEntry } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { usage } from '../errors'
import { showGlobal } from '../global-options'
import { createOne } from '../manifest/create'
import type { CreateStyle } from '../manifest/create'
import type { Session } from '../session'
import { requireKind } from '../targets'
import { addWaitOptions, addStyleOptions, styleOf } from './create-style'
import type { StyleFlags } from './create-style'
import { collect, pairsOf, present } from './flags'

interface ProjectFlags extends StyleFlags {
  server?: string[]
  member?: string[]
  description?: string
  label?: string[]
  annotation?: string[]
}

export interface CreateProjectRequest {
  entry: ManifestEntry
  style: CreateStyle
}

const memberKinds: Record<string, string> = { user: 'User', group: 'Group' }

/** `user:alice` or `group:dev`. */
const memberOf = (word: string): { kind: string; name: string } => {
  const [type = '', name = '', ...rest] = word.split(':')
  const kind = memberKinds[type.toLowerCase()]
  if (kind === undefined || name === '' || rest.length > 0)
    throw usage(`--member needs user:NAME or group:NAME, not "${word}"`)
  return { kind, name }
}

export const parseCreateProject = (words: string[], flags: ProjectFlags): CreateProjectRequest => {
  const [name, ...rest] = words
  if (name === undefined || rest.length > 0)
    throw usage(
      `exactly one NAME is required, got ${String(words.length)}`,
      'For example: mcpctl create project web --server github',
    )
  const entry = present({
    name,
    labels: flags.label && pairsOf(flags.label, '--label'),
    annotations: flags.annotation && pairsOf(flags.annotation, '--annotation'),
    description: flags.description,
    servers: flags.server,
    members: flags.member?.map(memberOf),
  })
  return { entry: entry as ManifestEntry, style: styleOf(flags) }
}

export const runCreateProject = async (session: Session, { entry, style }: CreateProjectRequest): Promise<void> => {
  if (!style.dryRun) session.announceContext()
  await createOne(session, { kind: requireKind('project'), entry, locate: () => '' }, style)
}

export const defineCreateProject = (command: Command, open: OpenSession, run = runCreateProject): void => {
  showGlobal(command, '--reason')
  addWaitOptions(addStyleOptions(command))
    .summary('Create a project')
    .description('Create a project: servers that a client reaches through one endpoint')
    .usage('NAME [flags]')
    .argument('[words...]')
    .option('--server <name>', 'a server of the project; may be repeated', collect)
    .option('--member <user:name|group:name>', 'who is told about it; may be repeated', collect)
    .option('--description <text>', 'what it is for')
    .option('-l, --label <key=value>', 'a label; may be repeated', collect)
    .option('--annotation <key=value>', 'an annotation; may be repeated', collect)
    .addHelpText('after', '\nExample:\n  mcpctl create project web --server github --server files --member user:alice')
    .action(async (words: string[], flags: ProjectFlags) => run(open(command), parseCreateProject(words, flags)))
}
