import type { Command } from 'commander'
import type { ResourceObject } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { parseTimeout } from '../duration'
import { CliError, exit, isReason, throwAll, usage } from '../errors'
import { showGlobal } from '../global-options'
import type { Session } from '../session'
import { findTarget, parseTargets } from '../targets'
import type { Target } from '../targets'
import { waitForRollout } from '../waiting'

interface ScaleFlags {
  replicas?: string
  currentReplicas?: string
  resourceVersion?: string
  timeout: string
}

export interface ScaleRequest {
  targets: Target[]
  replicas: number
  currentReplicas?: number
  resourceVersion?: string
  /** 0 does not wait. */
  timeoutMs: number
}

const parseCount = (text: string, flag: string): number => {
  if (!/^-?\d+$/.test(text)) throw usage(`invalid argument "${text}" for ${flag}: must be a whole number`)
  return Number(text)
}

export const parseScale = (words: string[], flags: ScaleFlags): ScaleRequest => {
  if (flags.replicas === undefined)
    throw usage('required flag(s) "replicas" not set', 'For example: mcpctl scale server/github --replicas 3')
  const targets = parseTargets(words, 'scale')
  const wrong = targets.find(({ kind }) => kind.plural !== 'servers')
  if (wrong) throw usage(`${wrong.kind.plural} cannot be scaled; servers can`)
  const { currentReplicas, resourceVersion } = flags
  return {
    targets,
    replicas: parseCount(flags.replicas, '--replicas'),
    ...(currentReplicas === undefined ? {} : { currentReplicas: parseCount(currentReplicas, '--current-replicas') }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    timeoutMs: parseTimeout(flags.timeout),
  }
}

const attempts = 3

const checkCurrent = (object: ResourceObject, wanted: number | undefined): void => {
  const { replicas } = object.spec
  if (wanted !== undefined && replicas !== wanted)
    throw new CliError(exit.conflict, `Expected replicas to be ${String(wanted)}, was ${String(replicas)}`)
}

/** With an expectation the write is bound to the version that was looked at, so nobody can slip in between. */
const scaleOne = async (session: Session, target: Target, request: ScaleRequest): Promise<string> => {
  for (let attempt = 1; ; attempt++) {
    const object = await findTarget(session.client, target, false)
    checkCurrent(object, request.currentReplicas)
    const seen = request.currentReplicas === undefined ? undefined : object.metadata.resourceVersion
    try {
      await session.client.scale(object.metadata.name, request.replicas, request.resourceVersion ?? seen)
      return object.metadata.name
    } catch (error) {
      const stale = isReason(error, 'PreconditionFailed') && request.resourceVersion === undefined
      if (!stale || attempt === attempts) throw error
    }
  }
}

export const runScale = async (session: Session, request: ScaleRequest): Promise<void> => {
  session.announceContext()
  const settled = await Promise.allSettled(
    request.targets.map(async (target) => {
      const name = await scaleOne(session, target, request)
      session.print(`${target.kind.singular}/${name} scaled\n`)
      if (request.timeoutMs > 0) await waitForRollout(session.client, { ...target, name }, request.timeoutMs)
    }),
  )
  throwAll(settled.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : [])))
}

export const define = (command: Command, open: OpenSession, run = runScale): void => {
  showGlobal(command, '--reason')
  command
    .usage('server/NAME… --replicas COUNT [flags]')
    .argument('[words...]')
    .option('--replicas <count>', 'how many copies shall run; 0 stops them all')
    .option('--current-replicas <count>', 'only if this is the count now')
    .option('--resource-version <version>', 'only if the spec has not changed since this version')
    .option('--timeout <duration>', 'how long to wait until it is done; 0 does not wait', '0')
    .addHelpText('after', '\nExample:\n  mcpctl scale server/github --replicas 3 --timeout 1m')
    .action(async (words: string[], flags: ScaleFlags) => run(open(command), parseScale(words, flags)))
}
