import { isatty } from 'node:tty'

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
  /** What stdin holds, byte by byte. */
  readBytes(): Promise<Buffer>
  /** Shows the question on stderr and answers the line typed: empty at the end of input, undefined after Ctrl-C. */
  ask(question: string): Promise<string | undefined>
  /** As `ask`, but what is typed does not show. */
  askHidden(question: string): Promise<string | undefined>
  /** Has `say` called before Ctrl-C ends the process; answers how to take that back. */
  onInterrupt(say: () => void): () => void
  /** Gives the terminal to a program, Ctrl-C included, until it ends. Throws what node throws when it cannot be started. */
  handOver(command: string, args: readonly string[]): Promise<Ending>
}

/** How a program ended: with a code, or by a signal. */
export interface Ending {
  code: number | null
  signal: NodeJS.Signals | null
}

const readAll = async (): Promise<Buffer> => {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** Runs a program to its end. */
export const runToEnd = async (
  command: string,
  args: readonly string[],
  options: { env: Environment; stdio: 'inherit' | 'ignore' },
): Promise<Ending> => {
  const { spawn } = await import('node:child_process')
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, options)
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
}

const runOnTerminal = async (command: string, args: readonly string[], env: Environment): Promise<Ending> => {
  // The terminal sends Ctrl-C to both of us, and whoever types it means the program that he sees.
  const listeners = process.listeners('SIGINT') as (() => void)[]
  const leave = () => undefined
  process.removeAllListeners('SIGINT').on('SIGINT', leave)
  try {
    return await runToEnd(command, args, { env, stdio: 'inherit' })
  } finally {
    process.off('SIGINT', leave)
    for (const listener of listeners) process.on('SIGINT', listener)
  }
}

interface Terminal {
  input: NodeJS.ReadableStream
  output: NodeJS.WritableStream
}

/** Shows the question and answers the line typed: empty at the end of input, undefined after Ctrl-C. */
export const askOn = async ({ input, output }: Terminal, question: string): Promise<string | undefined> => {
  const { createInterface } = await import('node:readline/promises')
  const lines = createInterface({ input, output })
  try {
    return await new Promise<string | undefined>((resolve, reject) => {
      lines.once('SIGINT', () => {
        output.write('\n')
        resolve(undefined)
      })
      // At the end of input the question itself never settles.
      lines.once('close', () => resolve(''))
      lines.question(question).then(resolve, reject)
    })
  } finally {
    lines.close()
  }
}

/** As `askOn`, but what is typed does not show. */
export const askHiddenOn = async (terminal: Terminal, question: string): Promise<string | undefined> => {
  const { createInterface } = await import('node:readline')
  const { Writable } = await import('node:stream')
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  terminal.output.write(question)
  // Only as a terminal is the input taken key by key, so that the kernel does not show it.
  const lines = createInterface({ input: terminal.input, output: nowhere, terminal: true, historySize: 0 })
  try {
    return await new Promise<string | undefined>((resolve) => {
      lines.once('SIGINT', () => resolve(undefined))
      lines.once('line', resolve)
      lines.once('close', () => resolve(''))
    })
  } finally {
    lines.close()
    terminal.output.write('\n')
  }
}

/** Whoever reads our output may leave early, as `head` does; that is no failure. */
const leaveQuietly = (error: NodeJS.ErrnoException): never => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
}

/** Node makes its streams on first touch, which costs milliseconds each: a command pays for those that it uses. */
const writer = (stream: 'stdout' | 'stderr') => {
  let opened: NodeJS.WriteStream | undefined
  return (text: string): void => {
    opened ??= process[stream].on('error', leaveQuietly)
    opened.write(text)
  }
}

export const processIo = (): Io => {
  const { env } = process
  const forced = Boolean(env['MCPCTL_FORCE_TTY'])
  return {
    env,
    outIsTerminal: isatty(1) || forced,
    errIsTerminal: isatty(2) || forced,
    inIsTerminal: isatty(0),
    get columns() {
      return process.stdout.columns || Number(env['COLUMNS']) || 80
    },
    out: writer('stdout'),
    err: writer('stderr'),
    readInput: async () => (await readAll()).toString('utf8'),
    readBytes: readAll,
    ask: (question) => askOn({ input: process.stdin, output: process.stderr }, question),
    askHidden: (question) => askHiddenOn({ input: process.stdin, output: process.stderr }, question),
    onInterrupt: (say) => {
      // Before the listener that ends the process.
      process.prependListener('SIGINT', say)
      return () => process.off('SIGINT', say)
    },
    handOver: (command, args) => runOnTerminal(command, args, env),
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

const paint = (wanted: boolean, colour: number) => (text: string) =>
  wanted ? `\u001b[${String(colour)}m${text}\u001b[39m` : text

/** Colours for stderr, or none where they are not wanted. */
export const errColours = (io: Io) => {
  const wanted = colourWanted(io.env, io.errIsTerminal)
  return { red: paint(wanted, 31), yellow: paint(wanted, 33) }
}
