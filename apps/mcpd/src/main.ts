import 'reflect-metadata'
import { readConfig, usage } from './config'
import { readRecovery } from './setup/recovery-flags'
import { run, runRecovery } from './run'
import { UsageError } from './usage-error'
import { version } from './version'

const main = async (): Promise<void> => {
  const { recovered, rest } = readRecovery(process.argv.slice(2))
  const config = readConfig(rest, process.env)
  if (config.help) return void process.stdout.write(usage)
  if (config.version) return void process.stdout.write(`mcpd ${version}\n`)
  await (recovered === undefined ? run(config) : runRecovery(config, recovered))
}

main().catch((error: unknown) => {
  const message = error instanceof Error ? error.message : String(error)
  process.stderr.write(
    error instanceof UsageError ? `error: ${message}\nSee: mcpd --help\n` : `error: mcpd did not start: ${message}\n`,
  )
  process.exit(error instanceof UsageError ? 2 : 1)
})
