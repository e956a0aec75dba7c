import type { Command } from 'commander'
import { Admin } from '@mcpctl/client'
import type { KeysStatus } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { CliError, exit, usage } from '../errors'
import { showGlobal } from '../global-options'
import { age } from '../output/age'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import { Progress } from '../output/progress'
import { formatTable } from '../output/table'
import type { Session } from '../session'
import { askPatiently, pause, pollMs } from './away'
import { named } from './flags'

const formats = ['text', 'json', 'yaml'] as const
type Format = (typeof formats)[number]

interface ChangeRequest {
  dryRun: boolean
  wait: boolean
  /** Forget what wraps nothing any more. */
  retire: boolean
  format: Format
}

/** What is told in the end. */
interface Changed {
  from?: string
  to?: string
  /** Data keys that are left to be wrapped anew; those that cannot be opened stay. */
  stale: number
  rewrapped: number
  failed: number
  retired: string[]
}

const show = async (session: Session, value: object, format: Format, text: () => string): Promise<void> => {
  if (format === 'json') session.print(toJson(value))
  else if (format === 'yaml') session.print((await import('../output/yaml')).toYaml(value))
  else session.print(text())
}

const yesNo = (is: boolean) => (is ? 'yes' : 'no')

const rewrapText = ({ stale, rewrap }: KeysStatus): string => {
  if (rewrap?.running) return `going on, ${String(stale)} left${rewrap.lastError ? ` (${rewrap.lastError})` : ''}`
  if (stale === 0) return 'all data keys are under the current key'
  return `data keys that are not under the current key: ${String(stale)}; run: mcpctl admin keys rewrap`
}

const statusText = (status: KeysStatus, now: number): string => {
  const { state, message, place, keks } = status
  const head = formatTable([
    ['Keys:', message === undefined ? state : `${state}: ${message}`],
    ['File:', place],
    ['Rewrap:', rewrapText(status)],
  ])
  const rows = keks.map(({ id, createdAt, dataKeys, current, present }) => [
    id,
    age(createdAt, now),
    String(dataKeys),
    yesNo(current),
    yesNo(present),
  ])
  return `${head}\n${formatTable([['KEK', 'AGE', 'DATA-KEYS', 'CURRENT', 'PRESENT'], ...rows])}`
}

export const runKeysStatus = async (session: Session, output: string): Promise<void> => {
  const format = parseFormat(output, formats)
  const status = await new Admin(session.client.http).keys()
  await show(session, status, format, () => statusText(status, Date.now()))
  if (status.state !== 'ready')
    throw new CliError(exit.negative, `secrets can be neither opened nor sealed: ${status.state}`)
}

/** Waits until the daemon has wrapped what it can; one that knows nothing of it is asked again. */
const follow = async (session: Session, progress: Progress): Promise<KeysStatus> => {
  const ask = <T>(what: (admin: Admin) => Promise<T>) =>
    askPatiently(session, progress, 'wrapping data keys anew', () => what(new Admin(session.client.http)))
  for (;;) {
    const status = await ask((admin) => admin.keys())
    const { stale, rewrap } = status
    if (stale === 0) return status
    if (rewrap && !rewrap.running && rewrap.failed >= stale) return status
    const trouble = rewrap?.lastError === undefined ? '' : ` (${rewrap.lastError})`
    progress.update(`wrapping data keys anew: ${String(stale)} left${trouble}`)
    if (!rewrap?.running) await ask((admin) => admin.rewrapKeys())
    await pause(pollMs)
  }
}

const finish = async (session: Session): Promise<KeysStatus> => {
  const progress = new Progress(session.io, session.flags.quiet ?? false)
  const stay = session.io.onInterrupt(() => {
    progress.clear()
    session.say('data keys go on being wrapped anew; see how far it is with: mcpctl admin keys status')
  })
  try {
    return await follow(session, progress)
  } finally {
    progress.clear()
    stay()
  }
}

const keysText = (count: number) => (count === 1 ? '1 data key' : `${String(count)} data keys`)

const changedText = ({ from, to, rewrapped, retired }: Changed, { wait }: ChangeRequest): string => {
  const lines = [
    ...(to === undefined ? [] : [`key-encryption key rotated: ${to} in place of ${from ?? ''}`]),
    wait ? `${keysText(rewrapped)} wrapped anew` : 'data keys are being wrapped anew',
    ...retired.map((id) => `key-encryption key ${id} retired`),
  ]
  return `${lines.join('\n')}\n`
}

const refuseLeft = ({ rewrap }: KeysStatus, failed: number): void => {
  if (failed === 0) return
  const names = rewrap?.failing.join(', ') ?? ''
  throw new CliError(
    exit.negative,
    `${keysText(failed)} cannot be opened: ${names}`,
    'put the key-encryption key that wraps them back into the key file, or give those secrets new values',
  )
}

const sayKept = (session: Session, { keks }: KeysStatus, { retire }: ChangeRequest): void => {
  if (!retire && keks.length > 1)
    session.say('older keys stay in the key file; forget what wraps nothing with: mcpctl admin keys rewrap --retire')
}

/** Waits for the end of what was begun, where that is wanted, and tells it. */
const complete = async (
  session: Session,
  request: ChangeRequest,
  begun: { from?: string; to?: string; stale: number },
): Promise<void> => {
  if (!request.wait) {
    const changed: Changed = { ...begun, rewrapped: 0, failed: 0, retired: [] }
    return show(session, changed, request.format, () => changedText(changed, request))
  }
  const status = await finish(session)
  const { retired } = request.retire ? await new Admin(session.client.http).retireKeys() : { retired: [] }
  const rewrapped = Math.max(begun.stale - status.stale, 0)
  const changed: Changed = { ...begun, stale: status.stale, rewrapped, failed: status.stale, retired }
  await show(session, changed, request.format, () => changedText(changed, request))
  sayKept(session, status, request)
  refuseLeft(status, status.stale)
}

const dryText = (text: string) => `${text} (dry run)\n`

export const runRotate = async (session: Session, request: ChangeRequest): Promise<void> => {
  const admin = new Admin(session.client.http)
  if (request.dryRun) {
    const would = await admin.rotateKeys({ dryRun: true })
    const text = `key-encryption key ${would.from} would be replaced, and ${keysText(would.stale)} wrapped anew`
    return show(session, would, request.format, () => dryText(text))
  }
  session.announceContext()
  return complete(session, request, await admin.rotateKeys())
}

export const runRewrap = async (session: Session, request: ChangeRequest): Promise<void> => {
  const admin = new Admin(session.client.http)
  if (request.dryRun) {
    const [would, { retired }] = [
      await admin.rewrapKeys({ dryRun: true }),
      request.retire ? await admin.retireKeys({ dryRun: true }) : { retired: [] },
    ]
    const text = [
      `${keysText(would.stale)} would be wrapped anew`,
      ...retired.map((id) => `key-encryption key ${id} would be retired`),
    ]
    return show(session, { ...would, retired }, request.format, () => dryText(text.join('\n')))
  }
  session.announceContext()
  return complete(session, request, await admin.rewrapKeys())
}

const defineChange = (
  command: Command,
  open: OpenSession,
  run: (session: Session, request: ChangeRequest) => Promise<void>,
): void => {
  showGlobal(command, '--reason')
  command
    .usage('[flags]')
    .option('--dry-run <mode>', 'client, server: only say what would be done', 'none')
    .option('--no-wait', 'do not wait for the end; mcpctl admin keys status tells how far it is')
    .option('--retire', 'then forget older keys that wrap nothing; backups of before need them from elsewhere')
    .option('-o, --output <format>', formats.join('|'), 'text')
    .action(async (flags: { dryRun: string; wait: boolean; retire?: boolean; output: string }) => {
      if (!['none', 'client', 'server'].includes(flags.dryRun))
        throw usage(`invalid dry-run value "${flags.dryRun}": must be "none", "client" or "server"`)
      if (flags.retire && !flags.wait) throw usage('--retire needs the end, which --no-wait does not wait for')
      const { wait, retire = false, output } = flags
      return run(open(command), { dryRun: flags.dryRun !== 'none', wait, retire, format: parseFormat(output, formats) })
    })
}

export const defineKeys = (command: Command, open: OpenSession): void => {
  command.usage('status | rotate | rewrap')
  const status = named(command, 'status', 'Tell which key-encryption keys there are, and how much each wraps')
  status
    .usage('[flags]')
    .option('-o, --output <format>', formats.join('|'), 'text')
    .action(async (flags: { output: string }) => runKeysStatus(open(status), flags.output))
  const rotate = named(command, 'rotate', 'Make a new key-encryption key, and wrap data keys anew with it')
  rotate.addHelpText(
    'after',
    '\nValues of secrets stay as they are, and are read and written all the while. Who has had a value keeps it: give secrets that somebody has seen new values.',
  )
  defineChange(rotate, open, runRotate)
  const rewrap = named(command, 'rewrap', 'Wrap data keys anew that are not under the current key')
  rewrap.addHelpText(
    'after',
    '\nIt goes on where it was ended, and may be begun again at any time. Ctrl-C does not stop it.',
  )
  defineChange(rewrap, open, runRewrap)
}
