import type { Command } from 'commander'
import type { OpenSession } from '../command-file'
import { throwAll } from '../errors'
import { toJson } from '../output/bundle'
import { parseFormat } from '../output/format'
import type { Session } from '../session'
import { clientVersion } from '../version'

const formats = ['text', 'json', 'yaml'] as const

interface VersionFlags {
  client?: boolean
  output: string
}

/** The client's version is printed even when no daemon answers. */
export const runVersion = async (session: Session, flags: VersionFlags): Promise<void> => {
  const format = parseFormat(flags.output, formats)
  const versions: { client: string; server?: string } = { client: clientVersion }
  const failures: unknown[] = []
  if (!flags.client)
    try {
      versions.server = (await session.client.version()).version
    } catch (error) {
      failures.push(error)
    }
  if (format === 'json') session.print(toJson(versions))
  else if (format === 'yaml') session.print((await import('../output/yaml')).toYaml(versions))
  else {
    session.print(`Client Version: ${versions.client}\n`)
    if (versions.server !== undefined) session.print(`Server Version: ${versions.server}\n`)
  }
  throwAll(failures)
}

export const define = (command: Command, open: OpenSession): void => {
  command
    .option('--client', "only the client's version; needs no daemon")
    .option('-o, --output <format>', formats.join('|'), 'text')
    .action(async (flags: VersionFlags) => runVersion(open(command), flags))
}
