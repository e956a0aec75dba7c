import type { Command } from 'commander'
import { ApiError } from '@mcpctl/client'
import type { ApplyAnswer, ApplyResult } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { parseTimeout } from '../duration'
import { isReason, ManifestRefused, throwAll, usage } from '../errors'
import { showGlobal } from '../global-options'
import { checkFields } from '../manifest/fields'
import { readSources } from '../manifest/files'
import { parseManifests, toManifest } from '../manifest/parse'
import type { ManifestObject } from '../manifest/parse'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import type { Session } from '../session'
import { collect } from './flags'
import { waitForRollout } from '../waiting'

const formats = ['text', 'name', 'json'] as const
const dryRuns = ['none', 'client', 'server'] as const

interface ApplyFlags {
  filename?: string[]
  recursive?: boolean
  dryRun: string
  wait?: boolean
  timeout: string
  output: string
}

export interface ApplyRequest {
  files: string[]
  recursive: boolean
  dryRun: (typeof dryRuns)[number]
  wait: boolean
  timeoutMs: number
  format: (typeof formats)[number]
}

/** The daemon takes this many objects at once. */
const chunkSize = 500

export const parseApply = (words: string[], flags: ApplyFlags): ApplyRequest => {
  if (words.length > 0) throw usage(`unexpected word "${words.join(' ')}"; files are named with -f`)
  if (!flags.filename) throw usage('must specify one of -f', 'For example: mcpctl apply -f examples/quickstart.yaml')
  const dryRun = dryRuns.find((mode) => mode === flags.dryRun)
  if (!dryRun) throw usage(`invalid dry-run value "${flags.dryRun}": must be "none", "server" or "client"`)
  return {
    files: flags.filename,
    recursive: flags.recursive ?? false,
    dryRun,
    wait: flags.wait ?? false,
    timeoutMs: parseTimeout(flags.timeout),
    format: parseFormat(flags.output, formats),
  }
}

const send = async (session: Session, objects: readonly ManifestObject[], dryRun: boolean): Promise<ApplyAnswer> => {
  const { manifest, find, locate } = toManifest(objects)
  try {
    return await session.client.apply(manifest, { dryRun })
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    throw new ManifestRefused(error, locate, 2, (pointer) => {
      const object = find(pointer)
      return object && { kind: object.kind.name, name: object.entry.name }
    })
  }
}

const isBeingDeleted = (error: unknown) =>
  error instanceof ManifestRefused &&
  isReason(error.refusal, 'Conflict') &&
  error.refusal.problem.detail.includes('being deleted')

/** A name that is still being deleted is free in a moment; `--wait` is ready to wait for it. */
const sendPatiently = async (
  session: Session,
  objects: readonly ManifestObject[],
  { wait, dryRun }: ApplyRequest,
  deadline: number,
): Promise<ApplyAnswer> => {
  for (;;) {
    try {
      return await send(session, objects, dryRun === 'server')
    } catch (error) {
      if (!wait || !isBeingDeleted(error) || performance.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
  }
}

const suffixes = { none: '', client: ' (dry run)', server: ' (server dry run)' }

const printResult = (session: Session, request: ApplyRequest, singular: string, result: ApplyResult): void => {
  const name = `${singular}/${result.name}`
  if (request.format === 'text') session.print(`${name} ${result.outcome}${suffixes[request.dryRun]}\n`)
  if (request.format === 'name') session.print(`${name}\n`)
}

/** Whose rights would change by what was only tried. */
const printAccess = (session: Session, request: ApplyRequest, { access = [] }: ApplyAnswer): void => {
  if (request.format !== 'text') return
  const suffix = suffixes[request.dryRun]
  for (const { user, gained, lost } of access) {
    session.print(gained.map((entry) => `user/${user} gains ${entry}${suffix}\n`).join(''))
    session.print(lost.map((entry) => `user/${user} loses ${entry}${suffix}\n`).join(''))
  }
}

const singularOf = (objects: readonly ManifestObject[], plural: string) =>
  objects.find(({ kind }) => kind.plural === plural)?.kind.singular ?? plural

const applyLocally = (session: Session, request: ApplyRequest, objects: readonly ManifestObject[]): void => {
  checkFields(objects)
  for (const { kind, entry } of objects) {
    const name = `${kind.singular}/${entry.name}`
    session.print(request.format === 'name' ? `${name}\n` : `${name} valid${suffixes.client}\n`)
  }
}

const waitForServers = async (
  session: Session,
  objects: readonly ManifestObject[],
  deadline: number,
): Promise<void> => {
  const servers = objects.filter(({ kind }) => kind.plural === 'servers')
  for (const { entry } of servers) session.say(`waiting for server/${entry.name} …`)
  const settled = await Promise.allSettled(
    servers.map(({ kind, entry }) =>
      waitForRollout(session.client, { kind, name: entry.name }, Math.max(0, deadline - performance.now())),
    ),
  )
  throwAll(settled.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : [])))
}

const chunksOf = <T>(all: readonly T[]): T[][] =>
  Array.from({ length: Math.ceil(all.length / chunkSize) }, (_, n) => all.slice(n * chunkSize, (n + 1) * chunkSize))

const together = (answers: readonly ApplyAnswer[]): Pick<ApplyAnswer, 'results' | 'access'> => {
  const access = answers.flatMap((answer) => answer.access ?? [])
  return { results: answers.flatMap(({ results }) => results), ...(access.length > 0 && { access }) }
}

export const runApply = async (session: Session, request: ApplyRequest): Promise<void> => {
  const objects = parseManifests(await readSources(session.io, request.files, request.recursive))
  if (objects.length === 0) throw usage('no objects passed to apply')
  if (request.dryRun === 'client') {
    applyLocally(session, request, objects)
    return
  }
  if (request.dryRun === 'none') session.announceContext()
  const ordered = objects.toSorted((a, b) => (a.kind.applyOrder ?? 0) - (b.kind.applyOrder ?? 0))
  const chunks = chunksOf(ordered)
  if (chunks.length > 1)
    session.warn(`${String(objects.length)} objects go in ${String(chunks.length)} requests: not atomic as a whole`)
  const deadline = performance.now() + request.timeoutMs
  const answers: ApplyAnswer[] = []
  for (const chunk of chunks) {
    const part = await sendPatiently(session, chunk, request, deadline)
    for (const result of part.results) printResult(session, request, singularOf(chunk, result.plural), result)
    printAccess(session, request, part)
    answers.push(part)
  }
  if (request.format === 'json') session.print(toJson(together(answers)))
  if (request.wait && request.dryRun === 'none') await waitForServers(session, objects, deadline)
}

export const define = (command: Command, open: OpenSession, run = runApply): void => {
  showGlobal(command, '--reason')
  command
    .usage('-f FILE|DIRECTORY|- [flags]')
    .argument('[words...]')
    .option('-f, --filename <path>', 'manifest to apply: a file, a directory, or - for stdin; may be repeated', collect)
    .option('-R, --recursive', 'read directories below a directory too')
    .option('--dry-run <mode>', 'client: check the file only; server: let the daemon decide and change nothing', 'none')
    .option('--wait', 'wait until every server that was applied is available')
    .option('--timeout <duration>', 'how long --wait may take', '5m')
    .option('-o, --output <format>', formats.join('|'), 'text')
    .addHelpText(
      'after',
      `
Examples:
  mcpctl apply -f team.yaml
  mcpctl apply -f manifests/ -R --wait
  mcpctl get all -o yaml | mcpctl apply -f - --dry-run=server`,
    )
    .action(async (words: string[], flags: ApplyFlags) => run(open(command), parseApply(words, flags)))
}
