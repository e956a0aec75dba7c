import type { Command } from 'commander'
import { didYouMean } from '@mcpctl/contracts'
import type { ResourceObject } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { parseTimeout } from '../duration'
import { throwAll, usage } from '../errors'
import { parsePath, pathValue } from '../output/path'
import type { Path } from '../output/path'
import type { Session } from '../session'
import { selectorOf } from './flags'
import { parseSelection } from '../targets'
import type { Selection, Target } from '../targets'
import { findObject, lookAtCondition, lookingAt, met, unmet, waitUntil } from '../waiting'
import type { Look } from '../waiting'

export type Goal =
  | { type: 'condition'; condition: string; status: string }
  | { type: 'delete' }
  | { type: 'create' }
  | { type: 'jsonpath'; path: Path; text: string; value: string | undefined }

interface WaitFlags {
  for?: string
  selector?: string
  all?: boolean
  timeout: string
}

export interface WaitRequest {
  selection: Selection
  selector?: string
  goal: Goal
  timeoutMs: number
}

const unquoted = (text: string) => text.replace(/^(['"])(.*)\1$/, '$2')

/** `condition=X[=V]`, `delete`, `create` or `jsonpath={.a.b}[=V]`. Throws a usage error for anything else. */
export const parseGoal = (text: string): Goal => {
  if (text === 'delete' || text === 'create') return { type: text }
  const condition = /^condition=([^=]+)(?:=(.+))?$/i.exec(text)
  if (condition) return { type: 'condition', condition: condition[1] ?? '', status: condition[2] ?? 'True' }
  const jsonpath = /^jsonpath='?(\{[^}]*\})'?(?:=(.*))?$/s.exec(text)
  if (jsonpath) {
    const [, path = '', value] = jsonpath
    return {
      type: 'jsonpath',
      path: parsePath(path),
      text: path,
      value: value === undefined ? undefined : unquoted(value),
    }
  }
  const near = didYouMean(text.split('=')[0] ?? '', ['condition', 'delete', 'create', 'jsonpath'])
  throw usage(
    `unrecognized condition: "${text}"${near}`,
    'Write condition=Available, delete, create or jsonpath={.status.phase}=Running.',
  )
}

export const parseWait = (words: string[], flags: WaitFlags): WaitRequest => {
  if (flags.for === undefined)
    throw usage('required flag(s) "for" not set', 'For example: mcpctl wait server/github --for=condition=Available')
  const selection = parseSelection(words, 'wait')
  selectorOf(flags.selector, '-l')
  const bulk = flags.all === true || flags.selector !== undefined
  if (selection.targets && bulk) throw usage('name cannot be provided when --all or -l is specified')
  if (!selection.targets && !bulk) throw usage('no name was specified', 'Name the objects, or pass -l or --all.')
  return {
    selection,
    ...(flags.selector === undefined ? {} : { selector: flags.selector }),
    goal: parseGoal(flags.for),
    timeoutMs: parseTimeout(flags.timeout),
  }
}

const lookAt = (object: ResourceObject, goal: Exclude<Goal, { type: 'delete' }>): Look => {
  switch (goal.type) {
    case 'create':
      return met
    case 'condition':
      return lookAtCondition(object, goal.condition, goal.status)
    case 'jsonpath': {
      const value = pathValue(object, goal.path)
      const text = typeof value === 'string' ? value : JSON.stringify(value)
      if (value !== undefined && (goal.value === undefined || text === goal.value)) return met
      return unmet(`${goal.text} is ${value === undefined ? 'absent' : text}`)
    }
  }
}

const waitForOne = async (session: Session, target: Target, { goal, timeoutMs }: WaitRequest): Promise<void> => {
  let uid: string | undefined
  await waitUntil(target, timeoutMs, async () => {
    const object = await findObject(session.client, target)
    if (goal.type !== 'delete') return object ? lookingAt(object, lookAt(object, goal)) : unmet('it does not exist')
    // Another object of that name is not the one that we wait to see gone.
    uid ??= object?.metadata.uid
    return object && object.metadata.uid === uid ? lookingAt(object, unmet('it still exists')) : met
  })
  const verdict = { delete: 'deleted', create: 'created', condition: 'condition met', jsonpath: 'condition met' }
  session.print(`${target.kind.singular}/${target.name} ${verdict[goal.type]}\n`)
}

/** Waits also for the first object to appear, except when gone is what is asked for. */
const selectTargets = async (session: Session, request: WaitRequest): Promise<Target[]> => {
  const { selection, selector, goal, timeoutMs } = request
  if (selection.targets) return selection.targets
  const found: Target[] = []
  const [kind] = selection.kinds
  if (!kind) return found
  await waitUntil({ kind, name: selector ?? '*' }, timeoutMs, async () => {
    for (const one of selection.kinds) {
      const { items } = await session.client.list(one.plural, { labelSelector: selector })
      found.push(...items.map(({ metadata }) => ({ kind: one, name: metadata.name })))
    }
    return found.length > 0 || goal.type === 'delete' ? met : unmet('no resources found')
  })
  return found
}

export const runWait = async (session: Session, request: WaitRequest): Promise<void> => {
  const started = performance.now()
  const targets = await selectTargets(session, request)
  const timeoutMs = Math.max(0, request.timeoutMs - (performance.now() - started))
  const settled = await Promise.allSettled(
    targets.map((target) => waitForOne(session, target, { ...request, timeoutMs })),
  )
  throwAll(settled.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : [])))
}

export const define = (command: Command, open: OpenSession, run = runWait): void => {
  command
    .usage('TYPE/NAME… | TYPE -l LABELS --for=GOAL [flags]')
    .argument('[words...]')
    .option('--for <goal>', 'condition=X[=V] | delete | create | jsonpath={.a.b}[=V]')
    .option('-l, --selector <labels>', 'wait for the objects with these labels')
    .option('--all', 'wait for every object of the type')
    .option('--timeout <duration>', 'how long to wait; 0 looks once', '30s')
    .addHelpText(
      'after',
      `
Examples:
  mcpctl wait server/github --for=condition=Available --timeout=2m
  mcpctl wait server/github --for=jsonpath={.status.phase}=Running
  mcpctl wait servers -l team=core --for=delete`,
    )
    .action(async (words: string[], flags: WaitFlags) => run(open(command), parseWait(words, flags)))
}
