import type { Command } from 'commander'

/** Flags that every command takes and what they do, in the order of `mcpctl options`. */
export const globalOptions: readonly [flags: string, description: string][] = [
  ['--context <name>', 'context of the configuration file to use (MCPCTL_CONTEXT)'],
  ['--server <url>', "address of the daemon, in place of the context's"],
  ['--token-file <file>', "file that holds the token, in place of the context's"],
  ['--request-timeout <duration>', 'how long one answer may take; 0 waits for ever (default 60s)'],
  ['--as <user>', 'act as somebody else, with the rights that he has'],
  ['--as-group <groups>', 'with --as: with the rights of these groups too, separated by commas'],
  ['--reason <text>', 'why a change is made: kept in the log with it'],
  [
    '--allow-credential-like',
    'make a change although a field looks like a credential; a Secret is the place for those',
  ],
  ['-v, --v <level>', '0 to 9: 1 adds request ids to errors, 6 shows each request'],
  ['-y, --yes', 'answer yes to every question'],
  ['-q, --quiet', 'print no progress and no hints'],
  ['--no-color', 'print no colours (NO_COLOR)'],
]

const shown = new WeakMap<Command, Set<string>>()

/** Has a command's help show a global flag that matters there more than elsewhere. */
export const showGlobal = (command: Command, ...flags: string[]): void => {
  shown.set(command, new Set(flags))
  // Commands at the top have theirs already.
  for (const option of command.options) if (flags.includes(option.long ?? '')) option.hideHelp(false)
}

export const isShown = (command: Command, flag: string | undefined): boolean =>
  shown.get(command)?.has(flag ?? '') ?? false
