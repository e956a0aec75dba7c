import { dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { configPath } from '@mcpctl/client/paths'
import type { OpenSession } from '../command-file'
import { questionsOf, sayTheSame, withEntry, withoutEntry } from '../client-config/change'
import { changedLines } from '../client-config/changed-lines'
import { aiClients, blankText } from '../client-config/clients'
import type { AiClient } from '../client-config/clients'
import { ConfigFile } from '../client-config/config-file'
import { directEntry, expandedNames } from '../client-config/direct'
import type { ClientEntry } from '../client-config/direct'
import { JsonText } from '../client-config/json-text'
import { CliError, exit, usage } from '../errors'
import { toJson } from '../output/bundle'
import type { Session } from '../session'

interface ClientFlags {
  project?: string
  direct?: string
  file?: string
  write?: boolean
  revert?: boolean
}

export interface ConfigClientRequest {
  client: AiClient
  /** Whose servers the client gets, or the one server that it runs itself. */
  of: { project: string } | { server: string }
  file?: string
  mode: 'print' | 'write' | 'revert'
}

const refuseNonsense = (client: AiClient, { project, direct, file, write, revert }: ClientFlags): void => {
  if ((project === undefined) === (direct === undefined))
    throw usage(
      project === undefined ? 'name what the client is to use' : '--project and --direct exclude each other',
      `For example: mcpctl config ${client.word} --project web, or --direct github for one server without the daemon`,
    )
  if (write && revert) throw usage('--write and --revert exclude each other')
  if (file === '') throw usage('--file: an empty path')
}

export const parseConfigClient = (client: AiClient, flags: ClientFlags): ConfigClientRequest => {
  refuseNonsense(client, flags)
  const { project, direct, file, write, revert } = flags
  return {
    client,
    of: project === undefined ? { server: direct ?? '' } : { project },
    ...(file === undefined ? {} : { file }),
    mode: write ? 'write' : revert ? 'revert' : 'print',
  }
}

/** What differs from the default in this shell: clients pass little of their own environment on, and one started from a menu knows none of it. */
const surroundings = ({ env }: Session['io']): Record<string, string> | undefined => {
  const file = configPath(env)
  return file === configPath({}) ? undefined : { MCPCTL_CONFIG: resolve(file) }
}

/** Full paths: a client that was started from a menu does not know the shell's PATH. */
const projectEntry = async (session: Session, client: AiClient, project: string): Promise<ClientEntry> => {
  await session.client.get('projects', project)
  const program = join(dirname(session.programFile), '..', 'mcplocal', 'main.js')
  const context = session.flags.context ?? (session.io.env['MCPCTL_CONTEXT'] || undefined)
  const env = surroundings(session.io)
  const args = [program, '--project', project, ...(context === undefined ? [] : ['--context', context])]
  return {
    name: project,
    entry: { ...(client.typed && { type: 'stdio' }), command: process.execPath, args, ...(env && { env }) },
    blanks: [],
  }
}

const serverEntry = async (session: Session, client: AiClient, server: string): Promise<ClientEntry> => {
  const config = await session.client.directConfig(server)
  const entry = directEntry(client, config)
  for (const name of client.asks ? expandedNames(config) : [])
    session.warn(`${client.title} replaces what reads like a variable in the value of ${name}`)
  return entry
}

const entryFor = (session: Session, { client, of }: ConfigClientRequest): Promise<ClientEntry> =>
  'project' in of ? projectEntry(session, client, of.project) : serverEntry(session, client, of.server)

/** What the user still has to do. */
const sayBlanks = (session: Session, client: AiClient, { blanks }: ClientEntry): void => {
  for (const blank of blanks) {
    if (client.input) session.say(`${client.title} will ask for: ${blankText(blank)}`)
    else if (client.asks) session.say(`set ${blank.variable} before you start ${client.title}: ${blankText(blank)}`)
    else session.say(`replace "${client.blank(blank)}" in the file; whoever can read the file reads it too`)
  }
}

const print = (session: Session, client: AiClient, entry: ClientEntry, file: ConfigFile): void => {
  const inputs = questionsOf(client, entry)
  session.print(toJson({ ...(inputs.length > 0 && { inputs }), [client.container]: { [entry.name]: entry.entry } }))
  session.say(`put this into ${file.path}, or repeat the command with --write`)
  sayBlanks(session, client, entry)
}

const showChange = (session: Session, before: string, after: string, comesFrom: 'us' | 'the user'): void =>
  session.print(
    changedLines(before, after, comesFrom)
      .map((line) => `${line}\n`)
      .join(''),
  )

const write = (session: Session, client: AiClient, entry: ClientEntry, file: ConfigFile): void => {
  const before = file.read()
  const after = withEntry(JsonText.of(before ?? '', file.path), client, entry).text
  if (after === before) {
    session.say(`${file.path} is as it should be already`)
    return
  }
  showChange(session, before ?? '', after, 'us')
  if (file.keep()) session.say(`what it was is kept in ${file.backupPath}`)
  file.write(after)
  session.say(`${file.path} written; start ${client.title} anew for it`)
  sayBlanks(session, client, entry)
}

const revert = (session: Session, { client, of }: ConfigClientRequest, file: ConfigFile): void => {
  const name = 'project' in of ? of.project : of.server
  const before = JsonText.of(file.read() ?? '', file.path)
  if (before.at(client.container, name) === undefined)
    throw new CliError(exit.negative, `there is no "${name}" in ${file.path}; nothing was changed`)
  const kept = JsonText.of(file.backup() ?? '', file.backupPath)
  const after = withoutEntry(before, client, name, kept)
  if (file.backup() !== undefined && sayTheSame(after, kept, client)) {
    showChange(session, before.text, file.backup() ?? '', 'the user')
    file.restore()
    session.say(`${file.path} is what it was before`)
    return
  }
  showChange(session, before.text, after.text, 'the user')
  file.write(after.text)
  session.say(`"${name}" in ${file.path} is what it was before`)
}

/** Prints what makes the client use a project or run a server, or puts it into the client's file, or takes it out again. */
export const runConfigClient = async (session: Session, request: ConfigClientRequest): Promise<void> => {
  const { client, mode } = request
  const file = new ConfigFile(request.file ?? client.file(session.io.env))
  if (mode === 'revert') {
    revert(session, request, file)
    return
  }
  const entry = await entryFor(session, request)
  if (mode === 'write') write(session, client, entry, file)
  else print(session, client, entry, file)
}

const defineOne = (command: Command, open: OpenSession, client: AiClient): void => {
  command
    .summary(`Set up ${client.title}`)
    .usage('(--project NAME | --direct SERVER) [--write | --revert] [flags]')
    .option('--project <name>', 'the client uses the servers of this project, through mcplocal')
    .option('--direct <server>', 'the client runs this server itself, without the daemon')
    .option('--write', "change the client's file and show what changed; what it was is kept beside it")
    .option('--revert', 'undo what --write did')
    .option('--file <path>', `the client's file (default ${client.file({ HOME: '~' })})`)
    .addHelpText(
      'after',
      `
With --direct, values of secrets are left blank: they never stand in what is printed or written.

Examples:
  mcpctl config ${client.word} --project web --write
  mcpctl config ${client.word} --direct github`,
    )
    .action(async (flags: ClientFlags) => runConfigClient(open(command), parseConfigClient(client, flags)))
}

export const defineConfigClients = (command: Command, open: OpenSession): void => {
  for (const client of aiClients) defineOne(command.command(client.word), open, client)
}
