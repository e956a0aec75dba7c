import { fileURLToPath } from 'node:url'
import { normaliseArguments } from './argv'
import { errorLines, exit, exitCode, finalCode } from './errors'
import type { ExitCode } from './errors'
import { errColours, processIo } from './io'
import type { Io } from './io'
import { createProgram, HelpShown } from './program'
import type { Session } from './session'

/** Whoever reads our output may leave early, as `head` does; that is no failure. */
const leaveQuietlyWhenNobodyReads = () => {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(exit.ok)
      throw error
    })
}

const printError = (io: Io, error: unknown, verbosity: number): ExitCode => {
  const { red } = errColours(io)
  for (const line of errorLines(error, verbosity)) io.err(`${line.replace(/^error:/, red('error:'))}\n`)
  return finalCode(exitCode(error), io.env)
}

const main = async (): Promise<ExitCode> => {
  const io = processIo()
  const sessions: Session[] = []
  const program = createProgram({
    io,
    programFile: fileURLToPath(import.meta.url),
    onSession: (session) => sessions.push(session),
  })
  try {
    const words = normaliseArguments(process.argv.slice(2))
    await program.parseAsync(words.length === 0 ? ['--help'] : words, { from: 'user' })
    return exit.ok
  } catch (error) {
    if (error instanceof HelpShown) return exit.ok
    return printError(io, error, Number(sessions[0]?.flags.v ?? 0) || 0)
  } finally {
    for (const session of sessions) session.close()
  }
}

leaveQuietlyWhenNobodyReads()
process.once('SIGINT', () => process.exit(exit.interrupted))
if (process.argv.includes('--no-color')) process.env['NO_COLOR'] = '1'
process.exitCode = await main()
