import type { Command } from 'commander'
import { IdentityClient } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import { formatTable } from '../output/table'
import type { Session } from '../session'

const formats = ['table', 'json', 'name'] as const

/** Says as whom the daemon takes whoever asks. */
export const runWhoAmI = async (session: Session, output: string): Promise<void> => {
  const format = parseFormat(output, formats)
  const who = await new IdentityClient(session.client.http).whoAmI()
  if (format === 'json') return session.print(toJson(who))
  if (format === 'name') return session.print(`user/${who.user.name}\n`)
  const { user, groups, token, impersonator } = who
  const rows = [
    ['User', user.name],
    ['UID', user.uid],
    ['Type', user.type],
    ['Groups', groups.join(',') || '<none>'],
    ...(impersonator ? [['Impersonated by', impersonator.name]] : []),
    ...(token ? [['Token', `${token.prefix}… (${token.local ? 'local session' : token.type})`]] : []),
    ...(token ? [['Expires', token.expiresAt ?? '<never>']] : []),
  ]
  session.print(formatTable(rows))
}

export const define = (command: Command, open: OpenSession, run = runWhoAmI): void => {
  command
    .usage('[flags]')
    .option('-o, --output <format>', formats.join('|'), 'table')
    .action(async ({ output }: { output: string }) => run(open(command), output))
}
