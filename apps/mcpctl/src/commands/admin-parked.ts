import type { Command } from 'commander'
import { Admin } from '@mcpctl/client'
import type { ParkedEvent } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { CliError, exit, throwAll, usage } from '../errors'
import { age } from '../output/age'
import { showGlobal } from '../global-options'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import { formatTable } from '../output/table'
import type { Session } from '../session'
import { named } from './flags'

const formats = ['table', 'wide', 'json', 'yaml'] as const

/** Parked events as they are named on the command line: one, or all of a processor, or all. */
export interface Selection {
  processor?: string
  position?: string
}

const header = ['PROCESSOR', 'POSITION', 'TYPE', 'STREAM', 'BEHIND', 'SINCE', 'ERROR']

const rowOf = (event: ParkedEvent, { isWide, now }: { isWide: boolean; now: number }): string[] => {
  const { processor, position, type, streamId, behind, since, error } = event
  return [processor, position, type, streamId, String(behind), isWide ? since : age(since, now), error]
}

export const runList = async (
  session: Session,
  processor: string | undefined,
  { output, headers }: { output: string; headers: boolean },
): Promise<void> => {
  const format = parseFormat(output, formats)
  const parked = await new Admin(session.client.http).parked(processor)
  if (format === 'json') session.print(toJson({ parked }))
  else if (format === 'yaml') session.print((await import('../output/yaml')).toYaml({ parked }))
  else if (parked.length === 0) session.io.err('No events are parked\n')
  else {
    const rows = parked.map((event) => rowOf(event, { isWide: format === 'wide', now: Date.now() }))
    const columns = format === 'wide' ? undefined : session.tableWidth
    session.print(formatTable(headers ? [header, ...rows] : rows, columns))
  }
}

const seeList = 'run: mcpctl admin parked list'

const checkPosition = (position: string): string => {
  if (/^[1-9]\d*$/.test(position)) return position
  throw usage(`invalid position "${position}": must be a whole number from 1 on`, seeList)
}

export const parseSelection = (
  processor: string | undefined,
  position: string | undefined,
  all: boolean,
): Selection => {
  if (all && position !== undefined) throw usage('name a position or pass --all, not both')
  if (all) return processor === undefined ? {} : { processor }
  if (processor === undefined || position === undefined)
    throw usage('name one parked event by its processor and position', seeList)
  return { processor, position: checkPosition(position) }
}

const eventsText = (count: number) => (count === 1 ? '1 event' : `${String(count)} events`)

const settle = async (
  session: Session,
  verb: 'retry' | 'skip',
  { processor, position }: Pick<ParkedEvent, 'processor' | 'position'>,
): Promise<void> => {
  const { applied, stoppedAt } = await new Admin(session.client.http)[verb](processor, position)
  const name = `parked event ${processor}/${position}`
  const isHeld = stoppedAt?.position === position
  if (!isHeld) session.print(`${name} ${verb === 'skip' ? 'skipped' : 'retried'}: ${eventsText(applied)} applied\n`)
  if (stoppedAt)
    throw new CliError(
      exit.negative,
      isHeld
        ? `${name} (${stoppedAt.type}) cannot be applied: ${stoppedAt.error}`
        : `position ${stoppedAt.position} (${stoppedAt.type}) behind it cannot be applied: ${stoppedAt.error}`,
    )
}

const retryAll = async (session: Session, processor: string | undefined): Promise<void> => {
  const parked = await new Admin(session.client.http).parked(processor)
  if (parked.length === 0) {
    session.io.err('No events are parked\n')
    return
  }
  session.announceContext()
  const errors: unknown[] = []
  for (const event of parked) await settle(session, 'retry', event).catch((error: unknown) => errors.push(error))
  throwAll(errors)
}

export const runRetry = async (session: Session, { processor, position }: Selection): Promise<void> => {
  if (processor === undefined || position === undefined) return retryAll(session, processor)
  session.announceContext()
  await settle(session, 'retry', { processor, position })
}

/** What can be skipped there. Throws when there is nothing, so that nobody is asked in vain. */
const findFirst = async (session: Session, processor: string, position: string): Promise<ParkedEvent> => {
  const parked = await new Admin(session.client.http).parked(processor)
  const found = parked.find((event) => event.position === position)
  if (found) return found
  throw new CliError(
    exit.notFound,
    parked.length === 0
      ? `processor "${processor}" has no parked events`
      : `position ${position} is not the first parked event of a stream of processor "${processor}"`,
    ...(parked.length === 0 ? [] : [seeList]),
  )
}

const skipText = ({ processor, position, type, streamId, behind }: ParkedEvent): string => {
  const waiting = behind === 0 ? 'nothing waits behind it' : `${eventsText(behind)} behind it would be applied`
  return `${processor}/${position}, ${type} in stream ${streamId}; ${waiting}; it cannot be had back`
}

export const runSkip = async (session: Session, processor: string, position: string): Promise<void> => {
  const event = await findFirst(session, processor, position)
  await session.confirm([skipText(event)], 'skip', true, 'parked event')
  session.announceContext()
  await settle(session, 'skip', event)
}

const defineList = (command: Command, open: OpenSession): void => {
  command
    .usage('[PROCESSOR] [flags]')
    .argument('[processor]', 'only those of this processor, as mcpctl status names it')
    .option('-o, --output <format>', formats.join('|'), 'table')
    .option('--no-headers', 'print no header line')
    .action(async (processor: string | undefined, flags: { output: string; headers: boolean }) =>
      runList(open(command), processor, flags),
    )
}

const defineRetry = (command: Command, open: OpenSession): void => {
  showGlobal(command, '--reason')
  command
    .usage('PROCESSOR POSITION | [PROCESSOR] --all [flags]')
    .argument('[processor]', 'whose event it is, as the list says')
    .argument('[position]', 'where it is in the log, as the list says')
    .option('--all', 'every event that is parked, or every one of the processor')
    .action(async (processor: string | undefined, position: string | undefined, flags: { all?: boolean }) =>
      runRetry(open(command), parseSelection(processor, position, flags.all ?? false)),
    )
}

const defineSkip = (command: Command, open: OpenSession): void => {
  showGlobal(command, '--reason', '--yes')
  command
    .usage('PROCESSOR POSITION [flags]')
    .argument('<processor>', 'whose event it is, as the list says')
    .argument('<position>', 'where it is in the log, as the list says')
    .addHelpText(
      'after',
      '\nWhat is shown of its stream from then on is a state that never was. It cannot be taken back.',
    )
    .action(async (processor: string, position: string) => runSkip(open(command), processor, checkPosition(position)))
}

export const defineParked = (command: Command, open: OpenSession): void => {
  command.usage('list | retry | skip')
  defineList(named(command, 'list', 'List parked events, the first of each stream'), open)
  defineRetry(named(command, 'retry', 'Apply a parked event again, and what waits behind it'), open)
  defineSkip(named(command, 'skip', 'Leave a parked event out for good, and apply what waits behind it'), open)
}
