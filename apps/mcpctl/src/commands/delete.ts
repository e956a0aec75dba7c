import { Authz } from '@mcpctl/client'
import type { Command } from 'commander'
import { uidPattern } from '@mcpctl/contracts'
import type { Kind } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { parseTimeout } from '../duration'
import { CliError, exit, isReason, throwAll, usage } from '../errors'
import { showGlobal } from '../global-options'
import { readSources } from '../manifest/files'
import { parseManifests } from '../manifest/parse'
import { parseFormat } from '../output/format'
import type { Session } from '../session'
import { collect, selectorOf } from './flags'
import { findTarget, parseSelection } from '../targets'
import type { Selection, Target } from '../targets'
import { waitUntilGone } from '../waiting'

const formats = ['text', 'name'] as const

interface DeleteFlags {
  filename?: string[]
  recursive?: boolean
  selector?: string
  all?: boolean
  wait: string | boolean
  timeout: string
  ignoreNotFound?: boolean
  force?: boolean
  dryRun: string
  output: string
}

export interface DeleteRequest {
  /** What the words name; undefined when manifests do. */
  selection?: Selection
  files: string[]
  recursive: boolean
  selector?: string
  wait: boolean
  timeoutMs: number
  ignoreNotFound: boolean
  /** Also what others use. */
  force: boolean
  dryRun: boolean
  format: (typeof formats)[number]
}

const refuseFileWithMore = (words: string[], flags: DeleteFlags): void => {
  if (flags.filename && words.length > 0) throw usage('name the objects either in words or with -f, not both')
  if (flags.filename && (flags.all ?? flags.selector) !== undefined)
    throw usage('-f cannot be combined with --all or -l')
}

const refuseNonsense = (words: string[], flags: DeleteFlags): void => {
  refuseFileWithMore(words, flags)
  if (flags.all && flags.selector !== undefined) throw usage('setting --all and -l at the same time is not allowed')
  if (!['none', 'client'].includes(flags.dryRun))
    throw usage(`invalid dry-run value "${flags.dryRun}": must be "none" or "client"`)
  if (!flags.filename && words.length === 0)
    throw usage(
      'must provide one or more resources by argument or filename',
      'For example: mcpctl delete server github',
    )
}

/** What is used by others can be deleted all the same; nothing else keeps an object from being deleted. */
const isHeldByUse = ({ plural }: Kind): boolean => plural === 'secrets'

const refuseForceOf = ({ kinds, targets }: Selection): void => {
  const named = targets?.map(({ kind }) => kind) ?? kinds
  if (named.some(isHeldByUse)) return
  throw usage(`--force means nothing for ${named[0]?.plural ?? 'these'}: it deletes secrets that servers use`)
}

const selectionOf = (words: string[], flags: DeleteFlags): Selection => {
  const selection = parseSelection(words, 'delete')
  selectorOf(flags.selector, '-l')
  const bulk = flags.all === true || flags.selector !== undefined
  if (selection.targets && bulk) throw usage('name cannot be provided when --all or -l is specified')
  if (flags.force) refuseForceOf(selection)
  if (!selection.targets && !bulk)
    throw usage('resource(s) were provided, but no name was specified', 'Name the objects, or pass -l or --all.')
  return selection
}

export const parseDelete = (words: string[], flags: DeleteFlags): DeleteRequest => {
  refuseNonsense(words, flags)
  return {
    ...(flags.filename ? {} : { selection: selectionOf(words, flags) }),
    files: flags.filename ?? [],
    recursive: flags.recursive ?? false,
    ...(flags.selector === undefined ? {} : { selector: flags.selector }),
    wait: String(flags.wait) !== 'false',
    timeoutMs: parseTimeout(flags.timeout),
    ignoreNotFound: flags.ignoreNotFound ?? false,
    force: flags.force ?? false,
    dryRun: flags.dryRun === 'client',
    format: parseFormat(flags.output, formats),
  }
}

/** Whoever may delete some of them would delete less than he asks for, or more than he thinks. */
const refuseSome = async (session: Session, plural: string): Promise<void> => {
  const { allowed } = await new Authz(session.client.http).canI({ role: 'delete', kind: plural })
  if (allowed) return
  const text = `${plural} is forbidden: deleting without naming each needs role delete on all ${plural}`
  throw new CliError(exit.forbidden, text, `see: mcpctl auth can-i delete ${plural} --explain`)
}

const listTargets = async (session: Session, { kinds }: Selection, selector?: string): Promise<Target[]> => {
  const deletable = kinds.filter(({ verbs, applyOrder }) =>
    // `delete all` means what people made; the daemon would only make instances again.
    kinds.length === 1 ? verbs.includes('delete') : applyOrder !== undefined,
  )
  for (const { plural } of deletable) await refuseSome(session, plural)
  const lists = await Promise.all(
    deletable.map((kind) => session.client.list(kind.plural, { labelSelector: selector })),
  )
  return deletable.flatMap((kind, index) =>
    (lists[index]?.items ?? []).map(({ metadata }) => ({ kind, name: metadata.name })),
  )
}

/** What depends on others goes first: a project before its servers. */
const targetsOf = async (session: Session, request: DeleteRequest): Promise<Target[]> => {
  const { selection, files, recursive, selector } = request
  if (selection?.targets) return selection.targets
  const found = selection
    ? await listTargets(session, selection, selector)
    : parseManifests(await readSources(session.io, files, recursive)).map(({ kind, entry }) => ({
        kind,
        name: entry.name,
      }))
  return found.toSorted((a, b) => (b.kind.applyOrder ?? 0) - (a.kind.applyOrder ?? 0))
}

interface Started {
  target: Target
  /** The object that goes; undefined when it is gone already. */
  uid: string | undefined
}

/** By name without looking first: whoever may delete an object need not see it. By uid only when it is whole: a prefix is too easily wrong. */
const remove = async (session: Session, { kind, name }: Target, force: boolean): Promise<Started> => {
  try {
    const { status, body } = await session.client.delete(kind.plural, name, { force: force && isHeldByUse(kind) })
    return { target: { kind, name }, uid: status === 202 ? body.metadata.uid : undefined }
  } catch (error) {
    if (!isReason(error, 'NotFound') || !uidPattern.test(name)) throw error
    const { metadata } = await findTarget(session.client, { kind, name }, false)
    return remove(session, { kind, name: metadata.name }, force)
  }
}

const startOne = async (session: Session, target: Target, request: DeleteRequest): Promise<Started | undefined> => {
  try {
    if (!request.dryRun) return await remove(session, target, request.force)
    const { metadata } = await findTarget(session.client, target, false)
    return { target: { kind: target.kind, name: metadata.name }, uid: undefined }
  } catch (error) {
    if (request.ignoreNotFound && isReason(error, 'NotFound')) return undefined
    throw error
  }
}

const finishOne = async (session: Session, { target, uid }: Started, request: DeleteRequest): Promise<void> => {
  const { kind, name } = target
  try {
    if (request.wait && uid !== undefined) await waitUntilGone(session.client, target, uid, request.timeoutMs)
  } catch (error) {
    // Whoever may delete an object need not see it.
    if (!isReason(error, 'Forbidden')) throw error
    session.warn(`you may not see whether ${kind.singular} "${name}" is gone yet`)
  }
  const text = `${kind.singular} "${name}" deleted${request.dryRun ? ' (dry run)' : ''}\n`
  session.print(request.format === 'name' ? `${kind.singular}/${name}\n` : text)
}

/** Runs of objects of one kind: a secret waits until the servers before it are gone, as it cannot go while they use it. */
const inTurn = (targets: readonly Target[]): Target[][] => {
  const runs: Target[][] = []
  for (const target of targets) {
    const last = runs.at(-1)
    if (last?.[0]?.kind === target.kind) last.push(target)
    else runs.push([target])
  }
  return runs
}

/** Answers what went wrong. */
const deleteTogether = async (
  session: Session,
  targets: readonly Target[],
  request: DeleteRequest,
): Promise<unknown[]> => {
  const started: Started[] = []
  const errors: unknown[] = []
  for (const target of targets) {
    try {
      const one = await startOne(session, target, request)
      if (one) started.push(one)
    } catch (error) {
      errors.push(error)
    }
  }
  const finished = await Promise.allSettled(started.map((one) => finishOne(session, one, request)))
  return [...errors, ...finished.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))]
}

/** Deletes what was named, those of one kind at once, and says so of each when it is really gone. */
export const runDelete = async (session: Session, request: DeleteRequest): Promise<void> => {
  const targets = await targetsOf(session, request)
  if (targets.length === 0) {
    session.io.err('No resources found\n')
    return
  }
  const names = targets.map(({ kind, name }) => `${kind.singular}/${name}`)
  if (!request.dryRun) {
    const isBulk = names.length > 1 || (request.selection !== undefined && !request.selection.targets)
    await session.confirm(names, 'delete', isBulk)
    session.announceContext()
  }
  const errors: unknown[] = []
  for (const together of inTurn(targets)) errors.push(...(await deleteTogether(session, together, request)))
  throwAll(errors)
}

export const define = (command: Command, open: OpenSession, run = runDelete): void => {
  // Every command takes them, and here they are what scripts need.
  showGlobal(command, '--yes', '--reason')
  command
    .usage('TYPE NAME… | TYPE/NAME… | TYPE -l LABELS | TYPE --all | -f FILE [flags]')
    .argument('[words...]')
    .option('-f, --filename <path>', 'delete what this manifest names; may be repeated', collect)
    .option('-R, --recursive', 'read directories below a directory too')
    .option('-l, --selector <labels>', 'delete the objects with these labels')
    .option('--all', 'delete every object of the type')
    .option('--wait <true|false>', 'wait until the objects are really gone', 'true')
    .option('--timeout <duration>', 'how long the wait may take', '2m')
    .option('--ignore-not-found', 'a name that does not exist is no failure')
    .option('--force', 'also secrets that servers use: their next copies wait until the secret is there again')
    .option('--dry-run <mode>', 'client: only say what would be deleted', 'none')
    .option('-o, --output <format>', formats.join('|'), 'text')
    .addHelpText(
      'after',
      `
Examples:
  mcpctl delete server github
  mcpctl delete servers -l team=core --yes
  mcpctl delete secret gh-token --force
  mcpctl delete -f team.yaml`,
    )
    .action(async (words: string[], flags: DeleteFlags) => run(open(command), parseDelete(words, flags)))
}
