import type { Command } from 'commander'
import { IdentityClient } from '@mcpctl/client'
import type { WhoAmI } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import { formatTable } from '../output/table'
import type { Session } from '../session'

const formats = ['table', 'yaml', 'json', 'name'] as const

const typeNames: Record<string, string> = { ses: 'session', pat: 'API token', svc: 'token of a service user' }

const tokenText = ({ prefix, local, type }: NonNullable<WhoAmI['token']>): string =>
  `${prefix}… (${local ? 'local session' : (typeNames[type] ?? type)})`

const tableOf = ({ user, groups, token, impersonator }: WhoAmI): string =>
  formatTable([
    ['User', user.name],
    ['UID', user.uid],
    ['Type', user.type],
    ['Groups', groups.join(',') || '<none>'],
    ...(impersonator ? [['Impersonated by', impersonator.name]] : []),
    ...(token ? [['Token', tokenText(token)]] : []),
    ...(token ? [['Expires', token.expiresAt ?? '<never>']] : []),
  ])

/** Says as whom the daemon takes whoever asks. */
export const runWhoAmI = async (session: Session, output: string): Promise<void> => {
  const format = parseFormat(output, formats)
  const who = await new IdentityClient(session.client.http).whoAmI()
  switch (format) {
    case 'json':
      return session.print(toJson(who))
    case 'name':
      return session.print(`user/${who.user.name}\n`)
    case 'table':
      return session.print(tableOf(who))
    case 'yaml': {
      const { toYaml } = await import('../output/yaml')
      return session.print(toYaml(who))
    }
  }
}

export const define = (command: Command, open: OpenSession, run = runWhoAmI): void => {
  command
    .usage('[flags]')
    .option('-o, --output <format>', formats.join('|'), 'table')
    .action(async ({ output }: { output: string }) => run(open(command), output))
}
