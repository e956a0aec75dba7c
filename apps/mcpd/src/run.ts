import { makeDataDirectory } from '@mcpctl/client/paths'
import { join } from 'node:path'
import type { Leader } from '@mcpctl/reconcile'
import { assemble, close, serve, type Parts } from './assembly'
import type { Config } from './config'
import { lead } from './leadership'
import { endOnBugs, openLog, toLines } from './log'
import type { SetupCode } from './setup/admin'
import { recover } from './setup/recover'
import { openStore } from './store/store'

/** Brings the daemon up and serves until it is told to end. Throws when it cannot start; nothing is left behind then. */
export const run = async (config: Config): Promise<void> => {
  const logger = openLog(config.logLevel)
  endOnBugs(logger)
  const told = listenForTheEnd()
  makeDataDirectory(config.dataDirectory)
  const store = await openStore(config, join(import.meta.dirname, 'migrations'), toLines(logger))
  try {
    const parts = await assemble(config, store, logger)
    const { address, setup } = await serve(parts)
    const end = endOnce(parts, lead(parts, config.advertise ?? address))
    parts.daemon.onShutDown((options) => void end(options))
    void told.then(() => end({ all: false }))
    logger.info(
      { address, store: store.id, embedded: store.embedded, ...(setup.isWritten && { file: setup.file }) },
      'mcpd is ready',
    )
    // Beside the log, which is kept.
    if (setup.code) process.stderr.write(setupText(setup.code, address))
  } catch (error) {
    await store.close()
    throw error
  }
}

const setupText = ({ user, code, expiresAt }: SetupCode, address: string): string =>
  `mcpd waits to be set up. Until ${expiresAt.toISOString()} this code sets the password of user "${user}", once:

  ${code}

Run: mcpctl login ${address} --user ${user} --setup
`

/** Makes somebody an administrator again, without a running daemon. Throws when that is not possible. */
export const runRecovery = async (config: Config, user: string): Promise<void> => {
  const logger = openLog('warn')
  makeDataDirectory(config.dataDirectory)
  const store = await openStore(config, join(import.meta.dirname, 'migrations'), toLines(logger))
  try {
    const { code, expiresAt } = await recover(store, user)
    process.stdout.write(`${code}\n`)
    process.stderr.write(
      `User "${user}" is an administrator. Until ${expiresAt.toISOString()} this code sets the password, once.\n` +
        `Start mcpd and run: mcpctl login URL --user ${user} --setup\n`,
    )
  } finally {
    await store.close()
  }
}

/** From the first moment on, so that being told to end while starting leaves no database behind. */
const listenForTheEnd = () =>
  new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.on(signal, () => {
        resolve()
      })
  })

const endOnce = (parts: Parts, leader: Leader) => {
  let ending: Promise<void> | undefined
  return (options: { all: boolean }) => (ending ??= end(parts, leader, options))
}

const end = async (parts: Parts, leader: Leader, options: { all: boolean }): Promise<void> => {
  parts.logger.info(options, 'mcpd is shutting down')
  await close(parts, leader, options)
  parts.logger.info('mcpd has ended')
  process.exit(0)
}
