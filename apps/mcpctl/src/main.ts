import { fileURLToPath } from 'node:url'
import { exit } from './errors'
import { processIo } from './io'
import { runProgram } from './run'

/** Whoever reads our output may leave early, as `head` does; that is no failure. */
const leaveQuietlyWhenNobodyReads = () => {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(exit.ok)
      throw error
    })
}

leaveQuietlyWhenNobodyReads()
process.once('SIGINT', () => process.exit(exit.interrupted))
if (process.argv.includes('--no-color')) process.env['NO_COLOR'] = '1'
process.exitCode = await runProgram(processIo(), process.argv.slice(2), fileURLToPath(import.meta.url))
