import type { Command } from 'commander'
import { Admin } from '@mcpctl/client'
import type { ParkedEvent, Settled } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { CliError, exit, throwAll, usage } from '../errors'
import { age } from '../output/age'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import { formatTable } from '../output/table'
import type { Session } from '../session'

const formats = ['table', 'wide', 'json', 'yaml'] as const

/** A parked event as it is named on the command line. */
interface Place {
  processor: string
  position: string
}

export interface SettleRequest {
  verb: 'retry' | 'skip'
  /** Undefined: every one that is parked. */
  place?: Place
  reason?: string
}

const header = ['PROCESSOR', 'POSITION', 'TYPE', 'STREAM', 'BEHIND', 'SINCE', 'ERROR']
const shortError = 80

const rowOf = (event: ParkedEvent, { isWide, now }: { isWide: boolean; now: number }): string[] => {
  const { processor, position, type, streamId, behind, since, error } = event
  const shown = isWide || error.length <= shortError ? error : `${error.slice(0, shortError - 1)}…`
  return [processor, position, type, streamId, String(behind), isWide ? since : age(since, now), shown]
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
    session.print(formatTable(headers ? [header, ...rows] : rows))
  }
}

export const parsePlace = (words: string[], all: boolean): Place | undefined => {
  if (all && words.length > 0) throw usage('name a parked event or pass --all, not both')
  if (all) return undefined
  const [processor = '', position = '', more] = words
  if (position === '' || more !== undefined)
    throw usage('name one parked event by its processor and position', 'run: mcpctl admin parked list')
  if (!/^[1-9]\d*$/.test(position)) throw usage(`invalid position "${position}": must be a whole number from 1 on`)
  return { processor, position }
}

const behindText = (applied: number) => (applied === 1 ? '1 event' : `${String(applied)} events`)

const settle = async (session: Session, place: Place, { verb, reason }: SettleRequest): Promise<Settled> => {
  const { processor, position } = place
  return new Admin(session.client.http)[verb](processor, position, reason)
}

const settleOne = async (session: Session, place: Place, request: SettleRequest): Promise<void> => {
  const { applied, stoppedAt } = await settle(session, place, request)
  const name = `parked event ${place.processor}/${place.position}`
  const isHeld = stoppedAt?.position === place.position
  if (!isHeld)
    session.print(`${name} ${request.verb === 'skip' ? 'skipped' : 'retried'}: ${behindText(applied)} applied\n`)
  if (stoppedAt)
    throw new CliError(
      exit.negative,
      isHeld
        ? `${name} (${stoppedAt.type}) cannot be applied: ${stoppedAt.error}`
        : `position ${stoppedAt.position} (${stoppedAt.type}) behind it cannot be applied: ${stoppedAt.error}`,
    )
}

export const runSettle = async (session: Session, request: SettleRequest): Promise<void> => {
  const places = request.place ? [request.place] : await new Admin(session.client.http).parked()
  if (places.length === 0) {
    session.io.err('No events are parked\n')
    return
  }
  const names = places.map(({ processor, position }) => `parked event ${processor}/${position}`)
  // What was skipped cannot be had back.
  if (request.verb === 'skip') await session.confirm(names, 'skip', true)
  session.announceContext()
  const errors: unknown[] = []
  for (const place of places) await settleOne(session, place, request).catch((error: unknown) => errors.push(error))
  throwAll(errors)
}

type Settle = (session: Session, request: SettleRequest) => Promise<void>

const defineList = (command: Command, open: OpenSession, run: typeof runList) => {
  command
    .usage('[PROCESSOR] [flags]')
    .argument('[processor]')
    .option('-o, --output <format>', formats.join('|'), 'table')
    .option('--no-headers', 'print no header line')
    .action(async (processor: string | undefined, flags: { output: string; headers: boolean }) =>
      run(open(command), processor, flags),
    )
}

export const defineParked = (
  command: Command,
  open: OpenSession,
  list = runList,
  settleAll: Settle = runSettle,
): void => {
  command.usage('list | retry | skip')
  defineList(command.command('list').summary('List them, the first of each stream'), open, list)
  const retry = command.command('retry').summary('Apply one again, and what waits behind it')
  retry
    .usage('PROCESSOR POSITION | --all')
    .argument('[words...]')
    .option('--all', 'every event that is parked')
    .option('--reason <text>', 'kept in the log')
    .action(async (words: string[], flags: { all?: boolean; reason?: string }) => {
      const place = parsePlace(words, flags.all ?? false)
      await settleAll(open(retry), requestOf('retry', place, flags.reason))
    })
  const skip = command.command('skip').summary('Leave one out for good, and apply what waits behind it')
  skip
    .usage('PROCESSOR POSITION')
    .argument('[words...]')
    .option('--reason <text>', 'kept in the log')
    .action(async (words: string[], flags: { reason?: string }) =>
      settleAll(open(skip), requestOf('skip', parsePlace(words, false), flags.reason)),
    )
}

const requestOf = (verb: 'retry' | 'skip', place: Place | undefined, reason: string | undefined): SettleRequest => ({
  verb,
  ...(place && { place }),
  ...(reason !== undefined && { reason }),
})
