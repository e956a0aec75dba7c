import { CliError, exit, usage } from './errors'
import { mayAsk } from './io'
import type { Session } from './session'

/** Ways to give a password; never as an argument, which every user of the machine can see. */
export interface PasswordFlags {
  passwordStdin?: boolean
  prompt?: boolean
}

/** What stdin holds without the line end that `echo` adds; everything else belongs to the password. */
const fromStdin = async ({ io }: Session): Promise<string> => {
  const password = (await io.readInput()).replace(/\r?\n$/, '')
  if (password === '') throw usage('--password-stdin: stdin holds no password')
  return password
}

/** Asks for something that does not show while it is typed. Throws when nobody can be asked, or who is asked gives up. */
export const askSecret = async ({ io }: Session, question: string): Promise<string> => {
  if (!mayAsk(io)) throw usage('there is nobody to ask for a password; give it with --password-stdin')
  const answer = await io.askHidden(question)
  if (answer === undefined) throw new CliError(exit.interrupted, 'interrupted; nothing was changed')
  return answer
}

/** The password that was given, typed twice where it is typed; undefined when no flag asks for one. */
export const readNewPassword = async (session: Session, flags: PasswordFlags): Promise<string | undefined> => {
  if (flags.passwordStdin) return fromStdin(session)
  if (!flags.prompt) return undefined
  const password = await askSecret(session, 'New password: ')
  if (password === '') throw usage('the password is empty; nothing was changed')
  if ((await askSecret(session, 'The same again: ')) !== password)
    throw usage('the two passwords differ; nothing was changed')
  return password
}
