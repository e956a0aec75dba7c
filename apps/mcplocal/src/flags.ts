import { didYouMean } from '@mcpctl/contracts'
import { parseArgs } from 'node:util'

export const help = `mcplocal gives an AI client one MCP server for all the servers of a project.

Usage:
  mcplocal --project NAME [flags]

It speaks MCP over standard input and output, so that a client starts it by itself:
  { "mcpServers": { "web": { "command": "mcplocal", "args": ["--project", "web"] } } }

Flags:
      --project NAME       Project whose servers the client may use
      --context NAME       Context of the mcpctl configuration; the current one unless told
      --server-name NAME   Name under which the client sees this server
  -h, --help               Show this text
      --version            Print the version
`

const options = {
  project: { type: 'string' },
  context: { type: 'string' },
  'server-name': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const

export interface Flags {
  project: string
  context?: string
  serverName?: string
}

/** The command line is wrong; the message says how. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** What the command line asks for. Throws UsageError. */
export const parseFlags = (args: string[]): Flags | 'help' | 'version' => {
  const { values, tokens } = parseArgs({ args, options, strict: false, tokens: true })
  for (const token of tokens) {
    if (token.kind === 'positional') throw new UsageError(`unexpected argument "${token.value}"`)
    if (token.kind === 'option') checkOption(token)
  }
  if (values.help === true) return 'help'
  if (values.version === true) return 'version'
  if (typeof values.project !== 'string') throw new UsageError('--project is required')
  const { context, 'server-name': serverName } = values
  return {
    project: values.project,
    ...(typeof context === 'string' && { context }),
    ...(typeof serverName === 'string' && { serverName }),
  }
}

const checkOption = ({ name, rawName, value }: { name: string; rawName: string; value?: string | undefined }) => {
  if (!Object.hasOwn(options, name))
    throw new UsageError(
      `unknown flag: ${rawName}${didYouMean(
        rawName,
        Object.keys(options).map((one) => `--${one}`),
      )}`,
    )
  const { type } = options[name as keyof typeof options]
  if (type === 'string' && (value === undefined || value === '')) throw new UsageError(`flag needs a value: ${rawName}`)
  if (type === 'boolean' && value !== undefined) throw new UsageError(`flag takes no value: ${rawName}`)
}
