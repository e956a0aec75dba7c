import type { Command } from 'commander'
import { Admin, ConnectionError } from '@mcpctl/client'
import type { ModelStatus } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { CliError, exit, isReason, throwAll } from '../errors'
import { Progress } from '../output/progress'
import type { Session } from '../session'

const pollMs = 300
/** A daemon that is started anew in between is waited for so long. */
const awayMs = 30_000

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

interface Started {
  name: string
  /** The version that is being built. */
  version: number
  at: number
}

/** The rebuild that was asked for, or the one that is under way already. */
const start = async (session: Session, name: string, wait: boolean): Promise<Started> => {
  const admin = new Admin(session.client.http)
  const at = performance.now()
  try {
    return { name, version: await admin.rebuild(name), at }
  } catch (error) {
    if (!wait || !isReason(error, 'Conflict')) throw error
    const { rebuild } = await admin.model(name)
    if (!rebuild) throw error
    session.say(`model ${name} is being rebuilt already; waiting for that`)
    return { name, version: rebuild.version, at }
  }
}

const stateText = ({ name, head, rebuild }: ModelStatus): string => {
  if (!rebuild) return `model ${name}: waiting`
  const { state, position, eventsPerSecond } = rebuild
  const speed = eventsPerSecond === undefined ? '' : `, ${String(eventsPerSecond)} events/s`
  const trouble = rebuild.lastError === undefined ? '' : ` (${rebuild.lastError})`
  return `model ${name}: ${state}, position ${position} of ${head}${speed}${trouble}`
}

/** How the model stands; a daemon that is away is waited for a while. */
const look = async (session: Session, name: string, progress: Progress): Promise<ModelStatus> => {
  const deadline = performance.now() + awayMs
  for (;;) {
    try {
      return await new Admin(session.client.http).model(name)
    } catch (error) {
      const isAway = error instanceof ConnectionError || isReason(error, 'Unavailable')
      if (!isAway || performance.now() > deadline) throw error
      progress.update(`model ${name}: the daemon is away`)
      await pause(pollMs)
    }
  }
}

const failed = ({ name, version, rebuild }: ModelStatus): CliError => {
  const why = rebuild?.lastError ?? 'the log of mcpd says why'
  return new CliError(
    exit.negative,
    `the rebuild of model ${name} has failed: ${why}; readers see version ${String(version)} as before`,
    `try it again with: mcpctl admin rebuild ${name}`,
  )
}

/** Waits until readers see the version. Answers how it stands then and how fast the events were folded. */
const follow = async (session: Session, { name, version, at }: Started, progress: Progress) => {
  let speed: number | undefined
  for (;;) {
    const status = await look(session, name, progress)
    progress.update(stateText(status))
    if (status.version >= version) {
      const seconds = (performance.now() - at) / 1000
      return { status, eventsPerSecond: speed ?? Math.round(Number(status.position) / seconds) }
    }
    if (status.rebuild?.state === 'failed') throw failed(status)
    speed = status.rebuild?.eventsPerSecond ?? speed
    await pause(pollMs)
  }
}

const finish = async (session: Session, started: Started): Promise<void> => {
  const progress = new Progress(session.io, session.flags.quiet ?? false)
  const stay = session.io.onInterrupt(() => {
    progress.clear()
    session.say(`the rebuild of model ${started.name} goes on; see how far it is with: mcpctl status`)
  })
  try {
    const { status, eventsPerSecond } = await follow(session, started, progress)
    progress.clear()
    session.print(
      `model ${status.name} rebuilt: version ${String(status.version)}, ${status.position} events, ${String(eventsPerSecond)} events/s\n`,
    )
  } finally {
    progress.clear()
    stay()
  }
}

/** Asks for all before it waits for the first, so that Ctrl-C leaves none out. */
export const runRebuild = async (session: Session, names: readonly string[], wait: boolean): Promise<void> => {
  const chosen =
    names.length > 0 ? [...new Set(names)] : (await new Admin(session.client.http).models()).map(({ name }) => name)
  session.announceContext()
  const started: Started[] = []
  const errors: unknown[] = []
  for (const name of chosen)
    await start(session, name, wait).then(
      (one) => started.push(one),
      (error: unknown) => errors.push(error),
    )
  for (const one of started)
    if (wait) await finish(session, one).catch((error: unknown) => errors.push(error))
    else session.print(`model ${one.name} is being rebuilt: version ${String(one.version)}\n`)
  throwAll(errors)
}

export const defineRebuild = (command: Command, open: OpenSession, run = runRebuild): void => {
  command
    .usage('[MODEL...] [flags]')
    .argument('[models...]')
    .option('--no-wait', 'do not wait for the end; mcpctl status tells how far it is')
    .addHelpText(
      'after',
      '\nThe model that is read stays as it is until the new one is complete. Ctrl-C does not stop a rebuild.',
    )
    .action(async (models: string[], flags: { wait: boolean }) => run(open(command), models, flags.wait))
}
