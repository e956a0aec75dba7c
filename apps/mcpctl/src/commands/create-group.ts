import type { Command } from 'commander'
import type { ManifestEntry } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { usage } from '../errors'
import { showGlobal } from '../global-options'
import { createOne } from '../manifest/create'
import type { CreateStyle } from '../manifest/create'
import type { Session } from '../session'
import { requireKind } from '../targets'
import { addMetadataOptions, entryOf } from './create-metadata'
import type { MetadataFlags } from './create-metadata'
import { addStyleOptions, styleOf } from './create-style'
import type { StyleFlags } from './create-style'
import { collect } from './flags'

interface GroupFlags extends StyleFlags, MetadataFlags {
  member?: string[]
  description?: string
}

export interface CreateGroupRequest {
  entry: ManifestEntry
  style: CreateStyle
}

const example = 'mcpctl create group dev --member alice --member bob'

/** `alice`, or `user:alice` as projects write it. */
const memberOf = (word: string): string => {
  const name = word.replace(/^user:/i, '')
  if (name === '' || name.includes(':'))
    throw usage(`--member needs the name of a user, not "${word}"`, 'Groups are flat: no group is a member of another.')
  return name
}

export const parseCreateGroup = (words: string[], flags: GroupFlags): CreateGroupRequest => {
  const fields = { description: flags.description, members: flags.member?.map(memberOf) }
  return { entry: entryOf(words, flags, { fields, example }), style: styleOf(flags) }
}

export const runCreateGroup = async (session: Session, { entry, style }: CreateGroupRequest): Promise<void> => {
  if (!style.dryRun) session.announceContext()
  await createOne(session, { kind: requireKind('group'), entry, locate: () => '' }, style)
}

export const defineCreateGroup = (command: Command, open: OpenSession, run = runCreateGroup): void => {
  showGlobal(command, '--reason')
  addMetadataOptions(addStyleOptions(command))
    .summary('Create a group')
    .description('Create a group of users; what it may do is said by bindings, see: mcpctl create rbac --help')
    .usage('NAME [flags]')
    .argument('[words...]')
    .option('--member <user>', 'a user of the group; may be repeated', collect)
    .option('--description <text>', 'what it is for')
    .addHelpText('after', `\nExample:\n  ${example}`)
    .action(async (words: string[], flags: GroupFlags) => run(open(command), parseCreateGroup(words, flags)))
}
