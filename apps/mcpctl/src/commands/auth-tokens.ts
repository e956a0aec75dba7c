import type { Command } from 'commander'
import { Authz, IdentityClient } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { throwAll } from '../errors'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import { formatTable } from '../output/table'
import type { Session } from '../session'
import { tokenRow } from './describe-access'

const formats = ['table', 'json', 'name'] as const

interface ListFlags {
  user?: string
  output: string
}

export const runTokens = async (session: Session, { user, output }: ListFlags): Promise<void> => {
  const format = parseFormat(output, formats)
  const tokens = await new Authz(session.client.http).tokens(user)
  if (format === 'json') return session.print(toJson({ tokens }))
  if (format === 'name') return session.print(tokens.map(({ id }) => `${id}\n`).join(''))
  const header = ['ID', 'PREFIX', 'TYPE', 'EXPIRES', 'LAST-USED', 'SCOPE', 'NOTE']
  const rows = tokens.map((token) => tokenRow(token, Date.now()))
  session.print(formatTable([header, ...rows], session.tableWidth))
}

/** Revokes token by token; what fails does not keep the others. */
export const runRevoke = async (session: Session, ids: readonly string[]): Promise<void> => {
  const identity = new IdentityClient(session.client.http)
  session.announceContext()
  const errors: unknown[] = []
  for (const id of ids) {
    try {
      await identity.revokeToken(id)
      session.print(`token "${id}" revoked\n`)
    } catch (error) {
      errors.push(error)
    }
  }
  throwAll(errors)
}

export const defineTokens = (command: Command, open: OpenSession): void => {
  command
    .usage('[flags]')
    .option('--user <name>', 'whose tokens and sessions')
    .option('-o, --output <format>', formats.join('|'), 'table')
    .action(async (flags: ListFlags) => runTokens(open(command), flags))
}

export const defineRevoke = (command: Command, open: OpenSession): void => {
  command
    .usage('ID... [flags]')
    .argument('<ids...>')
    .action(async (ids: string[]) => runRevoke(open(command), ids))
}
