import type { Command } from 'commander'
import { parseTimeout } from '../duration'
import { usage } from '../errors'
import { createFormats } from '../manifest/create'
import type { CreateStyle } from '../manifest/create'
import { parseFormat } from '../output/format'

const dryRuns = ['none', 'client', 'server'] as const

/** Flags that every form of `create` takes. */
export interface StyleFlags {
  dryRun: string
  wait?: boolean
  timeout?: string
  output: string
}

export const styleOf = (flags: StyleFlags): CreateStyle => {
  const dryRun = dryRuns.find((mode) => mode === flags.dryRun)
  if (!dryRun) throw usage(`invalid dry-run value "${flags.dryRun}": must be "none", "server" or "client"`)
  return {
    ...(dryRun !== 'none' && { dryRun }),
    wait: flags.wait ?? false,
    timeoutMs: parseTimeout(flags.timeout ?? '5m'),
    format: parseFormat(flags.output, createFormats),
  }
}

export const addStyleOptions = (command: Command): Command =>
  command
    .option(
      '--dry-run <mode>',
      'server: let the daemon decide and write nothing; client: only print what would be created',
      'none',
    )
    .option('-o, --output <format>', createFormats.join('|'), 'text')

/** For what becomes available some time after it was created. */
export const addWaitOptions = (command: Command): Command =>
  command
    .option('--wait', 'wait until it is available')
    .option('--timeout <duration>', 'how long --wait may take', '5m')
