import type { Command } from 'commander'
import { Client, configPath, readConfig } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { findDaemon } from '../daemon/record'
import type { DaemonRecord } from '../daemon/record'
import { terminate, waitUntilEnded } from '../daemon/stop'
import { parseTimeout } from '../duration'
import { CliError, exit } from '../errors'
import type { Session } from '../session'
import { directoryOf } from './up'

interface DownFlags {
  dataDir?: string
  all?: boolean
  timeout: string
}

/** Only the daemon knows its containers, so it is the one to remove them. */
const shutDownAll = async (session: Session, { address }: DaemonRecord): Promise<void> => {
  const { contexts } = readConfig(configPath(session.io.env))
  const entry = Object.values(contexts).find(({ server }) => server === address)
  if (!entry)
    throw new CliError(
      exit.notLoggedIn,
      `there is no context for ${address}`,
      'without --all no token is needed: mcpctl down',
    )
  const client = new Client({ server: entry.server, token: entry.token })
  try {
    await client.shutdown({ all: true })
  } finally {
    client.close()
  }
}

/** Stops the local daemon and waits until it is gone. Stopping one that does not run succeeds. */
export const runDown = async (session: Session, flags: DownFlags): Promise<void> => {
  const directory = directoryOf(session, flags.dataDir)
  const timeoutMs = parseTimeout(flags.timeout)
  const record = await findDaemon(directory)
  if (!record) {
    session.print(`mcpd is not running on ${directory}\n`)
    if (flags.all) session.say('containers that it left behind go with: mcpctl up && mcpctl down --all')
    return
  }
  if (flags.all) await shutDownAll(session, record)
  else terminate(record)
  await waitUntilEnded(record, timeoutMs)
  session.print(`mcpd stopped (pid ${String(record.pid)})\n`)
}

export const define = (command: Command, open: OpenSession): void => {
  command
    .usage('[flags]')
    .option('--all', "also remove the instances' containers, which otherwise run on")
    .option('--data-dir <directory>', 'the data directory of the daemon to stop (MCPD_DATA_DIR)')
    .option('--timeout <duration>', 'how long the daemon may take to end', '1m')
    .action(async (flags: DownFlags) => runDown(open(command), flags))
}
