import { normaliseArguments } from './argv'
import { errorLines, exit, exitCode, finalCode, forbiddenHints, isUnauthorized, NegativeAnswer } from './errors'
import type { ExitCode } from './errors'
import { errColours } from './io'
import type { Io } from './io'
import { escapeText } from './output/escape'
import { createProgram, HelpShown } from './program'
import type { Session } from './session'

const printError = (io: Io, error: unknown, session: Session | undefined): ExitCode => {
  const { red } = errColours(io)
  const login = session && isUnauthorized(error) ? [session.loginHint] : []
  const hints = [...login, ...(session?.flags.quiet ? [] : forbiddenHints(error, session?.flags.as))].map(escapeText)
  const verbosity = Number(session?.flags.v ?? 0) || 0
  for (const line of [...errorLines(error, verbosity), ...hints]) io.err(`${line.replace(/^error:/, red('error:'))}\n`)
  return finalCode(exitCode(error), io.env)
}

/** Runs one command line, prints what went wrong, and answers the exit code. `programFile` is the running program's own file. */
export const runProgram = async (io: Io, argv: readonly string[], programFile: string): Promise<ExitCode> => {
  const sessions: Session[] = []
  const program = createProgram({ io, programFile, onSession: (session) => sessions.push(session) })
  try {
    const words = normaliseArguments(argv)
    await program.parseAsync(words.length === 0 ? ['--help'] : words, { from: 'user' })
    return exit.ok
  } catch (error) {
    if (error instanceof HelpShown) return exit.ok
    if (error instanceof NegativeAnswer) return exit.negative
    return printError(io, error, sessions[0])
  } finally {
    for (const session of sessions) session.close()
  }
}
