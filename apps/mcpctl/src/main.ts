import { realpathSync } from 'node:fs'
import { exit } from './errors'
import { processIo } from './io'
import { runProgram } from './run'

process.once('SIGINT', () => process.exit(exit.interrupted))
if (process.argv.includes('--no-color')) process.env['NO_COLOR'] = '1'
// npm starts us through a link; the daemon's bundle stands beside the file itself.
const programFile = realpathSync(process.argv[1] ?? '')
void runProgram(processIo(), process.argv.slice(2), programFile).then((code) => {
  process.exitCode = code
})
