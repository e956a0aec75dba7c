import type { Command } from 'commander'
import { findKind } from '@mcpctl/contracts'
import { kinds } from '@mcpctl/kinds/kinds'
import type { OpenSession } from '../command-file'
import { throwAll, usage } from '../errors'
import { showGlobal } from '../global-options'
import { createOne } from '../manifest/create'
import type { CreateStyle } from '../manifest/create'
import { readSources } from '../manifest/files'
import { parseManifests } from '../manifest/parse'
import type { Session } from '../session'
import { collect } from './flags'
import { requireKind } from '../targets'
import { defineCreateGroup } from './create-group'
import { defineCreateProject } from './create-project'
import { defineCreateRbac } from './create-rbac'
import { defineCreateSecret } from './create-secret'
import { defineCreateServer } from './create-server'
import { defineCreateToken } from './create-token'
import { addWaitOptions, addStyleOptions, styleOf } from './create-style'
import type { StyleFlags } from './create-style'
import { defineCreateUser } from './create-user'

interface CreateFlags extends StyleFlags {
  filename?: string[]
  recursive?: boolean
}

export interface CreateRequest {
  files: string[]
  recursive: boolean
  style: CreateStyle
}

const refuseWords = (words: string[]): void => {
  const [word] = words
  if (word === undefined) return
  const kind = findKind(kinds, word) ?? requireKind(word)
  if (!kind.verbs.includes('create'))
    throw usage(`${kind.plural} cannot be created by hand: the daemon makes them as servers need them`)
  throw usage(`create ${kind.plural} with: mcpctl create ${kind.singular} NAME [flags], or with -f FILE`)
}

export const parseCreate = (words: string[], flags: CreateFlags): CreateRequest => {
  refuseWords(words)
  if (!flags.filename)
    throw usage('must specify one of -f', 'Or name what to create, for example: mcpctl create server github --image …')
  return { files: flags.filename, recursive: flags.recursive ?? false, style: styleOf(flags) }
}

/** Creates object by object; what exists already is refused and the others are created all the same. */
export const runCreate = async (session: Session, request: CreateRequest): Promise<void> => {
  const objects = parseManifests(await readSources(session.io, request.files, request.recursive))
  if (objects.length === 0) throw usage('no objects passed to create')
  if (!request.style.dryRun) session.announceContext()
  const errors: unknown[] = []
  for (const object of objects.toSorted((a, b) => (a.kind.applyOrder ?? 0) - (b.kind.applyOrder ?? 0))) {
    try {
      await createOne(session, object, request.style)
    } catch (error) {
      errors.push(error)
    }
  }
  throwAll(errors)
}

export const define = (command: Command, open: OpenSession, run = runCreate): void => {
  showGlobal(command, '--reason')
  addWaitOptions(addStyleOptions(command))
    .usage('-f FILE [flags] | (server | secret | project | user | group | rbac) NAME [flags] | token [flags]')
    .argument('[words...]')
    .option('-f, --filename <path>', 'manifest to create from; may be repeated', collect)
    .option('-R, --recursive', 'read directories below a directory too')
    .action(async (words: string[], flags: CreateFlags) => run(open(command), parseCreate(words, flags)))
  defineCreateServer(command.command('server').aliases(['servers', 'srv']), open)
  defineCreateSecret(command.command('secret').aliases(['secrets']), open)
  defineCreateProject(command.command('project').aliases(['projects', 'proj']), open)
  defineCreateUser(command.command('user').aliases(['users']), open)
  defineCreateGroup(command.command('group').aliases(['groups', 'grp']), open)
  defineCreateToken(command.command('token'), open)
  defineCreateRbac(command.command('rbac').aliases(['rbacs', 'rbacbinding', 'rbacbindings']), open)
}
