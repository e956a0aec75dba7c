import { createColors } from 'picocolors'

type Environment = Record<string, string | undefined>

/** The process's streams as commands see them; specs pass their own. */
export interface Io {
  readonly env: Environment
  readonly outIsTerminal: boolean
  readonly errIsTerminal: boolean
  readonly inIsTerminal: boolean
  /** Width of the terminal behind stdout. */
  readonly columns: number
  out(text: string): void
  err(text: string): void
  readInput(): Promise<string>
  /** Shows the question on stderr and answers the line typed. */
  ask(question: string): Promise<string>
}

const readAll = async (): Promise<string> => {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

const askOnTerminal = async (question: string): Promise<string> => {
  const { createInterface } = await import('node:readline/promises')
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return await lines.question(question)
  } finally {
    lines.close()
  }
}

export const processIo = (): Io => {
  const { env, stdin, stdout, stderr } = process
  const forced = Boolean(env['MCPCTL_FORCE_TTY'])
  return {
    env,
    outIsTerminal: stdout.isTTY || forced,
    errIsTerminal: stderr.isTTY || forced,
    inIsTerminal: stdin.isTTY,
    columns: stdout.columns || Number(env['COLUMNS']) || 80,
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    readInput: readAll,
    ask: askOnTerminal,
  }
}

/** Questions need somebody to answer them. */
export const mayAsk = ({ env, inIsTerminal, errIsTerminal }: Io): boolean =>
  inIsTerminal && errIsTerminal && !env['CI'] && !env['MCPCTL_PROMPT_DISABLED']

const colourWanted = (env: Environment, isTerminal: boolean): boolean => {
  if (env['NO_COLOR']) return false
  if (env['CLICOLOR_FORCE'] && env['CLICOLOR_FORCE'] !== '0') return true
  return isTerminal && env['TERM'] !== 'dumb'
}

export const errColours = (io: Io) => createColors(colourWanted(io.env, io.errIsTerminal))
