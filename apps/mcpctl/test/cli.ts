import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { writeConfig } from '@mcpctl/client'
import { askHiddenOn, askOn, runToEnd } from '../src/io'
import type { Io } from '../src/io'
import { runProgram } from '../src/run'

export interface Outcome {
  code: number
  out: string
  err: string
}

export interface CliOptions {
  input?: string | Buffer
  /** What is typed when a question is asked; its presence makes all three streams terminals. */
  answer?: string
  terminal?: boolean
  columns?: number
  env?: Record<string, string>
}

/** A terminal whose user has typed this. */
const typing = (text: string) => {
  const input = new PassThrough()
  input.write(text)
  return { input, output: Object.assign(new PassThrough().resume(), { isTTY: true, columns: 80 }) }
}

/** A user with a home of their own, who types command lines and reads what comes back. */
export class Cli {
  readonly directory = mkdtempSync(join(tmpdir(), 'mcpctl-cli-'))
  readonly configFile = join(this.directory, 'config.json')

  use(server: string): void {
    writeConfig({ currentContext: 'local', contexts: { local: { server, token: 'mcp_pat_test' } } }, this.configFile)
  }

  async run(line: readonly string[], options: CliOptions = {}): Promise<Outcome> {
    let out = ''
    let err = ''
    const terminal = options.terminal ?? options.answer !== undefined
    const io: Io = {
      env: { MCPCTL_CONFIG: this.configFile, NO_COLOR: '1', ...options.env },
      outIsTerminal: terminal,
      errIsTerminal: terminal,
      inIsTerminal: terminal,
      columns: options.columns ?? 80,
      out: (text) => (out += text),
      err: (text) => (err += text),
      readInput: () => Promise.resolve(String(options.input ?? '')),
      readBytes: () => Promise.resolve(Buffer.from(options.input ?? '')),
      ask: (question) => {
        err += question
        return askOn(typing(`${options.answer ?? ''}\n`), question)
      },
      askHidden: (question) => {
        err += question
        return askHiddenOn(typing(`${options.answer ?? ''}\n`), question)
      },
      onInterrupt: () => () => undefined,
      handOver: (command, args) => runToEnd(command, args, { env: { ...process.env, ...io.env }, stdio: 'ignore' }),
    }
    const code = await runProgram(io, line, join(this.directory, 'mcpctl', 'main.js'))
    return { code, out, err }
  }

  /** Words of the line are separated by spaces; for words that hold spaces use `run`. */
  async type(line: string, options: CliOptions = {}): Promise<Outcome> {
    return this.run(line.split(' '), options)
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }
}
