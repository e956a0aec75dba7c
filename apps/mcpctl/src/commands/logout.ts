import type { Command } from 'commander'
import { configPath, IdentityClient, readConfig, writeConfig } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { isReason } from '../errors'
import type { Session } from '../session'

const forget = (session: Session): void => {
  const file = configPath(session.io.env)
  const config = readConfig(file)
  const { name } = session.context
  const entry = config.contexts[name]
  if (entry) writeConfig({ ...config, contexts: { ...config.contexts, [name]: { ...entry, token: '' } } }, file)
}

/** Ends the session at the daemon, then forgets it here. One that had ended already is as well. */
export const runLogout = async (session: Session, all: boolean): Promise<void> => {
  const { name } = session.context
  try {
    const ended = await new IdentityClient(session.client.http).logout({ all })
    if (ended === 0)
      session.say('this was an API token, which goes on to be good; revoke it with: mcpctl auth revoke ID')
  } catch (error) {
    if (!isReason(error, 'Unauthorized')) throw error
  }
  if (session.flags.tokenFile === undefined) forget(session)
  session.print(`Logged out of ${name}.\n`)
}

export const define = (command: Command, open: OpenSession, run = runLogout): void => {
  command
    .usage('[flags]')
    .option('--all', 'end every session of yours, on other machines too')
    .action(async ({ all }: { all?: boolean }) => run(open(command), all ?? false))
}
