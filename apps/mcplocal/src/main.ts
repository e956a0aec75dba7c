import { createInterface } from 'node:readline'
import { version } from '../../../package.json'
import { Bridge } from './bridge'
import { Daemon } from './daemon'
import { type Flags, help, parseFlags, UsageError } from './flags'

/** How long calls under way may take after the client has closed its end. */
const graceMs = 5000

const log = (text: string) => void process.stderr.write(`mcplocal: ${text}\n`)

const run = ({ project, context, serverName }: Flags) => {
  const daemon = new Daemon({ project, warn: log, ...(context !== undefined && { context }) })
  const bridge = new Bridge({
    daemon,
    log,
    write: (line) => void process.stdout.write(`${line}\n`),
    ...(serverName !== undefined && { serverName }),
  })
  let ending: Promise<void> | undefined
  const end = () => {
    ending ??= bridge.finish(graceMs).then(() => void process.stdout.write('', () => process.exit(0)))
  }
  process.stdout.on('error', () => process.exit(0))
  createInterface({ input: process.stdin, crlfDelay: Infinity })
    .on('line', (line) => bridge.receive(line))
    .on('close', end)
  process.on('SIGTERM', end).on('SIGINT', end)
}

const main = (args: string[]) => {
  const flags = parseFlags(args)
  if (flags === 'help') process.stdout.write(help)
  else if (flags === 'version') process.stdout.write(`mcplocal ${version}\n`)
  else run(flags)
}

try {
  main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`error: ${error.message}\nSee 'mcplocal --help'.\n`)
  process.exitCode = 2
}
