import type { Command } from 'commander'
import { Authz } from '@mcpctl/client'
import type { AccessQuestion, CanIAnswer } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { NegativeAnswer, usage } from '../errors'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import { explanation, grantTable } from '../output/grants'
import type { Session } from '../session'
import { asked, parseMoment, parseQuestion } from './auth-question'

const formats = ['text', 'json'] as const

interface CanIFlags {
  as?: string
  at?: string
  explain?: boolean
  list?: boolean
  output: string
}

export type CanIRequest = { format: (typeof formats)[number] } & (
  { list: true; user?: string } | { list: false; question: AccessQuestion; explain: boolean }
)

export const parseCanI = (words: readonly string[], flags: CanIFlags): CanIRequest => {
  const format = parseFormat(flags.output, formats)
  const user = flags.as === undefined ? {} : { user: flags.as }
  if (flags.list) {
    if (words.length > 0 || flags.at !== undefined || flags.explain)
      throw usage('--list takes no question, no --at and no --explain')
    return { format, list: true, ...user }
  }
  const at = flags.at === undefined ? {} : { at: parseMoment(flags.at) }
  const question = { ...parseQuestion(words, 'can-i'), ...user, ...at }
  return { format, list: false, question, explain: flags.explain ?? false }
}

const runList = async (session: Session, user: string | undefined, isJson: boolean): Promise<void> => {
  const access = await new Authz(session.client.http).effective(user === undefined ? {} : { user })
  const grants = [...access.direct, ...access.inherited]
  if (isJson) return session.print(toJson(access))
  if (grants.length === 0) session.io.err('No grants found\n')
  else session.print(grantTable(grants, session.tableWidth))
  if (access.enabled === false) session.say(`user ${access.subject.name} is disabled: none of it helps`)
  if (access.scopes) session.say(`the token is narrowed to ${access.scopes.join(', ')}`)
}

const words = ({ verb = '', kind, name }: AccessQuestion): string =>
  [verb, ...(kind === undefined ? [] : [[kind, name].filter((part) => part !== undefined).join('/')])].join(' ')

const show = (session: Session, answer: CanIAnswer, explain: boolean): void => {
  if (!session.flags.quiet || explain) session.print(answer.allowed ? 'yes\n' : 'no\n')
  if (explain)
    session.print(
      explanation(answer)
        .map((line) => `${line}\n`)
        .join(''),
    )
}

export const runCanI = async (session: Session, request: CanIRequest): Promise<void> => {
  if (request.list) return runList(session, request.user, request.format === 'json')
  const { question, explain, format } = request
  const answer = await asked(new Authz(session.client.http).canI(question))
  if (format === 'json') session.print(toJson(answer))
  else show(session, answer, explain)
  if (answer.allowed) return
  if (!explain && format !== 'json') session.say(`see: mcpctl auth can-i ${words(question)} --explain`)
  throw new NegativeAnswer()
}

export const defineCanI = (command: Command, open: OpenSession): void => {
  command
    .usage('VERB [TYPE | TYPE/NAME] [flags]')
    .argument('[words...]')
    .option('--as <user>', 'ask about the rights of another user')
    .option('--explain', 'print which grants allow it, or what comes close and what would help')
    .option('--list', 'list all that is granted')
    .option('--at <when>', 'the rights of then: a position of the log, a time, or how long ago')
    .option('-o, --output <format>', formats.join('|'), 'text')
    .addHelpText(
      'after',
      `
Exits with 0 for yes and 1 for no; with -q it prints neither.

Examples:
  mcpctl auth can-i edit server/github
  mcpctl auth can-i logs server/github --as alice --explain
  mcpctl auth can-i delete servers --as alice --at 2d
  mcpctl auth can-i --list`,
    )
    .action(async (given: string[], flags: CanIFlags) => runCanI(open(command), parseCanI(given, flags)))
}
