import type { Command } from 'commander'
import { IdentityClient } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { usage } from '../errors'
import { askSecret, readNewPassword } from '../password'
import type { Session } from '../session'

interface PasswdFlags {
  passwordStdin?: boolean
  endSessions?: boolean
}

interface PasswordChange {
  current: string
  password: string
}

/** From stdin the current password is the first line and the new one the second. */
const readChange = async (session: Session, { passwordStdin }: PasswdFlags): Promise<PasswordChange> => {
  if (passwordStdin) {
    const [current = '', password = ''] = (await session.io.readInput()).split(/\r?\n/)
    if (password !== '') return { current, password }
    throw usage('stdin must hold the current password in its first line and the new one in its second')
  }
  const current = await askSecret(session, 'Current password (none yet: empty): ')
  return { current, password: (await readNewPassword(session, { prompt: true })) ?? '' }
}

/** Changes one's own password; for somebody else it prints a code with which he sets it. */
export const runPasswd = async (session: Session, name: string | undefined, flags: PasswdFlags): Promise<void> => {
  const identity = new IdentityClient(session.client.http)
  const me = (await identity.whoAmI()).user.name
  session.announceContext()
  if (name !== undefined && name !== me) {
    const { user, code, expiresAt } = await identity.resetPassword(name)
    session.print(`${code}\n`)
    return session.say(
      `${user} sets the password with this code, once, until ${expiresAt}: mcpctl login ${session.context.server} --user ${user} --setup`,
    )
  }
  const { current, password } = await readChange(session, flags)
  const endSessions = flags.endSessions ?? false
  await identity.changePassword(me, { password, endSessions, ...(current !== '' && { current }) })
  session.print(`password of ${me} changed\n`)
}

export const define = (command: Command, open: OpenSession, run = runPasswd): void => {
  command
    .usage('[USER] [flags]')
    .argument('[user]')
    .option('--password-stdin', 'read the current password and the new one from stdin, a line each')
    .option('--end-sessions', 'end your other sessions')
    .action(async (user: string | undefined, flags: PasswdFlags) => run(open(command), user, flags))
}
