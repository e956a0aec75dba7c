import { Client, loadContext } from '@mcpctl/client'
import type { Context, Trace } from '@mcpctl/client'
import { parseDuration } from './duration'
import { exit, usage, CliError } from './errors'
import { errColours, mayAsk } from './io'
import type { Io } from './io'
import { escapeText } from './output/escape'

export interface GlobalFlags {
  context?: string
  server?: string
  tokenFile?: string
  requestTimeout?: string
  v?: string
  yes?: boolean
  quiet?: boolean
}

const defaultTimeout = '60s'

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
      tokenFile: this.flags.tokenFile,
      env: this.io.env,
      warn: (text) => this.warn(text),
    })
    return this.chosen
  }

  get client(): Client {
    if (!this.connected) {
      const timeout = parseDuration(this.flags.requestTimeout ?? defaultTimeout, '--request-timeout')
      const { server, token } = this.context
      const onTrace = this.verbosity >= 6 ? (trace: Trace) => this.trace(trace) : undefined
      this.connected = new Client({ server, token, timeoutMs: timeout, onTrace })
    }
    return this.connected
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
  async confirm(what: readonly string[], action: string, isBulk: boolean): Promise<void> {
    const { name, server } = this.context
    if (this.flags.yes || (!isBulk && !this.context.protected)) return
    const amount = what.length === 1 ? '1 object' : `${String(what.length)} objects`
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

  private trace({ method, url, outcome, milliseconds }: Trace): void {
    this.io.err(`${method} ${url} ${outcome} in ${milliseconds.toFixed(0)} ms\n`)
  }
}
