import type { Command } from 'commander'
import { Admin } from '@mcpctl/client'
import type { ModelStatus, RebuildAnswer } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { CliError, exit, isReason, throwAll } from '../errors'
import { showGlobal } from '../global-options'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import { Progress } from '../output/progress'
import type { Session } from '../session'
import { askPatiently, pause, pollMs } from './away'
import { shareText } from './rebuild-text'

const formats = ['text', 'json', 'yaml'] as const

export interface RebuildRequest {
  /** All models when there is none. */
  names: readonly string[]
  wait: boolean
  format: (typeof formats)[number]
}

/** What is told of a model in the end. */
interface Rebuilt extends RebuildAnswer {
  /** Whether readers see that version. */
  done: boolean
  position?: string
  /** As the daemon has measured it. */
  eventsPerSecond?: number
}

/** The rebuild that was asked for, or the one that is under way already. */
const start = async (session: Session, name: string, wait: boolean): Promise<RebuildAnswer> => {
  const admin = new Admin(session.client.http)
  try {
    return await admin.rebuild(name)
  } catch (error) {
    if (!wait || !isReason(error, 'Conflict')) throw error
    const { rebuild } = await admin.model(name)
    if (!rebuild) throw error
    session.say(`model ${name} is being rebuilt already; waiting for that`)
    return { name, version: rebuild.version }
  }
}

const stateText = ({ name, head, rebuild }: ModelStatus): string => {
  if (!rebuild) return `model ${name}: waiting`
  const { state, eventsPerSecond } = rebuild
  const speed = eventsPerSecond === undefined ? '' : `, ${String(eventsPerSecond)} events/s`
  const trouble = rebuild.lastError === undefined ? '' : ` (${rebuild.lastError})`
  return `model ${name}: ${state}, ${shareText(rebuild.position, head)}${speed}${trouble}`
}

const look = (session: Session, name: string, progress: Progress): Promise<ModelStatus> =>
  askPatiently(session, progress, `model ${name}`, () => new Admin(session.client.http).model(name))

const failed = ({ name, version, rebuild }: ModelStatus): CliError => {
  const why = rebuild?.lastError ?? 'the log of mcpd says why'
  return new CliError(
    exit.negative,
    `the rebuild of model ${name} has failed: ${why}; readers see version ${String(version)} as before`,
    `try it again with: mcpctl admin rebuild ${name}`,
  )
}

/** Waits until readers see the version. */
const follow = async (session: Session, { name, version }: RebuildAnswer, progress: Progress): Promise<Rebuilt> => {
  for (;;) {
    const status = await look(session, name, progress)
    progress.update(stateText(status))
    const { position, eventsPerSecond } = status
    if (status.version >= version)
      return {
        name,
        version: status.version,
        done: true,
        position,
        ...(eventsPerSecond !== undefined && { eventsPerSecond }),
      }
    if (status.rebuild?.state === 'failed') throw failed(status)
    await pause(pollMs)
  }
}

const finish = async (session: Session, started: RebuildAnswer): Promise<Rebuilt> => {
  const progress = new Progress(session.io, session.flags.quiet ?? false)
  const stay = session.io.onInterrupt(() => {
    progress.clear()
    session.say(`the rebuild of model ${started.name} goes on; see how far it is with: mcpctl status`)
  })
  try {
    return await follow(session, started, progress)
  } finally {
    progress.clear()
    stay()
  }
}

const textOf = ({ name, version, done, position, eventsPerSecond }: Rebuilt): string => {
  if (!done) return `model ${name} is being rebuilt: version ${String(version)}\n`
  const speed = eventsPerSecond === undefined ? '' : `, ${String(eventsPerSecond)} events/s`
  return `model ${name} rebuilt: version ${String(version)}, up to position ${String(position)}${speed}\n`
}

const printAll = async (session: Session, models: Rebuilt[], format: RebuildRequest['format']): Promise<void> => {
  if (format === 'json') session.print(toJson({ models }))
  else if (format === 'yaml') session.print((await import('../output/yaml')).toYaml({ models }))
}

/** Asks for all before it waits for the first, so that Ctrl-C leaves none out. */
export const runRebuild = async (session: Session, { names, wait, format }: RebuildRequest): Promise<void> => {
  const chosen =
    names.length > 0 ? [...new Set(names)] : (await new Admin(session.client.http).models()).map(({ name }) => name)
  session.announceContext()
  const started: RebuildAnswer[] = []
  const rebuilt: Rebuilt[] = []
  const errors: unknown[] = []
  for (const name of chosen)
    await start(session, name, wait).then(
      (one) => started.push(one),
      (error: unknown) => errors.push(error),
    )
  for (const one of started)
    try {
      const { name, version } = one
      const told = wait ? await finish(session, one) : { name, version, done: false }
      rebuilt.push(told)
      if (format === 'text') session.print(textOf(told))
    } catch (error) {
      errors.push(error)
    }
  await printAll(session, rebuilt, format)
  throwAll(errors)
}

export const defineRebuild = (command: Command, open: OpenSession, run = runRebuild): void => {
  showGlobal(command, '--reason')
  command
    .usage('[MODEL...] [flags]')
    .argument('[models...]', 'read models, as mcpctl status names them; all unless some are named')
    .option('-o, --output <format>', formats.join('|'), 'text')
    .option('--no-wait', 'do not wait for the end; mcpctl status tells how far it is')
    .addHelpText(
      'after',
      '\nThe model that is read stays as it is until the new one is complete. Ctrl-C does not stop a rebuild.',
    )
    .action(async (names: string[], flags: { wait: boolean; output: string }) =>
      run(open(command), { names, wait: flags.wait, format: parseFormat(flags.output, formats) }),
    )
}
