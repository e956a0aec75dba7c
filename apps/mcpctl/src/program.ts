import { Command, Option } from 'commander'
import type { CommanderError } from 'commander'
import { suggest } from '@mcpctl/contracts'
import { commandEntries } from './commands'
import type { OpenSession } from './command-file'
import { usage } from './errors'
import type { CliError } from './errors'
import { globalOptions, isShown } from './global-options'
import type { Io } from './io'
import { Session } from './session'
import type { GlobalFlags } from './session'
import { clientVersion } from './version'

/** The parser stopped after printing help or a version: nothing went wrong. */
export class HelpShown extends Error {}

const flagOf = (message: string): string => /'([^']*)'/.exec(message)?.[1] ?? message

const longFlags = (command: Command): string[] =>
  command.options.flatMap(({ long }) => (long ? [long] : [])).concat('--help')

const pathOf = (command: Command): string => (command.parent ? `${pathOf(command.parent)} ` : '') + command.name()

const unknownFlag = (command: Command, message: string): CliError => {
  const flag = flagOf(message).split('=')[0] ?? ''
  const near = suggest(flag, longFlags(command))
  return usage(
    `unknown flag: ${flag}${near ? `; did you mean ${near}?` : ''}`,
    `See '${pathOf(command)} --help' for usage.`,
  )
}

const unknownCommand = (command: Command, message: string): CliError => {
  const word = flagOf(message)
  const names = command.commands.map((one) => one.name())
  const near = suggest(word, names)
  // The program itself has too many to name them in one line.
  const known = command.parent ? `Known are: ${names.join(', ')}. ` : ''
  return usage(
    `unknown command "${word}" for "${pathOf(command)}"${near ? `; did you mean "${near}"?` : ''}`,
    `${known}See '${pathOf(command)} --help' for usage.`,
  )
}

/** Says in kubectl's words what the parser found wrong. */
const translate = (command: Command, error: CommanderError): Error => {
  const help = `See '${pathOf(command)} --help' for usage.`
  switch (error.code) {
    case 'commander.help':
    case 'commander.helpDisplayed':
    case 'commander.version':
      return new HelpShown()
    case 'commander.unknownOption':
      return unknownFlag(command, error.message)
    case 'commander.unknownCommand':
      return unknownCommand(command, error.message)
    case 'commander.optionMissingArgument':
      return usage(`flag needs an argument: ${flagOf(error.message).split(/[\s,]/)[0] ?? ''}`, help)
    case 'commander.missingArgument':
      return usage(`${flagOf(error.message)} is missing`, help)
    case 'commander.excessArguments':
      return usage(`too many arguments for ${pathOf(command)}`, help)
    default:
      return usage(error.message.replace(/^error: /, ''), help)
  }
}

/** A command in the list of those below another: its name and what it takes. */
const termOf = (command: Command): string =>
  [[command.name(), ...command.aliases()].join('|'), command.usage().replace(/\[(options|flags)\]/g, '')]
    .join(' ')
    .trim()

/** The options of a command that are the global ones. */
const globalsOf = new WeakMap<Command, readonly Option[]>()

/** Gives a command what every command has: the global flags, our words for errors, help that goes to our streams. */
const prepare = (command: Command, io: Io): void => {
  const added = globalOptions
    .map(([flags, description]) => new Option(flags, description))
    .map((option) => option.hideHelp(!isShown(command, option.long)))
    // `create project` has a --server of its own; the global one goes before the command there.
    .filter((option) => command.options.every(({ long }) => long !== option.long))
  for (const option of added) command.addOption(option)
  globalsOf.set(command, added)
  command
    .enablePositionalOptions()
    .exitOverride((error) => {
      throw translate(command, error)
    })
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.out(text),
      outputError: () => undefined,
    })
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
  command.addHelpText('after', '\nUse "mcpctl options" for the flags that every command takes.')
}

const prepareBelow = (command: Command, io: Io): void => {
  for (const child of command.commands) {
    prepare(child, io)
    prepareBelow(child, io)
  }
}

/** The flags given to a command or to one of those that it stands below; the nearest wins. */
const collectFlags = (command: Command): GlobalFlags => {
  const given = (globalsOf.get(command) ?? [])
    .map((option) => option.attributeName())
    .map((name): [string, unknown] => [name, command.getOptionValue(name)])
    .filter(([, value]) => value !== undefined)
  return { ...(command.parent ? collectFlags(command.parent) : {}), ...Object.fromEntries(given) }
}

export interface ProgramOptions {
  io: Io
  /** The running program's own file. */
  programFile: string
  /** Told about each session, so that it can be closed at the end. */
  onSession?: (session: Session) => void
}

/** The command tree. A command's own flags are declared when it is about to run. */
export const createProgram = ({ io, programFile, onSession }: ProgramOptions): Command => {
  const program = new Command('mcpctl')
    .configureHelp({ subcommandTerm: termOf })
    .description('kubectl for MCP servers')
    .usage('COMMAND [flags]')
    .version(`Client Version: ${clientVersion}`, '--version', "print the client's version")
  const open: OpenSession = (command) => {
    const session = new Session(io, collectFlags(command), programFile)
    onSession?.(session)
    return session
  }
  for (const { name, summary, group } of commandEntries)
    program.command(name).summary(summary).description(summary).helpGroup(group)
  prepare(program, io)
  program.hook('preSubcommand', async (_, command) => {
    const entry = commandEntries.find(({ name }) => name === command.name())
    if (!entry) return
    prepare(command, io)
    const { define } = await entry.load()
    define(command, open)
    prepareBelow(command, io)
  })
  program.addHelpText(
    'after',
    '\nUse "mcpctl COMMAND --help" for more about a command, "mcpctl help exit-codes" for exit codes.',
  )
  return program
}
