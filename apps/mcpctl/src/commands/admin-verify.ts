import type { Command } from 'commander'
import { Admin, ApiError, ConnectionError } from '@mcpctl/client'
import type { VerifyProgress, VerifyReport } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { CliError, exit, usage } from '../errors'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import { Progress } from '../output/progress'
import { formatTable } from '../output/table'
import type { Session } from '../session'
import { collect } from './flags'
import { keysIn, sealsIn, type Told } from './seal-files'

const formats = ['text', 'json', 'yaml'] as const

interface VerifyFlags {
  output: string
  seal?: string[]
  sealKey?: string[]
}

export interface VerifyRequest {
  format: (typeof formats)[number]
  seals: Told[]
  keys: Told[]
}

export const parseVerify = async ({ output, seal = [], sealKey = [] }: VerifyFlags): Promise<VerifyRequest> => {
  const format = parseFormat(output, formats)
  if (seal.length > 0 && sealKey.length === 0)
    throw usage('a seal proves nothing without the public key of whoever signed it; name that with --seal-key')
  return { format, seals: sealsIn(seal), keys: sealKey.length > 0 ? await keysIn(sealKey) : [] }
}

const progressText = ({ subject, position, to }: VerifyProgress): string =>
  `verifying ${subject === 'log' ? 'the log' : `model ${subject}`}: position ${position} of ${to}`

const summary = ({ log, models }: VerifyReport): string =>
  formatTable([
    ...(log ? logRows(log) : []),
    ...models.map(({ name, position }) => [
      'Model:',
      `${name}, equal to a fold from scratch at position ${position}${lagText(position, log?.head)}`,
    ]),
  ])

/** Events go on coming while models are compared. */
const lagText = (position: string, head: string | undefined): string => {
  const behind = BigInt(head ?? position) - BigInt(position)
  if (behind <= 0n) return ''
  return `; ${behind === 1n ? 'the event' : `the ${String(behind)} events`} after it had not reached the model yet`
}

const logRows = ({ events, head, hash, claims, anchored, seals }: NonNullable<VerifyReport['log']>): string[][] => [
  ['Events:', `${events}, all as they were appended`],
  ['Head:', `position ${head}, hash ${hash}`],
  ['Claims:', `${claims}, all as the events say`],
  ['Anchored:', anchored ? `yes, by ${String(seals)} seals` : 'no'],
]

const valueText = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value))

/** What is wrong, where, and what may be done about it. */
export const findingText = (finding: NonNullable<VerifyReport['finding']>): { message: string; hint: string } => {
  if (finding.in === 'log')
    return {
      message: `the log is broken at position ${finding.position} (${finding.problem}): ${finding.message}`,
      hint: 'Somebody has changed the database by hand, or it is damaged; compare it with a backup.',
    }
  const { model, comparedAt, subject, position, path, stored, expected } = finding
  const what = Object.entries(subject).map(([key, value]) => `${key} ${value}`)
  const where = [...what, ...(position === undefined ? [] : [`since position ${position}`]), ...(path ? [path] : [])]
  return {
    message: `model ${model} differs from the log at position ${comparedAt}: ${where.join(', ')}: stored ${valueText(stored)}, expected ${valueText(expected)}`,
    hint: `rebuild it with: mcpctl admin rebuild ${model}`,
  }
}

/** A refusal that names one of the seals or keys, in words of the files that they come from. */
const inFiles = (error: ApiError, { seals, keys }: VerifyRequest): Error => {
  const [wrong] = error.problem.errors ?? []
  const [, list = '', index] = /^\/(seals|keys)\/(\d+)$/.exec(wrong?.pointer ?? '') ?? []
  const told = (list === 'seals' ? seals : keys)[Number(index)]
  return wrong && told ? usage(`${told.from}: ${wrong.message}`) : error
}

const brokenOff = (error: ConnectionError, session: Session, last: VerifyProgress | undefined): Error => {
  const isLate = error.code === 'TIMEOUT'
  if (!isLate && !last) return error
  const why = isLate ? error.message : `the connection to ${error.address} was lost`
  const reached = last ? `; it was ${progressText(last)}` : ''
  const hint =
    isLate && session.askedTimeoutMs !== undefined
      ? 'give it longer with --request-timeout; without it there is no limit'
      : 'run: mcpctl status'
  return new CliError(
    isLate ? exit.timeout : exit.unavailable,
    `the verification was broken off: ${why}${reached}`,
    hint,
  )
}

export const runVerify = async (session: Session, request: VerifyRequest): Promise<void> => {
  const { format } = request
  const report = await ask(session, request)
  if (format === 'json') session.print(toJson(report))
  else if (format === 'yaml') session.print((await import('../output/yaml')).toYaml(report))
  else if (report.ok) session.print(summary(report))
  if (!report.finding) return
  const { message, hint } = findingText(report.finding)
  throw new CliError(exit.negative, message, hint)
}

const ask = async (session: Session, request: VerifyRequest): Promise<VerifyReport> => {
  const { seals, keys } = request
  const progress = new Progress(session.io, session.flags.quiet ?? false)
  let last: VerifyProgress | undefined
  const onProgress = (told: VerifyProgress) => {
    last = told
    progress.update(progressText(told))
  }
  const texts = (list: Told[]) => list.map(({ text }) => text)
  try {
    return await new Admin(session.client.http).verify({
      ...(keys.length > 0 && { keys: texts(keys), seals: texts(seals) }),
      onProgress,
      timeoutMs: session.askedTimeoutMs,
    })
  } catch (error) {
    if (error instanceof ApiError) throw inFiles(error, request)
    throw error instanceof ConnectionError ? brokenOff(error, session, last) : error
  } finally {
    progress.clear()
  }
}

export const defineVerify = (command: Command, open: OpenSession, run = runVerify): void => {
  command
    .usage('[flags]')
    .option('-o, --output <format>', formats.join('|'), 'text')
    .option('--seal <file>', 'seals that were kept outside of the database, a line each; repeatable', collect)
    .option('--seal-key <file>', 'public key (PEM) that seals are signed with; repeatable', collect)
    .addHelpText(
      'after',
      '\nExits with 1 and the first difference when there is any. Without --request-timeout it takes its time.',
    )
    .action(async (flags: VerifyFlags) => run(open(command), await parseVerify(flags)))
}
