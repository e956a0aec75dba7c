import type { Command } from 'commander'
import { IdentityClient } from '@mcpctl/client'
import type { TokenWish } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { usage } from '../errors'
import { showGlobal } from '../global-options'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import type { Session } from '../session'
import { collect, present } from './flags'

const formats = ['token', 'json'] as const

interface TokenFlags {
  user?: string
  ttl?: string
  scope?: string[]
  note?: string
  output: string
}

/** `create token ci`, as kubectl says it, or `create token --user ci`. */
export const parseCreateToken = (words: readonly string[], flags: TokenFlags): TokenFlags => {
  const [name, ...more] = words
  if (name === undefined) return flags
  if (more.length > 0 || (flags.user !== undefined && flags.user !== name))
    throw usage('a token belongs to one user; name it once', 'For example: mcpctl create token ci --ttl 90d')
  return { ...flags, user: name }
}

/** Prints the new token, and nothing else, on stdout: it is shown this once. */
export const runCreateToken = async (session: Session, flags: TokenFlags): Promise<void> => {
  const { user, ttl, scope, note } = flags
  const format = parseFormat(flags.output, formats)
  // Field by field: global flags stand among these too.
  const asked: TokenWish = present({ user, ttl, scopes: scope, note })
  session.announceContext()
  const issued = await new IdentityClient(session.client.http).issueToken(asked)
  if (format === 'json') return session.print(toJson(issued))
  session.print(`${issued.token}\n`)
  session.say(`token ${issued.id} of ${issued.user}, good until ${issued.expiresAt}; it is not shown again`)
}

export const defineCreateToken = (command: Command, open: OpenSession, run = runCreateToken): void => {
  showGlobal(command, '--reason')
  command
    .summary('Issue an API token')
    .description('Issue an API token, for yourself unless told otherwise; it is shown once')
    .usage('[USER] [flags]')
    .argument('[words...]')
    .option('--user <name>', 'whose token it is: the same as USER')
    .option('--ttl <duration>', 'how long it is good, at most 365d (default 30d)')
    .option('--scope <scope>', 'narrow it: role:resource[:name] or op:action[:kind[/name]]; may be repeated', collect)
    .option('--note <text>', 'what it is for')
    .option('-o, --output <format>', formats.join('|'), 'token')
    .addHelpText('after', '\nExamples:\n  mcpctl create token ci --ttl 90d --scope run:projects:web --note "CI of web"')
    .action(async (words: string[], flags: TokenFlags) => run(open(command), parseCreateToken(words, flags)))
}
