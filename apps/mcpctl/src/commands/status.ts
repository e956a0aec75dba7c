import type { Command } from 'commander'
import type { DaemonStatus } from '@mcpctl/client'
import type { RebuildStatus } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { CliError, exit } from '../errors'
import { age } from '../output/age'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import { formatTable } from '../output/table'
import type { Session } from '../session'
import { shareText } from './rebuild-text'

const formats = ['text', 'json', 'yaml'] as const

const leaderText = ({ leader }: DaemonStatus): string => {
  if (leader.self) return 'this daemon'
  return leader.address ? leader.address : '<none>'
}

const keysRow = ({ keys }: DaemonStatus): string[][] => {
  if (!keys) return []
  return [['Keys:', keys.state === 'ready' ? `ready (kek ${keys.kek ?? ''})` : `${keys.state}: ${keys.message ?? ''}`]]
}

/** What is being rebuilt beside the models that are read; empty when nothing is. */
const rebuildsText = ({ projectors, store }: DaemonStatus): string => {
  const rows = projectors.flatMap(({ name, rebuild }) =>
    rebuild ? [rebuildRow(name, rebuild, String(store.position))] : [],
  )
  return rows.length === 0
    ? ''
    : `\n${formatTable([['REBUILD', 'VERSION', 'STATE', 'PROGRESS', 'EVENTS/S', 'LAST-ERROR'], ...rows])}`
}

const rebuildRow = (name: string, rebuild: RebuildStatus, head: string): string[] => {
  const { version, state, position, eventsPerSecond, lastError } = rebuild
  return [name, String(version), state, shareText(position, head), String(eventsPerSecond ?? ''), lastError ?? '']
}

const statusText = (status: DaemonStatus, context: { name: string; server: string }, now: number): string => {
  const { daemon, store, database } = status
  const head = formatTable([
    ['Context:', `${context.name} (${context.server})`],
    ['Daemon:', `mcpd ${status.version}, pid ${String(daemon.pid)}, up ${age(daemon.startedAt, now)}`],
    ['Leader:', leaderText(status)],
    ['Database:', `PostgreSQL ${database.version}${database.embedded ? ', embedded' : ''}`],
    ...keysRow(status),
    ['Store:', `${store.id}, epoch ${String(store.epoch)}, position ${String(store.position)}`],
  ])
  const drivers = formatTable([
    ['DRIVER', 'AVAILABLE', 'ISOLATED', 'MESSAGE'],
    ...status.drivers.map((driver) => [
      driver.name,
      driver.available ? 'yes' : 'no',
      driver.isolated ? 'yes' : 'no',
      driver.message ?? '',
    ]),
  ])
  const projectors = formatTable([
    ['PROJECTOR', 'POSITION', 'LAG', 'PARKED', 'STATUS', 'LAST-ERROR'],
    ...status.projectors.map((one) => [
      one.name,
      one.position,
      String(one.lag),
      String(one.parked ?? 0),
      one.status,
      one.lastError ?? '',
    ]),
  ])
  return `${head}\n${drivers}\n${projectors}${rebuildsText(status)}`
}

export const runStatus = async (session: Session, flags: { output: string }): Promise<void> => {
  const format = parseFormat(flags.output, formats)
  const status = await session.client.status()
  if (format === 'json') session.print(toJson(status))
  else if (format === 'yaml') session.print((await import('../output/yaml')).toYaml(status))
  else session.print(statusText(status, session.context, Date.now()))
  const parked = status.projectors.reduce((sum, projector) => sum + (projector.parked ?? 0), 0)
  if (parked > 0) session.say(`events are parked; see: mcpctl admin parked list`)
  for (const { name, rebuild } of status.projectors)
    if (rebuild?.state === 'failed')
      session.say(`the rebuild of model ${name} has failed; try it again with: mcpctl admin rebuild ${name}`)
  const stuck = status.projectors.filter((projector) => projector.lastError !== undefined)
  if (stuck.length > 0)
    throw new CliError(
      exit.negative,
      `projector ${stuck.map(({ name }) => name).join(', ')} is stuck; see the log of mcpd`,
    )
}

export const define = (command: Command, open: OpenSession): void => {
  command
    .option('-o, --output <format>', formats.join('|'), 'text')
    .action(async (flags: { output: string }) => runStatus(open(command), flags))
}
