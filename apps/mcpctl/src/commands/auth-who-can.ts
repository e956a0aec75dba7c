import type { Command } from 'commander'
import { Authz } from '@mcpctl/client'
import type { AccessQuestion } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import { minuteOf } from '../output/grants'
import { formatTable } from '../output/table'
import type { Session } from '../session'
import { asked, parseMoment, parseQuestion } from './auth-question'

const formats = ['table', 'json', 'name'] as const

export const runWhoCan = async (session: Session, question: AccessQuestion, output: string): Promise<void> => {
  const format = parseFormat(output, formats)
  const answer = await asked(new Authz(session.client.http).whoCan(question))
  if (format === 'json') return session.print(toJson(answer))
  if (answer.users.length === 0) return session.io.err('Nobody can\n')
  if (format === 'name') return session.print(answer.users.map(({ user }) => `user/${user}\n`).join(''))
  const rows = answer.users.flatMap(({ user, paths }) =>
    paths.map(({ rbac, entry, via, grantedBy, grantedAt }) => [
      user,
      rbac,
      entry.text,
      via ? `group/${via.group}` : '<none>',
      grantedBy,
      minuteOf(grantedAt),
    ]),
  )
  const header = ['USER', 'BINDING', 'GRANT', 'VIA', 'GRANTED-BY', 'GRANTED-AT']
  session.print(formatTable([header, ...rows], session.tableWidth))
}

export const defineWhoCan = (command: Command, open: OpenSession): void => {
  command
    .usage('VERB [TYPE | TYPE/NAME] [flags]')
    .argument('[words...]')
    .option('--at <when>', 'the rights of then: a position of the log, a time, or how long ago')
    .option('-o, --output <format>', formats.join('|'), 'table')
    .addHelpText('after', '\nExamples:\n  mcpctl auth who-can delete server/github\n  mcpctl auth who-can restore')
    .action(async (words: string[], { at, output }: { at?: string; output: string }) =>
      runWhoCan(
        open(command),
        { ...parseQuestion(words, 'who-can'), ...(at !== undefined && { at: parseMoment(at) }) },
        output,
      ),
    )
}
