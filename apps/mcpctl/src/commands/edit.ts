import type { Command } from 'commander'
import { jsonEqual, toEntry } from '@mcpctl/contracts'
import type { ErrorCode, ManifestEntry, ResourceObject } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { MarkedText } from '../edit/marked-text'
import type { Remark } from '../edit/marked-text'
import { PrivateFile } from '../edit/private-file'
import { runEditor } from '../edit/editor'
import { mergeOnto } from '../edit/version'
import { CliError, errorLines, exit, exitCode, isReason, ManifestRefused, throwAll, usage } from '../errors'
import type { ExitCode } from '../errors'
import { showGlobal } from '../global-options'
import { mayAsk } from '../io'
import { sendReplace } from '../manifest/create'
import { parseManifests } from '../manifest/parse'
import type { ManifestObject } from '../manifest/parse'
import { toJson } from '../output/bundle'
import { escapeText } from '../output/escape'
import { parseFormat } from '../output/format'
import type { Session } from '../session'
import { findTarget, parseTargets } from '../targets'
import type { Target } from '../targets'

const formats = ['yaml', 'json'] as const
type Format = (typeof formats)[number]

export interface EditRequest {
  targets: Target[]
  format: Format
}

/** Where nobody is asked whether to go on, an editor that makes the same mistake for ever is stopped. */
const unattendedTries = 10

export const parseEdit = (words: string[], flags: { output: string }): EditRequest => {
  const targets = parseTargets(words, 'edit')
  const fixed = targets.find(({ kind }) => kind.applyOrder === undefined || !kind.verbs.includes('update'))
  if (fixed) throw usage(`${fixed.kind.plural} cannot be edited: the daemon makes them`)
  return { targets, format: parseFormat(flags.output, formats) }
}

const instructions = [
  'Edit the object below and leave the editor. The lines up here are left out;',
  'an empty file ends the edit. If something is wrong, the file opens again and says what.',
]
const aboutKept = 'A value that reads "keep: true" stays as it is; write text in its place to change it.'

/** What the editor is to show, and what it stands for. */
interface Draft {
  /** The object as it was when the text below was made of it, or was merged with it. */
  seen: ResourceObject
  body: string
  marked: MarkedText
  /** Why an earlier attempt was refused. */
  failure?: ExitCode
}

const toText = async (kind: Target['kind'], entry: ManifestEntry, format: Format): Promise<string> => {
  const bundle = { [kind.plural]: [entry] }
  return format === 'json' ? toJson(bundle) : (await import('../output/yaml')).toYaml(bundle)
}

const parseOne = (text: string, { name }: PrivateFile, { kind, name: object }: Target): ManifestObject => {
  const objects = parseManifests([{ name, text }])
  const [first, second] = objects
  if (!first || second || first.kind !== kind)
    throw usage(`${second?.locate([]) ?? name}: the file must hold ${kind.singular}/${object} and nothing else`)
  if (first.entry.name === object) return first
  throw usage(`${first.locate(['name'])}: a name cannot be changed; this is ${kind.singular}/${object}`)
}

/** Refusals that other words in the file may avoid. */
const avoidable = new Set<ErrorCode>([
  'Invalid',
  'BadRequest',
  'TooLarge',
  'Escalation',
  'SecretUse',
  'ServerUse',
  'LastAdmin',
])

const mayBeMended = (error: unknown): boolean =>
  error instanceof ManifestRefused
    ? avoidable.has(error.refusal.problem.reason)
    : error instanceof CliError && error.exitCode === exit.usage

const isStale = (error: unknown): boolean =>
  error instanceof ManifestRefused && isReason(error.refusal, 'PreconditionFailed')

/** What was wrong, each where the file says that it is. */
const remarksOf = (error: unknown, { name }: PrivateFile, place: (line: number) => number): Remark[] => {
  const pattern = new RegExp(`(?: \\()?${name.replace(/[.+]/g, '\\$&')}:(\\d+)(?:\\)|: )?`)
  return errorLines(error).map((line) => {
    const found = pattern.exec(line)
    const text = line.replace(pattern, '').replace(/^(\*|error:) */, '')
    return found ? { text, line: place(Number(found[1])) } : { text }
  })
}

const shown = (value: unknown): string => {
  if (value === undefined) return 'removed'
  return JSON.stringify(value).slice(0, 200)
}

/** One object on its way through the editor, as often as it takes. */
class Edit {
  private tries = 0

  constructor(
    private readonly session: Session,
    private readonly target: Target,
    private readonly format: Format,
    private readonly file: PrivateFile,
  ) {}

  async run(object: ResourceObject): Promise<void> {
    let draft: Draft | undefined = await this.fresh(object)
    while (draft) draft = await this.round(draft)
  }

  private get head(): string[] {
    return this.target.kind.plural === 'secrets' ? [...instructions, aboutKept] : instructions
  }

  private async fresh(object: ResourceObject): Promise<Draft> {
    const body = await toText(this.target.kind, toEntry(this.target.kind, object), this.format)
    return { seen: object, body, marked: MarkedText.of(body, this.head) }
  }

  /** Answers what is to be shown next; undefined when all is done. */
  private async round(draft: Draft): Promise<Draft | undefined> {
    this.file.write(draft.marked.text)
    await this.open(draft)
    const edited = this.file.read()
    const body = draft.marked.strip(edited)
    if (body.split('\n').every((line) => /^\s*(#|$)/.test(line))) return this.cancel('saved file was empty')
    // What was refused is left as it is by leaving our remarks too: whoever takes them out has decided.
    if (draft.failure === undefined ? body === draft.body : edited === draft.marked.text) return this.unchanged(draft)
    try {
      const wanted = parseOne(edited, this.file, this.target)
      if (jsonEqual(wanted.entry, toEntry(this.target.kind, draft.seen))) return this.cancel('no changes made')
      return await this.send(draft, wanted)
    } catch (error) {
      if (!mayBeMended(error)) throw error
      return await this.again(error, draft, edited)
    }
  }

  private async open({ body, marked }: Draft): Promise<void> {
    try {
      await runEditor(this.session.io, this.file.path)
    } catch (error) {
      if (marked.strip(this.file.read()) === body) this.file.remove()
      throw error
    }
  }

  private cancel(why: string): undefined {
    this.file.remove()
    this.session.say(`Edit cancelled, ${why}.`)
  }

  private unchanged({ failure }: Draft): undefined {
    if (failure === undefined) return this.cancel('no changes made')
    throw new CliError(failure, 'Edit cancelled, no valid changes were saved.')
  }

  private async send(draft: Draft, wanted: ManifestObject): Promise<Draft | undefined> {
    const { session, target } = this
    try {
      await sendReplace(session, wanted, draft.seen.metadata.resourceVersion)
    } catch (error) {
      if (isStale(error)) return await this.merge(error, draft, wanted)
      throw error
    }
    this.file.remove()
    session.print(`${target.kind.singular}/${target.name} edited\n`)
    return undefined
  }

  /** Somebody was faster. What does not clash is sent again on top of it; what clashes is for the user to say. */
  private async merge(error: unknown, { seen }: Draft, wanted: ManifestObject): Promise<Draft | undefined> {
    const { kind, name } = this.target
    const theirs = await this.session.client.get(kind.plural, name)
    if (theirs.metadata.uid !== seen.metadata.uid) throw error
    const { value: entry, clashes } = mergeOnto(kind, { base: seen, theirs }, wanted.entry)
    const body = await toText(kind, entry, this.format)
    const now = { seen: theirs, body, marked: MarkedText.of(body, this.head) }
    if (clashes.length === 0) {
      this.session.say(`${kind.singular}/${name} was changed by somebody else meanwhile; both changes are kept`)
      return this.send(now, parseOne(body, this.file, this.target))
    }
    const { locate } = parseOne(body, this.file, this.target)
    const remarks = clashes.map(({ path, theirs: value }) => ({
      text: `${path.join('.')}: changed by somebody else meanwhile; it is now: ${kind.plural === 'secrets' ? 'another value' : shown(value)}`,
      line: Number(/:(\d+)$/.exec(locate(path))?.[1]),
    }))
    this.file.write(body)
    await this.ask([...errorLines(error), ...remarks.map(({ text }) => `* ${text}`)])
    const head = [
      ...this.head,
      '',
      'Somebody else has changed the same: write what shall hold, and delete the lines with ↓.',
    ]
    return { ...now, marked: MarkedText.of(body, head, remarks), failure: exit.conflict }
  }

  private async again(error: unknown, draft: Draft, edited: string): Promise<Draft> {
    const body = draft.marked.strip(edited)
    const remarks = remarksOf(error, this.file, (line) => draft.marked.lineIn(edited, line))
    this.file.write(edited)
    await this.ask(errorLines(error, this.session.verbosity))
    const failure = exitCode(error) === exit.conflict ? exit.conflict : exit.negative
    return {
      seen: draft.seen,
      body,
      marked: MarkedText.of(body, [...this.head, '', 'This was wrong:'], remarks),
      failure,
    }
  }

  private async ask(lines: readonly string[]): Promise<void> {
    const { io } = this.session
    io.err(lines.map((line) => `${line}\n`).join(''))
    if (!mayAsk(io)) {
      this.tries++
      if (this.tries >= unattendedTries)
        throw new CliError(exit.negative, `Edit cancelled: refused ${String(this.tries)} times.`)
      return
    }
    const answer = await io.ask('Press Enter to re-edit, Ctrl-C to abort ')
    if (answer === undefined) throw new CliError(exit.interrupted, 'interrupted; nothing was changed')
  }
}

const keepCopy = ({ io }: Session, { kind }: Target, file: PrivateFile): void => {
  if (file.read() === '') return
  io.err(`A copy of your changes has been stored to "${escapeText(file.keep())}"\n`)
  if (kind.plural === 'secrets')
    io.err('It may hold values of the secret, and only you can read it; delete it when you have done with it.\n')
}

const editOne = async (session: Session, target: Target, format: Format): Promise<void> => {
  const object = await findTarget(session.client, target, false)
  const found = { kind: target.kind, name: object.metadata.name }
  const file = PrivateFile.create(session.io, `mcpctl-edit-${target.kind.singular}-${found.name}.${format}`)
  try {
    await new Edit(session, found, format, file).run(object)
  } catch (error) {
    keepCopy(session, found, file)
    throw error
  }
}

/** Opens one object after the other in the user's editor; Ctrl-C leaves those that are left as they are. */
export const runEdit = async (session: Session, { targets, format }: EditRequest): Promise<void> => {
  session.announceContext()
  const errors: unknown[] = []
  for (const target of targets) {
    try {
      await editOne(session, target, format)
    } catch (error) {
      errors.push(error)
      if (exitCode(error) === exit.interrupted) break
    }
  }
  throwAll(errors)
}

export const define = (command: Command, open: OpenSession, run = runEdit): void => {
  showGlobal(command, '--reason')
  command
    .usage('TYPE/NAME… | TYPE NAME… [flags]')
    .argument('[words...]')
    .option('-o, --output <format>', `language of the file: ${formats.join('|')}`, 'yaml')
    .addHelpText(
      'after',
      `
The editor is the first of MCPCTL_EDITOR, KUBE_EDITOR, VISUAL and EDITOR that is set, else vi. Several objects open one after the other.

Examples:
  mcpctl edit server/github
  EDITOR="code --wait" mcpctl edit secret gh-token`,
    )
    .action(async (words: string[], flags: { output: string }) => run(open(command), parseEdit(words, flags)))
}
