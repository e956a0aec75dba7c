import type { Command } from 'commander'
import type { Kind } from '@mcpctl/contracts'
import { ConnectionError } from '@mcpctl/client'
import type { LogLine, LogQuery } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { parseDuration } from '../duration'
import { isReason, usage } from '../errors'
import { escapeLog, escapeText } from '../output/escape'
import type { Session } from '../session'
import { findTarget, requireKind } from '../targets'
import type { Target } from '../targets'

interface LogsFlags {
  follow?: boolean
  tail?: string
  since?: string
  sinceTime?: string
  timestamps?: boolean
  prefix?: boolean
}

export interface LogsRequest {
  /** One, or for a bare name each kind in turn. */
  candidates: Target[]
  follow: boolean
  tail?: number
  /** RFC 3339. */
  since?: string
  timestamps: boolean
  prefix: boolean
}

const sinceOf = ({ since, sinceTime }: LogsFlags, now: number): string | undefined => {
  if (since !== undefined && sinceTime !== undefined) throw usage('at most one of --since and --since-time may be used')
  if (sinceTime !== undefined) {
    const at = Date.parse(sinceTime)
    if (Number.isNaN(at))
      throw usage(`invalid argument "${sinceTime}" for --since-time: write it like 2026-01-31T12:00:00Z`)
    return new Date(at).toISOString()
  }
  return since === undefined ? undefined : new Date(now - parseDuration(since, '--since')).toISOString()
}

const tailOf = (text: string | undefined): number | undefined => {
  if (text === undefined || text === '-1') return undefined
  if (!/^\d+$/.test(text))
    throw usage(`invalid argument "${text}" for --tail: must be a whole number; -1 means all lines`)
  return Number(text)
}

const logged = () => [requireKind('server'), requireKind('instance')]

const typed = (type: string, name: string): Target => {
  if (name === '') throw usage(`there is no name behind the slash in "${type}/"`)
  const kind = requireKind(type)
  if (!logged().includes(kind)) throw usage(`${kind.plural} have no logs; servers and instances do`)
  return { kind, name }
}

const candidatesOf = ([first, second, ...rest]: readonly string[]): Target[] => {
  if (first === undefined) throw usage('name a server or an instance', 'For example: mcpctl logs github')
  if (rest.length > 0) throw usage('logs takes one server or one instance at a time')
  if (second !== undefined) return [typed(first, second)]
  const slash = first.indexOf('/')
  if (slash !== -1) return [typed(first.slice(0, slash), first.slice(slash + 1))]
  return logged().map((kind) => ({ kind, name: first }))
}

export const parseLogs = (words: string[], flags: LogsFlags, now = Date.now()): LogsRequest => {
  const tail = tailOf(flags.tail)
  const since = sinceOf(flags, now)
  return {
    candidates: candidatesOf(words),
    follow: flags.follow ?? false,
    ...(tail === undefined ? {} : { tail }),
    ...(since === undefined ? {} : { since }),
    timestamps: flags.timestamps ?? false,
    prefix: flags.prefix ?? false,
  }
}

interface Found {
  kind: Kind
  name: string
}

/** A bare name means a server, else an instance. Whoever may read logs need not see the object: the name counts then. Throws NotFound about the first. */
const findFirst = async (session: Session, candidates: readonly Target[]): Promise<Found> => {
  let first: unknown
  for (const target of candidates) {
    try {
      const { metadata } = await findTarget(session.client, target, true)
      return { kind: target.kind, name: metadata.name }
    } catch (error) {
      if (isReason(error, 'Forbidden')) return target
      if (!isReason(error, 'NotFound')) throw error
      first ??= error
    }
  }
  throw first
}

const instanceCount = async (session: Session, { kind, name }: Found): Promise<number> => {
  if (kind.plural !== 'servers') return 1
  try {
    return (await session.client.list('instances', { fieldSelector: `spec.server=${name}` })).items.length
  } catch (error) {
    if (isReason(error, 'Forbidden')) return 1
    throw error
  }
}

/** Prints lines; names their instance as soon as there is more than one. */
const linePrinter = (session: Session, request: LogsRequest, several: boolean) => {
  const seen = new Set<string>()
  const safe = session.io.outIsTerminal ? escapeLog : (text: string) => text
  return ({ instance, at, stream, text }: LogLine): void => {
    seen.add(instance)
    if (stream === 'system') {
      session.say(`--- instance/${instance} ${text} at ${at} ---`)
      return
    }
    const prefix = request.prefix || several || seen.size > 1 ? `[instance/${escapeText(instance)}] ` : ''
    session.print(`${prefix}${request.timestamps ? `${at} ` : ''}${safe(text)}\n`)
  }
}

const reconnectMs = 30_000
const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

/** How often each line of the newest instant was printed: after a reconnect the stream begins with that instant again. */
class Seam {
  private at = ''
  private printed = new Map<string, number>()

  get since(): string | undefined {
    return this.at === '' ? undefined : this.at
  }

  note(line: LogLine): void {
    if (line.at > this.at) {
      this.at = line.at
      this.printed = new Map()
    }
    if (line.at === this.at) {
      const key = JSON.stringify([line.instance, line.text])
      this.printed.set(key, (this.printed.get(key) ?? 0) + 1)
    }
  }

  /** Answers, line by line of a resumed stream, whether it was printed before. */
  filter(): (line: LogLine) => boolean {
    const { at } = this
    const left = new Map(this.printed)
    return (line) => {
      if (line.at < at) return true
      const key = JSON.stringify([line.instance, line.text])
      const times = line.at === at ? (left.get(key) ?? 0) : 0
      left.set(key, times - 1)
      return times > 0
    }
  }
}

/** One connection's worth of lines. Throws when it could not be opened or broke. */
const drain = async (session: Session, { kind, name }: Found, query: LogQuery, take: (line: LogLine) => void) => {
  for await (const line of session.client.logs(kind.plural, name, query)) take(line)
}

/** Follows across restarts of the daemon; gives up when it stays away for half a minute. */
const follow = async (
  session: Session,
  found: Found,
  query: LogQuery,
  print: (line: LogLine) => void,
): Promise<void> => {
  const seam = new Seam()
  let awaySince: number | undefined
  for (let next = query; ; next = { follow: true, since: seam.since ?? query.since }) {
    const isOld = seam.filter()
    const began = performance.now()
    try {
      await drain(session, found, next, (line) => {
        awaySince = undefined
        if (isOld(line)) return
        print(line)
        seam.note(line)
      })
      return
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
      // It held for a while: this is another interruption, not the same one.
      if (performance.now() - began > 5000) awaySince = undefined
      if (awaySince === undefined) session.say('--- connection lost, trying again ---')
      awaySince ??= performance.now()
      if (performance.now() - awaySince > reconnectMs) throw error
      await pause(500)
    }
  }
}

export const runLogs = async (session: Session, request: LogsRequest): Promise<void> => {
  const found = await findFirst(session, request.candidates)
  const print = linePrinter(session, request, (await instanceCount(session, found)) > 1)
  const query: LogQuery = { follow: request.follow, tail: request.tail, since: request.since }
  if (request.follow) return follow(session, found, query, print)
  for await (const line of session.client.logs(found.kind.plural, found.name, query)) print(line)
}

export const define = (command: Command, open: OpenSession, run = runLogs): void => {
  command
    .usage('[server/]NAME | instance/NAME [flags]')
    .argument('[words...]')
    .option('-f, --follow', 'go on printing; follows restarts, replacements and new instances')
    .option('--tail <count>', 'only the last lines; -1 means all', '-1')
    .option('--since <duration>', 'only lines younger than this, for example 10m')
    .option('--since-time <instant>', 'only lines after this instant (RFC 3339)')
    .option('--timestamps', 'print when each line was written')
    .option('--prefix', 'name the instance on each line, as happens by itself when there are several')
    .addHelpText('after', '\nExamples:\n  mcpctl logs github --tail 20\n  mcpctl logs -f instance/github-7f9c-0')
    .action(async (words: string[], flags: LogsFlags) => run(open(command), parseLogs(words, flags)))
}
