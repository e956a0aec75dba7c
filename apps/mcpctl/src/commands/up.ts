import { resolve } from 'node:path'
import type { Command } from 'commander'
import { Client, configPath, daemonLog, dataDirectory, readConfig } from '@mcpctl/client'
import type { Context, DaemonStatus } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { daemonProgram, ensureDaemon } from '../daemon/start'
import type { Started } from '../daemon/start'
import { parseTimeout } from '../duration'
import { CliError, exit, isReason } from '../errors'
import { formatTable } from '../output/table'
import type { Session } from '../session'

interface UpFlags {
  port?: string
  dataDir?: string
  driver?: string
  databaseUrl?: string
  timeout: string
}

/** The data directory that `up` and `down` speak of. */
export const directoryOf = (session: Session, flag: string | undefined): string =>
  resolve(flag ?? (session.io.env['MCPD_DATA_DIR'] || dataDirectory(session.io.env)))

const contextFor = (session: Session, address: string): Context | undefined => {
  const { contexts } = readConfig(configPath(session.io.env))
  const found = Object.entries(contexts).find(([, entry]) => entry.server === address)
  return found && { name: found[0], ...found[1] }
}

const loginOrRecover = (address: string): string =>
  `log in as an administrator: mcpctl login ${address} --user NAME\n` +
  'if there is none left: mcpctl down, then: mcpd admin recover --user NAME'

const contextPatienceMs = 10_000

/** The daemon writes the context shortly after it began to listen. */
const waitForContext = async (session: Session, { record, isNew }: Started): Promise<Context> => {
  const deadline = performance.now() + (isNew ? contextPatienceMs : 1000)
  for (;;) {
    const context = contextFor(session, record.address)
    if (context) return context
    if (performance.now() > deadline)
      throw new CliError(
        exit.notLoggedIn,
        `mcpd runs at ${record.address}, but ${configPath(session.io.env)} has no context for it`,
        // A start writes one for the administrator of the first start; when that one is gone, starting again does not help.
        isNew ? loginOrRecover(record.address) : `run: mcpctl down && mcpctl up\n${loginOrRecover(record.address)}`,
      )
    await new Promise((done) => setTimeout(done, 100))
  }
}

const driversText = ({ drivers }: DaemonStatus): string =>
  drivers
    .map((driver) => {
      if (!driver.available) return `${driver.name} (not available${driver.message ? `: ${driver.message}` : ''})`
      return driver.isolated ? driver.name : `${driver.name} (not isolated)`
    })
    .join(', ')

interface Report {
  started: Started
  context: Context
  status: DaemonStatus
  directory: string
}

const report = (session: Session, { started, context, status, directory }: Report): void => {
  const { record, isNew } = started
  const verb = isNew ? 'started' : 'already running'
  session.print(`mcpd ${status.version} ${verb} at ${record.address} (pid ${String(record.pid)})\n`)
  session.print(
    formatTable([
      ['  context', `${context.name} in ${configPath(session.io.env)}`],
      ['  database', `PostgreSQL ${status.database.version}${status.database.embedded ? ', embedded' : ''}`],
      ['  drivers', driversText(status)],
      ['  data', directory],
      ['  log', daemonLog(directory)],
    ]),
  )
  const { currentContext } = readConfig(configPath(session.io.env))
  if (currentContext !== context.name) session.say(`use it with: mcpctl config use-context ${context.name}`)
  else session.say('next: mcpctl apply -f FILE; stop with: mcpctl down')
}

const warnAboutIgnored = (session: Session, flags: UpFlags): void => {
  const ignored = (['port', 'driver', 'databaseUrl'] as const).filter((name) => flags[name] !== undefined)
  if (ignored.length === 0) return
  const names = ignored.map((name) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`)
  session.warn(`mcpd was running already: ${names.join(', ')} had no effect; run mcpctl down first`)
}

/** `up` has found the daemon already, so it is not the answer to a token that is refused. */
const statusFor = async ({ name, server, token }: Context): Promise<DaemonStatus> => {
  const client = new Client({ server, token })
  try {
    return await client.status()
  } catch (error) {
    if (!isReason(error, 'Unauthorized')) throw error
    throw new CliError(
      exit.notLoggedIn,
      `the token of context "${name}" is not valid for the daemon at ${server}; run: mcpctl down, then mcpctl up`,
      loginOrRecover(server),
    )
  } finally {
    client.close()
  }
}

/** Finds or starts the local daemon and says where it is. Doing it again changes nothing. */
export const runUp = async (session: Session, flags: UpFlags): Promise<void> => {
  const { env } = session.io
  const directory = directoryOf(session, flags.dataDir)
  const started = await ensureDaemon({
    daemonFile: daemonProgram(session.programFile, env),
    directory,
    configFile: resolve(configPath(env)),
    ...(flags.port === undefined ? {} : { port: flags.port }),
    ...(flags.driver === undefined ? {} : { driver: flags.driver }),
    ...(flags.databaseUrl === undefined ? {} : { databaseUrl: flags.databaseUrl }),
    timeoutMs: parseTimeout(flags.timeout),
    env,
    onLaunch: () => session.say('starting mcpd …'),
  })
  if (!started.isNew) warnAboutIgnored(session, flags)
  const context = await waitForContext(session, started)
  report(session, { started, context, status: await statusFor(context), directory })
}

export const define = (command: Command, open: OpenSession): void => {
  command
    .usage('[flags]')
    .option('--port <port>', 'port to listen on; 0 takes any free one (default 7777)')
    .option('--data-dir <directory>', 'where the daemon keeps its data (MCPD_DATA_DIR)')
    .option('--driver <driver>', 'what runs instances: auto, docker or process')
    .option('--database-url <url>', 'a PostgreSQL to use in place of the embedded one (DATABASE_URL)')
    .option('--timeout <duration>', 'how long the start may take', '2m')
    .action(async (flags: UpFlags) => runUp(open(command), flags))
}
