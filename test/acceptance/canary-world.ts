import { spawn } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ResourceObject } from '@mcpctl/contracts'
import { execute, program, until, type Answer } from '../support/binaries'
import { Canary, Search, type Hit } from '../support/canary'
import { InputsRegistry } from '../support/inputs-package'
import { Sandbox, type SandboxOptions } from '../support/mcpd-process'

/** One request and its whole answer, headers included. */
export interface Asked {
  request: string
  status: number
  /** Headers and body as they came. */
  text: string
}

/** One command line and all that it printed. */
export interface Ran extends Answer {
  line: string
}

export interface Sent {
  body?: unknown
  raw?: string | Uint8Array
  headers?: Record<string, string>
}

/** A process as everybody on the machine sees it. */
export interface SeenProcess {
  pid: number
  /** Of the instances themselves the environment may hold values. */
  isInstance: boolean
  cmdline: string
  environ: string
}

/** What has been put where: whoever finds one of them knows where it came from. */
export class Canaries {
  /** The value of key `token`, replaced by the next one. */
  readonly old = Canary.make()
  readonly current = Canary.make()
  /** The value of key `pem`, which stays: several lines, letters and digits. */
  readonly kept = Canary.plain()
  /** Typed into wrong places, where it looks like nothing in particular. */
  readonly typed = Canary.plain()
  /** Typed into wrong places, and looks like what it is. */
  readonly token = new Canary(`ghp_${Canary.plain().value}${Canary.plain().value.slice(0, 4)}`)

  private readonly search = new Search({
    old: this.old,
    current: this.current,
    kept: this.kept,
    typed: this.typed,
    token: this.token,
  })

  /** Which of them stands where in a text, and in which form. */
  find(text: string | Buffer, where: string): string[] {
    return this.search.in(text, where).map(told)
  }

  /** The same in all files below a directory; how many those are. */
  async inDirectory(path: string): Promise<{ files: number; hits: string[] }> {
    const { files, hits } = await this.search.inDirectory(path)
    return { files, hits: hits.map(told) }
  }
}

const told = ({ canary, form, where, at }: Hit): string => `"${canary}", ${form}, at ${String(at)} of ${where}`

/** A daemon at its most talkative, whose every word is kept. */
export class CanaryWorld {
  readonly canaries = new Canaries()
  readonly asked: Asked[] = []
  readonly ran: Ran[] = []
  readonly processes: SeenProcess[] = []
  /** Where instances had values as files. */
  readonly secretFiles: string[] = []
  /** What watches were sent. */
  readonly frames: string[] = []
  private readonly watching = new AbortController()

  private constructor(
    readonly sandbox: Sandbox,
    private readonly registry: InputsRegistry,
    /** Copies of what is there for a moment only. */
    readonly evidence: string,
  ) {}

  static async create({ env = {}, ...options }: SandboxOptions = {}): Promise<CanaryWorld> {
    const registry = await InputsRegistry.open()
    const whole = { ...registry.env(), MCPD_LOG_LEVEL: 'trace', MCPD_SECRET_SETTLE: '1', ...env }
    const sandbox = await Sandbox.create({ ...options, sharedPackages: false, env: whole })
    // PostgreSQL runs as another user under root, and has temporary files too.
    for (const name of ['tmp', 'home']) {
      await mkdir(join(sandbox.directory, name))
      await chmod(join(sandbox.directory, name), 0o1777)
    }
    Object.assign(sandbox.env, {
      TMPDIR: join(sandbox.directory, 'tmp'),
      HOME: join(sandbox.directory, 'home'),
      XDG_CACHE_HOME: join(sandbox.directory, 'home', 'cache'),
      XDG_CONFIG_HOME: join(sandbox.directory, 'home', 'config'),
    })
    return new CanaryWorld(sandbox, registry, await mkdtemp(join(tmpdir(), 'mcpctl-evidence-')))
  }

  async remove(): Promise<void> {
    this.watching.abort()
    await this.sandbox.remove()
    await this.registry.close()
    await rm(this.evidence, { recursive: true, force: true })
  }

  /** With the administrator's token unless a header says otherwise. */
  async ask(method: string, path: string, { body, raw, headers = {} }: Sent = {}): Promise<Asked> {
    const { server, token } = this.sandbox.context()
    const content = raw ?? (body === undefined ? undefined : JSON.stringify(body))
    const answer = await fetch(server + path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      ...(content !== undefined && { body: content as string }),
      signal: AbortSignal.timeout(30_000),
    })
    const { status } = answer
    const text = [...answer.headers].map(([name, value]) => `${name}: ${value}\n`).join('') + (await answer.text())
    const asked = { request: `${method} ${path}`, status, text }
    this.asked.push(asked)
    return asked
  }

  /** The same, demanding success; answers the body. */
  async must(method: string, path: string, sent: Sent = {}): Promise<Record<string, unknown>> {
    const { request, status, text } = await this.ask(method, path, sent)
    if (status >= 300) throw new Error(`${request} answered ${String(status)}: ${text}`)
    return JSON.parse(text.slice(text.indexOf('\n{') + 1)) as Record<string, unknown>
  }

  /** Takes an answer out of those that may hold nothing. */
  forget(asked: Asked): void {
    this.asked.splice(this.asked.indexOf(asked), 1)
  }

  /** At the highest verbosity. */
  async type(input: string, ...args: string[]): Promise<Ran> {
    const ran = { line: args.join(' '), ...(await this.sandbox.type(input, ...args, '-v', '9')) }
    this.ran.push(ran)
    return ran
  }

  async run(...args: string[]): Promise<Ran> {
    return this.type('', ...args)
  }

  async mustRun(...args: string[]): Promise<string> {
    const { code, out, err } = await this.run(...args)
    if (code !== 0) throw new Error(`mcpctl ${args.join(' ')} ended with ${String(code)}: ${err}`)
    return out
  }

  /** Runs a command that waits for its standard input, looks at the machine meanwhile, and then gives the input. */
  async runSeen(input: string, ...args: string[]): Promise<Ran> {
    const { env, directory: cwd } = this.sandbox
    const child = spawn(process.execPath, [program('mcpctl'), ...args, '-v', '9'], { env, cwd })
    const ran: Ran = { line: args.join(' '), code: null, out: '', err: '' }
    child.stdout.setEncoding('utf8').on('data', (text: string) => (ran.out += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (ran.err += text))
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    await until('the command line shows', async () =>
      (await this.look()).some(({ pid, cmdline }) => pid === child.pid && cmdline.includes('mcpctl')),
    )
    child.stdin.end(input)
    ran.code = await ended
    await this.look()
    this.ran.push(ran)
    return ran
  }

  /** Keeps what the process table shows of the daemon, its children and the commands now. */
  async look(): Promise<SeenProcess[]> {
    const seen: SeenProcess[] = []
    for (const { pid } of await this.sandbox.running()) {
      const [cmdline = '', environ = ''] = await Promise.all(
        ['cmdline', 'environ'].map((name) => readFile(`/proc/${String(pid)}/${name}`, 'utf8').catch(() => '')),
      )
      seen.push({ pid, isInstance: environ.includes('MCPCTL_INSTANCE='), cmdline, environ })
    }
    this.processes.push(...seen)
    return seen
  }

  /** Keeps everything that a watch is sent until the end. */
  async watch(path: string): Promise<void> {
    const { server, token } = this.sandbox.context()
    const answer = await fetch(`${server}${path}?watch=true`, {
      headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
      signal: this.watching.signal,
    })
    if (!answer.ok || !answer.body) throw new Error(`${path} cannot be watched: ${await answer.text()}`)
    const at = this.frames.push('') - 1
    const decoder = new TextDecoder()
    void (async () => {
      for await (const chunk of answer.body ?? [])
        this.frames[at] = `${this.frames[at] ?? ''}${decoder.decode(chunk, { stream: true })}`
    })().catch(() => undefined)
  }

  /** An editor that keeps what it was given, looks at the command that started it, and replaces a text in the file. */
  async editor(from: RegExp, to: string): Promise<string> {
    const file = join(this.evidence, `editor-${String(Date.now())}.mjs`)
    const source = `#!/usr/bin/env node
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
const file = process.argv.at(-1)
copyFileSync(file, ${JSON.stringify(join(this.evidence, 'edited'))})
for (const name of ['cmdline', 'environ'])
  writeFileSync(${JSON.stringify(this.evidence)} + '/editing-' + name, readFileSync('/proc/' + process.ppid + '/' + name))
const text = readFileSync(file, 'utf8')
if (!${String(from)}.test(text)) process.exit(1)
writeFileSync(file, text.replace(${String(from)}, () => ${JSON.stringify(to)}))
`
    await writeFile(file, source, { mode: 0o700 })
    return file
  }

  /** Runs a program that is none of ours. */
  execute(file: string, ...args: string[]): Promise<Answer> {
    return execute(file, args, { env: this.sandbox.env, cwd: this.sandbox.directory })
  }

  async objects(plural: string): Promise<ResourceObject[]> {
    const { items } = await this.must('GET', `/api/v1/${plural}`)
    return items as ResourceObject[]
  }
}
