import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { Admin } from '@mcpctl/client'
import type { Finding, VerifyProgress, VerifyReport } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { CliError, exit, usage } from '../errors'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import { Progress } from '../output/progress'
import { formatTable } from '../output/table'
import type { Session } from '../session'
import { collect } from './flags'

const formats = ['text', 'json', 'yaml'] as const

interface VerifyFlags {
  output: string
  seal?: string[]
  sealKey?: string[]
}

export interface VerifyRequest {
  format: (typeof formats)[number]
  seals: string[]
  keys: string[]
}

const readLocal = (file: string, flag: string): string => {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw usage(`${flag}: ${(error as Error).message}`)
  }
}

export const parseVerify = ({ output, seal = [], sealKey = [] }: VerifyFlags): VerifyRequest => {
  const format = parseFormat(output, formats)
  if (seal.length > 0 && sealKey.length === 0)
    throw usage('a seal proves nothing without the public key of whoever signed it; name that with --seal-key')
  return {
    format,
    seals: seal.flatMap((file) => readLocal(file, '--seal').split(/\r?\n/).filter(Boolean)),
    keys: sealKey.map((file) => publicKeyIn(file)),
  }
}

/** Refused here already, so that a private key that was named by mistake goes nowhere. */
const publicKeyIn = (file: string): string => {
  const text = readLocal(file, '--seal-key')
  if (text.includes('PRIVATE')) throw usage(`--seal-key: ${file} holds a private key; name the public one`)
  return text
}

const progressText = ({ subject, position, to }: VerifyProgress): string =>
  `verifying ${subject === 'log' ? 'the log' : `model ${subject}`}: position ${position} of ${to}`

const summary = ({ log, models }: VerifyReport): string =>
  formatTable([
    ...(log ? logRows(log) : []),
    ...models.map(({ name, position }) => ['Model:', `${name}, equal to a fold from scratch at position ${position}`]),
  ])

const logRows = ({ events, head, hash, claims, anchored, seals }: NonNullable<VerifyReport['log']>): string[][] => [
  ['Events:', `${events}, all as they were appended`],
  ['Head:', `position ${head}, hash ${hash}`],
  ['Claims:', `${claims}, all as the events say`],
  ['Anchored:', anchored ? `yes, by ${String(seals)} seals` : 'no'],
]

const valueText = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value))

/** What is wrong, where, and what may be done about it. */
export const findingText = (finding: Finding): { message: string; hint: string } => {
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

export const runVerify = async (session: Session, { format, seals, keys }: VerifyRequest): Promise<void> => {
  const progress = new Progress(session.io, session.flags.quiet ?? false)
  const onProgress = (told: VerifyProgress) => progress.update(progressText(told))
  const report = await new Admin(session.client.http)
    .verify({ ...(keys.length > 0 && { keys, seals }), onProgress })
    .finally(() => progress.clear())
  if (format === 'json') session.print(toJson(report))
  else if (format === 'yaml') session.print((await import('../output/yaml')).toYaml(report))
  else if (report.ok) session.print(summary(report))
  if (!report.finding) return
  const { message, hint } = findingText(report.finding)
  throw new CliError(exit.negative, message, hint)
}

export const defineVerify = (command: Command, open: OpenSession, run = runVerify): void => {
  command
    .option('-o, --output <format>', formats.join('|'), 'text')
    .option('--seal <file>', 'seals that were kept outside of the database, a line each; repeatable', collect)
    .option('--seal-key <file>', 'public key (PEM) that seals are signed with; repeatable', collect)
    .addHelpText('after', '\nExits with 1 and the first difference when there is any.')
    .action(async (flags: VerifyFlags) => run(open(command), parseVerify(flags)))
}
