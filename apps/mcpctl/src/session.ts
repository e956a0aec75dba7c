import { maskSecrets } from '@mcpctl/contracts'
import { Client, loadContext } from '@mcpctl/client'
import type { Context, Trace } from '@mcpctl/client'
import { parseDuration } from './duration'
import { exit, usage, CliError } from './errors'
import { errColours, mayAsk } from './io'
import type { Io } from './io'
import { readLocalFile } from './local-file'
import { escapeText } from './output/escape'

export interface GlobalFlags {
  context?: string
  server?: string
  tokenFile?: string
  requestTimeout?: string
  as?: string
  asGroup?: string
  reason?: string
  allowCredentialLike?: boolean
  v?: string
  yes?: boolean
  quiet?: boolean
}

const defaultTimeoutMs = 60_000
const longestReason = 1024

/** One run of one command: where it prints and whom it talks to. Context and client are made on first use. */
export class Session {
  private chosen: Context | undefined
  private connected: Client | undefined

  constructor(
    readonly io: Io,
    readonly flags: GlobalFlags,
    /** The running program's own file; the daemon's stands beside it. */
    readonly programFile: string,
  ) {}

  get verbosity(): number {
    const level = Number(this.flags.v ?? 0)
    if (!Number.isInteger(level) || level < 0 || level > 9)
      throw usage(`invalid argument "${this.flags.v ?? ''}" for -v: must be 0 to 9`)
    return level
  }

  get context(): Context {
    this.chosen ??= loadContext({
      context: this.flags.context,
      server: this.flags.server,
      token: this.givenToken(),
      env: this.io.env,
      warn: (text) => this.warn(text),
    })
    return this.chosen
  }

  get client(): Client {
    if (!this.connected) {
      const timeoutMs = this.askedTimeoutMs ?? defaultTimeoutMs
      const { reason, impersonation } = this
      const { allowCredentialLike } = this.flags
      const { server, token } = this.context
      const onTrace = this.verbosity >= 6 ? (trace: Trace) => this.trace(trace) : undefined
      const onWarning = (text: string) => this.warn(text)
      const options = { onTrace, onWarning, reason, impersonation, allowCredentialLike }
      this.connected = new Client({ server, token, timeoutMs, ...options })
    }
    return this.connected
  }

  /** Looks again where the daemon of the context is: one that was started anew may listen on another port. */
  reconnect(): void {
    if (this.flags.server !== undefined) return
    const { name } = this.context
    this.close()
    this.connected = undefined
    this.chosen = loadContext({ context: name, token: this.givenToken(), env: this.io.env })
  }

  /** Milliseconds that one answer may take, if somebody has said so; 0 waits for ever. */
  get askedTimeoutMs(): number | undefined {
    const { requestTimeout } = this.flags
    return requestTimeout === undefined ? undefined : parseDuration(requestTimeout, '--request-timeout')
  }

  /** As whom everything is asked. */
  get impersonation(): { user: string; groups: string[] } | undefined {
    const { as: user, asGroup } = this.flags
    const groups = (asGroup ?? '').split(',').filter((name) => name !== '')
    if (user === undefined && asGroup !== undefined) throw usage('--as-group needs --as')
    if (user === undefined) return undefined
    const wrong = [user, ...groups].find((name) => !/^[\x21-\x7e]{1,253}$/.test(name))
    if (wrong === undefined) return { user, groups }
    throw usage(`invalid argument for --as: "${escapeText(wrong)}" is no name`)
  }

  /** Why changes are made. */
  get reason(): string | undefined {
    const { reason } = this.flags
    if (reason === undefined || (reason.length > 0 && reason.length <= longestReason && !/\p{Cc}/u.test(reason)))
      return reason
    throw usage(`invalid argument for --reason: must be 1 to ${String(longestReason)} characters on one line`)
  }

  /** What to do when the daemon does not accept the token. */
  get loginHint(): string {
    const { tokenFile, server } = this.flags
    const { name } = this.context
    if (tokenFile !== undefined) return `--token-file: name a file with a token of the daemon at ${this.context.server}`
    if (server !== undefined) return `the token is the one of context "${name}"; name another one with --token-file`
    return `context "${name}" holds no token that this daemon knows; run: mcpctl login, or on the daemon's own machine: mcpctl down && mcpctl up`
  }

  /** Where tables end: they are cut for people only. */
  get tableWidth(): number | undefined {
    return this.io.outIsTerminal ? this.io.columns : undefined
  }

  /** Data. */
  print(text: string): void {
    this.io.out(text)
  }

  /** Progress and hints; silent with `-q`. */
  say(text: string): void {
    if (!this.flags.quiet) this.io.err(`${escapeText(text)}\n`)
  }

  warn(text: string): void {
    this.io.err(`${errColours(this.io).yellow('Warning:')} ${escapeText(text)}\n`)
  }

  /** Told before every change, for whoever has several contexts and forgets which one is current. */
  announceContext(): void {
    if (this.io.errIsTerminal) this.say(`context: ${this.context.name}`)
  }

  /**
   * Asks before objects go that were not named one by one, and before anything goes in a protected context. Without a
   * terminal only `--yes` will do. Throws when the answer is no.
   */
  async confirm(what: readonly string[], action: string, isBulk: boolean, noun = 'object'): Promise<void> {
    const { name, server } = this.context
    if (this.flags.yes || (!isBulk && !this.context.protected)) return
    const amount = what.length === 1 ? `1 ${noun}` : `${String(what.length)} ${noun}s`
    if (!mayAsk(this.io))
      throw usage(`would ${action} ${amount} in context "${name}", and there is nobody to ask; repeat it with --yes`)
    const listed = what.map((line) => `  ${escapeText(line)}\n`).join('')
    this.io.err(`About to ${action} ${amount} in context "${escapeText(name)}" (${server}):\n${listed}`)
    const answer = await this.io.ask('Continue? [y/N] ')
    if (answer === undefined) throw new CliError(exit.interrupted, 'interrupted; nothing was changed')
    if (!/^y(es)?$/i.test(answer.trim())) throw new CliError(exit.negative, `not confirmed; nothing was changed`)
  }

  close(): void {
    this.connected?.close()
  }

  private givenToken(): string | undefined {
    const { tokenFile } = this.flags
    if (tokenFile === undefined) return undefined
    const next = "name a file that holds a token, or leave it out to use the context's"
    const token = readLocalFile(tokenFile, '--token-file', next).trim()
    if (/^[\x21-\x7e]+$/.test(token)) return token
    throw usage(`--token-file: "${tokenFile}" holds no token`, next)
  }

  private trace({ method, url, outcome, milliseconds }: Trace): void {
    this.io.err(`${method} ${shownUrl(url)} ${outcome} in ${milliseconds.toFixed(0)} ms\n`)
  }
}

/** A name in a URL is whatever somebody has typed, and may be a secret. */
const shownUrl = (url: string): string => url.replace(/[^/?&=]+/g, maskSecrets)
