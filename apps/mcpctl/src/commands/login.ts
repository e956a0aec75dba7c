import type { Command } from 'commander'
import { Client, configPath, IdentityClient, loadContext, readConfig, writeConfig } from '@mcpctl/client'
import type { Config, NewSession } from '@mcpctl/client'
import type { OpenSession } from '../command-file'
import { CliError, exit, isReason, usage } from '../errors'
import { mayAsk } from '../io'
import { askSecret, readNewPassword } from '../password'
import type { Session } from '../session'

interface LoginFlags {
  user?: string
  passwordStdin?: boolean
  tokenStdin?: boolean
  setup?: boolean
}

export interface LoginRequest {
  server?: string
  user?: string
  with: 'password' | 'token' | 'code'
  fromStdin: boolean
}

const wayOf = ({ tokenStdin, setup }: LoginFlags): LoginRequest['with'] => {
  if (tokenStdin) return 'token'
  return setup ? 'code' : 'password'
}

export const parseLogin = (server: string | undefined, flags: LoginFlags): LoginRequest => {
  const { user, passwordStdin, tokenStdin, setup } = flags
  if (tokenStdin && [passwordStdin, setup, user].some((flag) => flag !== undefined))
    throw usage('--token-stdin goes with no other flag: the token says who you are')
  return {
    ...(server !== undefined && { server }),
    ...(user !== undefined && { user }),
    with: wayOf(flags),
    fromStdin: [passwordStdin, tokenStdin].includes(true),
  }
}

const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

const parseAddress = (server: string): URL => {
  const url = URL.canParse(server) ? new URL(server) : undefined
  if (url && /^https?:$/.test(url.protocol)) return url
  throw usage(`"${server}" is no address; write it like https://mcp.example.com`)
}

/** That of the context that is named or current; the login may be about to make the one that is named. */
const knownServer = ({ flags, io: { env } }: Session): string => {
  const isKnown = Object.hasOwn(readConfig(configPath(env)).contexts, flags.context ?? '')
  return loadContext({ env, ...(isKnown && { context: flags.context }) }).server
}

/** The daemon's address without what paths and defaults add to it. */
const serverOf = (session: Session, given: string | undefined): string => {
  const url = parseAddress(given ?? session.flags.server ?? knownServer(session))
  if (url.username !== '' || url.password !== '')
    throw usage('the address must not hold a name or a password; use --user')
  if (url.protocol === 'http:' && !loopback.test(url.hostname))
    throw usage(`${url.origin} would get the credential in the clear`, 'use https, or a tunnel to this machine')
  return url.origin
}

/** A context of this user at this daemon is used again; nobody else's is ever overwritten. */
const contextName = (session: Session, config: Config, { server, user }: { server: string; user: string }): string => {
  if (session.flags.context !== undefined) return session.flags.context
  const known = Object.entries(config.contexts).find(([, entry]) => entry.server === server && entry.user === user)
  return known?.[0] ?? `${user}@${new URL(server).host}`
}

const keep = (session: Session, server: string, { token, user }: { token: string; user: string }): string => {
  const file = configPath(session.io.env)
  const config = readConfig(file)
  const name = contextName(session, config, { server, user })
  const entry = { ...config.contexts[name], server, token, user }
  writeConfig({ currentContext: name, contexts: { ...config.contexts, [name]: entry } }, file)
  return name
}

const lineOf = (text: string): string => text.replace(/\r?\n$/, '')

const askName = async (session: Session): Promise<string> => {
  if (!mayAsk(session.io)) throw usage('there is nobody to ask for a name; give it with --user')
  const name = (await session.io.ask('User: '))?.trim()
  if (name === undefined) throw new CliError(exit.interrupted, 'interrupted')
  return name
}

const byPassword = async (session: Session, request: LoginRequest, identity: IdentityClient): Promise<NewSession> => {
  const user = request.user ?? (await askName(session))
  const password = request.fromStdin ? lineOf(await session.io.readInput()) : await askSecret(session, 'Password: ')
  return identity.login(user, password)
}

/** From stdin the code is the first line and the password the second. */
const byCode = async (session: Session, request: LoginRequest, identity: IdentityClient): Promise<NewSession> => {
  const user = request.user ?? (await askName(session))
  if (request.fromStdin) {
    const [code = '', ...rest] = (await session.io.readInput()).split(/\r?\n/)
    const password = lineOf(rest.join('\n'))
    if (password === '') throw usage('stdin must hold the code in its first line and the new password in its second')
    return identity.setUp(user, code.trim(), password)
  }
  const code = await askSecret(session, 'Setup code: ')
  const password = (await readNewPassword(session, { prompt: true })) ?? ''
  return identity.setUp(user, code.trim(), password)
}

const byToken = async (session: Session, server: string): Promise<{ token: string; user: string }> => {
  const token = (await session.io.readInput()).trim()
  if (!/^[\x21-\x7e]+$/.test(token)) throw usage('--token-stdin: stdin holds no token')
  const client = new Client({ server, token })
  try {
    return { token, user: (await new IdentityClient(client.http).whoAmI()).user.name }
  } finally {
    client.close()
  }
}

const enter = async (
  session: Session,
  server: string,
  request: LoginRequest,
): Promise<{ token: string; user: string }> => {
  if (request.with === 'token') return byToken(session, server)
  const client = new Client({ server })
  try {
    const identity = new IdentityClient(client.http)
    return await (request.with === 'code' ? byCode : byPassword)(session, request, identity)
  } finally {
    client.close()
  }
}

/** Logs in and keeps the session in the configuration, as the current context. */
export const runLogin = async (session: Session, request: LoginRequest): Promise<void> => {
  const server = serverOf(session, request.server)
  try {
    const entered = await enter(session, server, request)
    const name = keep(session, server, entered)
    session.print(`Logged in to ${server} as ${entered.user}; the current context is ${name}.\n`)
  } catch (error) {
    if (!isReason(error, 'Unauthorized')) throw error
    throw new CliError(exit.notLoggedIn, `login failed: ${error.problem.detail}`)
  }
}

export const define = (command: Command, open: OpenSession, run = runLogin): void => {
  command
    .usage('[URL] [flags]')
    .argument('[url]')
    .option('--user <name>', 'who you are')
    .option('--password-stdin', 'read the password from stdin')
    .option('--token-stdin', 'read an API token from stdin, in place of a name and a password')
    .option('--setup', 'set your password with a one-time code; from stdin the code is the first line')
    .addHelpText(
      'after',
      '\nExamples:\n  mcpctl login https://mcp.example.com --user alice\n  mcpctl login http://127.0.0.1:7777 --user admin --setup',
    )
    .action(async (url: string | undefined, flags: LoginFlags) => run(open(command), parseLogin(url, flags)))
}
