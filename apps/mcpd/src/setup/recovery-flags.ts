import { UsageError } from '../config'

/** Takes `admin recover --user NAME` off the command line. Throws UsageError. */
export const readRecovery = (argv: string[]): { recovered?: string; rest: string[] } => {
  if (argv[0] !== 'admin') return { rest: argv }
  if (argv[1] !== 'recover')
    throw new UsageError(`unknown command "admin ${argv[1] ?? ''}"; did you mean "admin recover"?`)
  const rest = argv.slice(2)
  if (rest.some((word) => word === '--help' || word === '-h')) return { rest: ['--help'] }
  const at = rest.findIndex((word) => word === '--user' || word.startsWith('--user='))
  const joined = rest[at]?.startsWith('--user=') === true
  const recovered = at < 0 ? undefined : joined ? rest[at]?.slice('--user='.length) : rest[at + 1]
  if (!recovered || recovered.startsWith('-')) throw new UsageError('admin recover needs --user NAME')
  return { recovered, rest: rest.toSpliced(at, joined ? 1 : 2) }
}
