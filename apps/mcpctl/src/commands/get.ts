import type { Command } from 'commander'
import type { Kind, ResourceObject } from '@mcpctl/contracts'
import { CliError, exit, isReason, throwAll, usage } from '../errors'
import type { OpenSession } from '../command-file'
import { toBundle, toJson } from '../output/bundle'
import type { Found } from '../output/bundle'
import { parseFormat } from '../output/format'
import { printTables } from '../output/objects'
import type { TableStyle } from '../output/objects'
import type { Session } from '../session'
import { findTarget, parseSelection } from '../targets'
import type { Selection } from '../targets'
import { selectorOf } from './flags'
import { requireOne, runWatch } from './get-watch'
import type { WatchRequest } from './get-watch'

const formats = ['table', 'wide', 'yaml', 'json', 'name'] as const

interface GetFlags {
  output: string
  selector?: string
  fieldSelector?: string
  headers: boolean
  ignoreNotFound?: boolean
  showLabels?: boolean
  labelColumns?: string[]
  full?: boolean
  failEmpty?: boolean
  watch?: boolean
  watchOnly?: boolean
  outputWatchEvents?: boolean
}

export interface GetRequest {
  selection: Selection
  /** `get all`: what cannot be applied stays out of clean output. */
  everything: boolean
  format: (typeof formats)[number]
  flags: GetFlags
}

/** Turns words and flags into a request, or refuses them. */
export const parseGet = (words: string[], flags: GetFlags): GetRequest => {
  const selection = parseSelection(words, 'get')
  if (selection.targets && (flags.selector ?? flags.fieldSelector) !== undefined)
    throw usage('name cannot be provided when a selector is specified')
  selectorOf(flags.selector, '-l')
  selectorOf(flags.fieldSelector, '--field-selector')
  const isWatch = flags.watch || flags.watchOnly
  if (flags.outputWatchEvents && !isWatch)
    throw usage('--output-watch-events option can only be used with --watch or --watch-only')
  if (isWatch)
    requireOne(
      selection.kinds,
      selection.targets?.map(({ name }) => name),
    )
  return { selection, everything: words[0] === 'all', format: parseFormat(flags.output, formats), flags }
}

interface Answer {
  found: Found[]
  errors: unknown[]
}

const fetchKinds = async (session: Session, { selection, flags, everything }: GetRequest): Promise<Answer> => {
  const query = { labelSelector: flags.selector, fieldSelector: flags.fieldSelector }
  const lists = await Promise.allSettled(selection.kinds.map((kind) => session.client.list(kind.plural, query)))
  const failed = lists.flatMap((list): unknown[] => (list.status === 'rejected' ? [list.reason] : []))
  // All that one may see is all there is, for who asked for everything.
  const isPartial = everything && failed.length < lists.length
  const errors = failed.filter((error) => !isPartial || !isReason(error, 'Forbidden'))
  if (errors.length > 0) throw errors[0]
  const found = selection.kinds.flatMap((kind, index) => {
    const list = lists[index]
    return list?.status === 'fulfilled' ? [{ kind, objects: list.value.items }] : []
  })
  return { found, errors: [] }
}

const fetchTargets = async (session: Session, { selection, flags }: GetRequest): Promise<Answer> => {
  const targets = selection.targets ?? []
  const settled = await Promise.allSettled(targets.map((target) => findTarget(session.client, target, true)))
  const errors: unknown[] = []
  const objects = new Map<Kind, Map<string, ResourceObject>>(selection.kinds.map((kind) => [kind, new Map()]))
  settled.forEach((result, index) => {
    const kind = targets[index]?.kind
    if (result.status === 'fulfilled') {
      if (kind) objects.get(kind)?.set(result.value.metadata.uid, result.value)
    } else if (!(flags.ignoreNotFound && isReason(result.reason, 'NotFound'))) errors.push(result.reason)
  })
  return { found: [...objects].map(([kind, byUid]) => ({ kind, objects: [...byUid.values()] })), errors }
}

const styleOf = ({ format, flags, selection }: GetRequest): TableStyle => ({
  wide: format === 'wide',
  headers: flags.headers,
  showLabels: flags.showLabels ?? false,
  labelColumns: flags.labelColumns ?? [],
  showKind: selection.kinds.length > 1,
})

const watchOf = (request: GetRequest): WatchRequest => {
  const { format, flags, selection } = request
  return {
    kind: requireOne(selection.kinds),
    name: selection.targets?.[0]?.name,
    labelSelector: flags.selector,
    fieldSelector: flags.fieldSelector,
    changesOnly: flags.watchOnly ?? false,
    ignoreNotFound: flags.ignoreNotFound ?? false,
    style: { ...styleOf(request), format, events: flags.outputWatchEvents ?? false, full: flags.full ?? false },
  }
}

const print = async (session: Session, request: GetRequest, found: Found[]): Promise<void> => {
  const { format, flags, everything } = request
  const clean = found.filter(({ kind }) => !everything || flags.full || kind.applyOrder !== undefined)
  switch (format) {
    case 'json':
      session.print(toJson(toBundle(clean, flags.full ?? false)))
      return
    case 'yaml': {
      const { toYaml } = await import('../output/yaml')
      session.print(toYaml(toBundle(clean, flags.full ?? false)))
      return
    }
    case 'name':
      for (const { kind, objects } of found)
        for (const { metadata } of objects) session.print(`${kind.singular}/${metadata.name}\n`)
      return
    case 'table':
    case 'wide':
      printTables(session.io, found, styleOf(request))
  }
}

/** Prints what was asked for, and with `--watch` what becomes of it. An empty list is no failure unless `--fail-empty` says so. */
export const runGet = (session: Session, request: GetRequest): Promise<void> =>
  request.flags.watch || request.flags.watchOnly ? runWatch(session, watchOf(request)) : printOnce(session, request)

const printOnce = async (session: Session, request: GetRequest): Promise<void> => {
  const { found, errors } = await (request.selection.targets ? fetchTargets : fetchKinds)(session, request)
  const isEmpty = found.every(({ objects }) => objects.length === 0)
  const isTable = request.format === 'table' || request.format === 'wide'
  if (!isEmpty || (!isTable && errors.length === 0)) await print(session, request, found)
  else if (!request.selection.targets && !request.flags.failEmpty) session.io.err('No resources found\n')
  throwAll(errors)
  if (isEmpty && request.flags.failEmpty) throw new CliError(exit.negative, 'no resources found')
}

const collect = (value: string, before: string[] | undefined) => [...(before ?? []), ...value.split(',')]

export const define = (command: Command, open: OpenSession, run = runGet): void => {
  command
    .usage('TYPE[,TYPE] [NAME…] | TYPE/NAME… [flags]')
    .argument('[words...]')
    .option('-o, --output <format>', formats.join('|'), 'table')
    .option('-l, --selector <labels>', 'only objects with these labels, for example team=core,tier!=test')
    .option('--field-selector <fields>', 'only objects with these fields, for example spec.server=github')
    .option('--no-headers', 'print no header line')
    .option('--ignore-not-found', 'a name that does not exist is no failure')
    .option('--show-labels', 'add a column with all labels')
    .option('-L, --label-columns <keys>', 'add a column per label key', collect)
    .option('--full', 'with yaml and json: the whole object, server-owned fields too')
    .option('-w, --watch', 'go on: print each object again when something happens to it')
    .option('--watch-only', 'print what happens, and nothing of what is there already')
    .option('--output-watch-events', 'with --watch or --watch-only: say what happened')
    .option('--fail-empty', 'exit 1 when nothing was found')
    .addHelpText(
      'after',
      `
Examples:
  mcpctl get servers
  mcpctl get server github -o yaml
  mcpctl get servers,instances -l team=core
  mcpctl get servers -w --output-watch-events
  mcpctl get all`,
    )
    .action(async (words: string[], flags: GetFlags) => run(open(command), parseGet(words, flags)))
}
