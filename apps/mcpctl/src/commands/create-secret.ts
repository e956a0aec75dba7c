import type { Command } from 'commander'
import type { ManifestEntry } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { usage } from '../errors'
import { showGlobal } from '../global-options'
import { printCreated, sendCreate } from '../manifest/create'
import type { CreateStyle } from '../manifest/create'
import { sourcesOf } from '../secret/sources'
import type { Source, ValueFlags } from '../secret/sources'
import { hasLooseEnds } from '../secret/value'
import type { WrittenValue } from '../secret/value'
import type { Session } from '../session'
import { requireKind } from '../targets'
import { addMetadataOptions, entryOf } from './create-metadata'
import type { MetadataFlags } from './create-metadata'
import { addStyleOptions, styleOf } from './create-style'
import type { StyleFlags } from './create-style'
import { collect, numberOf } from './flags'

interface SecretFlags extends StyleFlags, MetadataFlags, ValueFlags {
  historyLimit?: string
}

export interface CreateSecretRequest {
  /** All but the values. */
  entry: ManifestEntry
  values: ValueFlags
  style: CreateStyle
}

const example = 'mcpctl create secret gh-token --from-file token=./token.txt'

/** kubectl has types of secrets and wants one named; here all are of one, which may be named too. */
const nameOf = (words: string[]): string[] => {
  const [type, ...rest] = words
  if (words.length !== 2) return words
  if (type === 'generic') return rest
  throw usage('exactly one NAME is required, got 2', `Values are given by flags, for example: ${example}`)
}

export const parseCreateSecret = (words: string[], flags: SecretFlags): CreateSecretRequest => {
  const { fromLiteral, fromFile, fromEnvFile, fromStdin, prompt } = flags
  const values: ValueFlags = {
    ...(fromLiteral && { fromLiteral }),
    ...(fromFile && { fromFile }),
    ...(fromEnvFile && { fromEnvFile }),
    ...(fromStdin && { fromStdin }),
    ...(prompt && { prompt }),
  }
  const fields = { historyLimit: numberOf(flags.historyLimit, '--history-limit') }
  const entry = entryOf(nameOf(words), flags, { fields, example })
  if (Object.keys(values).length === 0) throw usage('a secret needs a value', `For example: ${example}`)
  return { entry, values, style: styleOf(flags) }
}

const readAll = async (session: Session, sources: readonly Source[]): Promise<Record<string, WrittenValue>> => {
  const data: Record<string, WrittenValue> = {}
  for (const { key, flag, read } of sources) {
    const value = await read()
    if (hasLooseEnds(value))
      session.warn(`the value of "${key}" begins or ends with white space, which is kept (${flag})`)
    data[key] = value
  }
  return data
}

const warnOfLiterals = (session: Session, { fromLiteral }: ValueFlags): void => {
  if (!fromLiteral || !session.io.errIsTerminal) return
  session.warn(
    'other users of this machine can see the value of --from-literal, and your shell keeps it; ' +
      'give it with --from-file, --from-env-file, --from-stdin KEY or --prompt KEY',
  )
}

const kept = (sources: readonly Source[]): Record<string, { keep: true }> =>
  Object.fromEntries(sources.map(({ key }) => [key, { keep: true }]))

/** Makes the secret of what the flags name. What is printed never holds a value, whoever decides. */
export const runCreateSecret = async (session: Session, request: CreateSecretRequest): Promise<void> => {
  const { entry, values, style } = request
  const kind = requireKind('secret')
  const sources = sourcesOf(session.io, values)
  warnOfLiterals(session, values)
  if (!style.dryRun) session.announceContext()
  const data = style.dryRun === 'client' ? kept(sources) : await readAll(session, sources)
  const object = await sendCreate(session, { kind, entry: { ...entry, data }, locate: () => '' }, style)
  const shown = { ...object, spec: { ...object.spec, data: kept(sources) } }
  await printCreated(session, [{ kind, object: shown }], style)
}

export const defineCreateSecret = (command: Command, open: OpenSession, run = runCreateSecret): void => {
  showGlobal(command, '--reason')
  addMetadataOptions(addStyleOptions(command))
    .summary('Create a secret')
    .description(
      'Create a secret from files, from stdin or from what is typed; its values are never shown again unasked',
    )
    .usage('[generic] NAME (--from-file | --from-env-file | --from-stdin | --prompt | --from-literal)… [flags]')
    .argument('[words...]')
    .option(
      '--from-file <path>',
      '[KEY=]PATH: a file, byte by byte, under its own name or the key; or every file of a directory; may be repeated',
      collect,
    )
    .option('--from-env-file <path>', 'a file of KEY=VALUE lines, taken as they are; may be repeated', collect)
    .option('--from-stdin <key>', 'what stdin holds, without one line end after it', collect)
    .option('--prompt <key>', 'ask for the value, which does not show; may be repeated', collect)
    .option(
      '--from-literal <key=value>',
      'a value on the command line, where others can see it; may be repeated',
      collect,
    )
    .option('--history-limit <count>', 'how many versions are kept (default 5)')
    .addHelpText(
      'after',
      `
Examples:
  ${example}
  mcpctl create secret db --from-env-file db.env --history-limit 3
  pass show gh | mcpctl create secret gh-token --from-stdin token
  mcpctl create secret gh-token --prompt token`,
    )
    .action(async (words: string[], flags: SecretFlags) => run(open(command), parseCreateSecret(words, flags)))
}
