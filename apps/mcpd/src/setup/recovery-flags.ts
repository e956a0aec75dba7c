import { parseArgs } from 'node:util'
import { UsageError } from '../usage-error'

const givenUser = (flags: string[]): { user: string; rest: string[] } => {
  const { tokens } = parseArgs({ args: flags, options: { user: { type: 'string' } }, strict: false, tokens: true })
  for (const token of tokens)
    if (token.kind === 'option' && token.name === 'user' && token.value)
      return { user: token.value, rest: flags.toSpliced(token.index, token.inlineValue ? 1 : 2) }
  throw new UsageError('admin recover needs --user NAME')
}

/** Takes `admin recover --user NAME` off the command line; what is left is for the daemon's own flags. Throws UsageError. */
export const readRecovery = (argv: string[]): { recovered?: string; rest: string[] } => {
  const [first, second, ...flags] = argv
  if (first !== 'admin') return { rest: argv }
  if (second !== 'recover')
    throw new UsageError(`unknown command "admin ${second ?? ''}"; did you mean "admin recover"?`)
  if (flags.some((word) => word === '--help' || word === '-h')) return { rest: ['--help'] }
  const { user, rest } = givenUser(flags)
  return { recovered: user, rest }
}
