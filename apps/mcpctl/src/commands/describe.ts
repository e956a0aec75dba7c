import type { Command } from 'commander'
import type { Kind, ResourceObject } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { CliError, exit, throwAll, usage } from '../errors'
import { describeObject } from '../output/describe'
import type { Surroundings } from '../output/describe'
import type { Session } from '../session'
import { findTarget, parseSelection, requireKind } from '../targets'
import { accessSections, isOfAccess } from './describe-access'
import { secretSections } from './describe-secret'
import { numberOf, selectorOf } from './flags'
import type { Selection } from '../targets'

interface DescribeFlags {
  selector?: string
  showValues?: boolean
  atVersion?: string
}

export interface DescribeRequest {
  selection: Selection
  selector?: string
  /** Of secrets, the values of this version too, which is recorded; the current one unless told otherwise. */
  values?: { version?: number }
}

const valuesOf = ({ showValues, atVersion }: DescribeFlags, selection: Selection): DescribeRequest['values'] => {
  const version = numberOf(atVersion, '--at-version')
  if (version !== undefined && version < 1)
    throw usage(`invalid argument "${String(version)}" for --at-version: must be at least 1`)
  if (!showValues) {
    if (version !== undefined) throw usage('--at-version needs --show-values')
    return undefined
  }
  const other = (selection.targets?.map(({ kind }) => kind) ?? selection.kinds).find(
    ({ plural }) => plural !== 'secrets',
  )
  if (other) throw usage(`--show-values is for secrets; ${other.plural} have no hidden values`)
  return version === undefined ? {} : { version }
}

export const parseDescribe = (words: string[], flags: DescribeFlags): DescribeRequest => {
  const selection = parseSelection(words, 'describe')
  if (selection.targets && flags.selector !== undefined)
    throw usage('name cannot be provided when a selector is specified')
  selectorOf(flags.selector, '-l')
  const values = valuesOf(flags, selection)
  return {
    selection,
    ...(flags.selector === undefined ? {} : { selector: flags.selector }),
    ...(values && { values }),
  }
}

type Found = { kind: Kind; object: ResourceObject }

/** What stands around an object and is shown with it. */
const surroundingsOf = async (
  session: Session,
  { kind, object }: Found,
  { values }: DescribeRequest,
): Promise<Surroundings> => {
  if (isOfAccess(kind)) return { sections: await accessSections(session, kind, object) }
  if (kind.plural === 'secrets') {
    const revealed = values && (await session.client.reveal(object.metadata.name, values))
    return { sections: secretSections(object, revealed) }
  }
  if (kind.plural !== 'servers') return {}
  const fieldSelector = `spec.server=${object.metadata.name}`
  const { items } = await session.client.list('instances', { fieldSelector })
  return { instances: { kind: requireKind('instance'), objects: items } }
}

const fetchAll = async (session: Session, { selection, selector }: DescribeRequest): Promise<Found[]> => {
  const lists = await Promise.all(
    selection.kinds.map(async (kind) => {
      const { items } = await session.client.list(kind.plural, { labelSelector: selector })
      return items.map((object) => ({ kind, object }))
    }),
  )
  return lists.flat()
}

export const runDescribe = async (session: Session, request: DescribeRequest): Promise<void> => {
  const { targets } = request.selection
  const wanted = targets
    ? targets.map(async (target) => ({ kind: target.kind, object: await findTarget(session.client, target, true) }))
    : (await fetchAll(session, request)).map((found) => Promise.resolve(found))
  const settled = await Promise.allSettled(
    wanted.map(async (found) => {
      const { kind, object } = await found
      return describeObject(kind, object, await surroundingsOf(session, { kind, object }, request))
    }),
  )
  const texts = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  session.print(texts.join('\n\n'))
  throwAll(settled.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : [])))
  if (settled.length === 0) {
    session.io.err('No resources found\n')
    if (targets) throw new CliError(exit.notFound, 'nothing to describe')
  }
}

export const define = (command: Command, open: OpenSession, run = runDescribe): void => {
  command
    .usage('TYPE | TYPE NAME… | TYPE/NAME… [flags]')
    .argument('[words...]')
    .option('-l, --selector <labels>', 'only objects with these labels')
    .option('--show-values', 'of secrets, the values too: needs operation reveal, and is recorded')
    .option('--at-version <number>', 'with --show-values: those of this version')
    .addHelpText(
      'after',
      `
Examples:
  mcpctl describe server github
  mcpctl describe instances -l team=core
  mcpctl describe secret gh-token --show-values`,
    )
    .action(async (words: string[], flags: DescribeFlags) => run(open(command), parseDescribe(words, flags)))
}
