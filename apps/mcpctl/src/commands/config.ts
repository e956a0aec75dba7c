import type { Command } from 'commander'
import { findConfig, loadContext, readConfig, writeConfig } from '@mcpctl/client/config'
import type { Config } from '@mcpctl/client/config'
import { configPath } from '@mcpctl/client/paths'
import { didYouMean } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { CliError, exit, usage } from '../errors'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import { formatTable } from '../output/table'
import type { Session } from '../session'
import { defineConfigClients } from './config-client'

const formats = ['yaml', 'json'] as const

interface ViewFlags {
  output: string
  raw?: boolean
  minify?: boolean
}

const fileOf = (session: Session) => configPath(session.io.env)

const currentName = (session: Session, config: Config): string | undefined =>
  session.flags.context ?? (session.io.env['MCPCTL_CONTEXT'] || config.currentContext)

const view = async (session: Session, flags: ViewFlags): Promise<void> => {
  const config = readConfig(fileOf(session))
  const current = currentName(session, config)
  const shown = Object.entries(config.contexts)
    .filter(([name]) => !flags.minify || name === current)
    .map(([name, entry]) => [name, flags.raw ? entry : { ...entry, token: 'REDACTED' }] as const)
  const answer = {
    ...(config.currentContext === undefined ? {} : { currentContext: config.currentContext }),
    contexts: Object.fromEntries(shown),
  }
  const json = parseFormat(flags.output, formats) === 'json'
  session.print(json ? toJson(answer) : (await import('../output/yaml')).toYaml(answer))
}

const listContexts = (session: Session, flags: { output: string; headers: boolean }): void => {
  const config = readConfig(fileOf(session))
  const current = currentName(session, config)
  const names = Object.keys(config.contexts)
  if (parseFormat(flags.output, ['table', 'name']) === 'name') {
    for (const name of names) session.print(`${name}\n`)
    return
  }
  const rows = Object.entries(config.contexts).map(([name, { server, user }]) => [
    name === current ? '*' : '',
    name,
    server,
    user ?? '<none>',
  ])
  if (rows.length === 0) session.say('No contexts; run: mcpctl up')
  else session.print(formatTable(flags.headers ? [['CURRENT', 'NAME', 'SERVER', 'USER'], ...rows] : rows))
}

const useContext = (session: Session, name: string): void => {
  const file = fileOf(session)
  const config = findConfig(file)
  const names = Object.keys(config?.contexts ?? {})
  if (!config || !names.includes(name))
    throw usage(
      `no context exists with the name "${name}"${didYouMean(name, names)}`,
      'run: mcpctl config get-contexts',
    )
  writeConfig({ ...config, currentContext: name }, file)
  session.print(`Switched to context "${name}".\n`)
}

const printCurrent = (session: Session): void => {
  const name = currentName(session, readConfig(fileOf(session)))
  if (name === undefined) throw new CliError(exit.negative, 'current-context is not set', 'run: mcpctl up')
  // Says at once that a chosen context does not exist.
  session.print(`${loadContext({ context: name, env: session.io.env }).name}\n`)
}

export const define = (command: Command, open: OpenSession): void => {
  command.usage('view | get-contexts | use-context NAME | current-context | CLIENT (--project NAME | --direct SERVER)')
  const viewing = command.command('view').summary('Show the configuration, tokens hidden')
  viewing
    .option('-o, --output <format>', formats.join('|'), 'yaml')
    .option('--raw', 'show tokens')
    .option('--minify', 'only the current context')
    .action(async (flags: ViewFlags) => view(open(viewing), flags))
  const listing = command.command('get-contexts').summary('List the contexts')
  listing
    .option('-o, --output <format>', 'table|name', 'table')
    .option('--no-headers', 'print no header line')
    .action((flags: { output: string; headers: boolean }) => listContexts(open(listing), flags))
  const using = command.command('use-context').summary('Make a context the current one').argument('<name>')
  using.action((name: string) => useContext(open(using), name))
  const printing = command.command('current-context').summary('Print the name of the current context')
  printing.action(() => printCurrent(open(printing)))
  defineConfigClients(command, open)
}
