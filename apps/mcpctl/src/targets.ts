import { findKind, kindWords, suggest } from '@mcpctl/contracts'
import type { Kind, ResourceObject } from '@mcpctl/contracts'
import type { Client } from '@mcpctl/client'
import { kinds } from '@mcpctl/kinds/kinds'
import { CliError, exit, isReason, usage } from './errors'

export interface Target {
  kind: Kind
  name: string
}

/** What the words of a command line name: whole kinds, or objects one by one. */
export interface Selection {
  kinds: Kind[]
  /** Undefined when no name was given. */
  targets?: Target[]
}

export const requireKind = (word: string): Kind => {
  const kind = findKind(kinds, word)
  if (kind) return kind
  const near = suggest(word, ['all', ...kinds.flatMap(kindWords)])
  const text = `the server doesn't have a resource type "${word}"`
  if (near === undefined) throw usage(text, 'run: mcpctl api-resources')
  throw usage(`${text}; did you mean "${findKind(kinds, near)?.plural ?? near}"?`)
}

const parseKinds = (word: string): Kind[] => {
  if (word.toLowerCase() === 'all') return [...kinds]
  const found = word
    .split(',')
    .filter((part) => part !== '')
    .map(requireKind)
  return [...new Set(found)]
}

const parseSlashed = (word: string): Target => {
  const [type = '', name = '', ...rest] = word.split('/')
  if (rest.length > 0) throw usage(`arguments in resource/name form may not have more than one slash: "${word}"`)
  if (name === '') throw usage(`there is no name behind the slash in "${word}"`)
  return { kind: requireKind(type), name }
}

const unique = (targets: readonly Target[]): Target[] => {
  const seen = new Map(targets.map((target) => [`${target.kind.plural}/${target.name}`, target]))
  return [...seen.values()]
}

const mixed = (command: string) =>
  usage(
    'there is no need to specify a resource type as a separate argument when passing arguments in resource/name form ' +
      `(e.g. 'mcpctl ${command} resource/<resource_name>' instead of 'mcpctl ${command} resource resource/<resource_name>')`,
  )

/** `TYPE[,TYPE]`, `TYPE[,TYPE] NAME…` or `TYPE/NAME…`; a name given twice counts once. Throws usage errors. */
export const parseSelection = (words: readonly string[], command: string): Selection => {
  const [first, ...rest] = words
  if (first === undefined)
    throw usage(
      'Required resource not specified.',
      `Name a type, for example: mcpctl ${command} servers. "mcpctl api-resources" lists them.`,
    )
  const slashed = words.filter((word) => word.includes('/'))
  if (slashed.length > 0 && slashed.length < words.length) throw mixed(command)
  if (slashed.length > 0) {
    const targets = unique(words.map(parseSlashed))
    return { kinds: [...new Set(targets.map(({ kind }) => kind))], targets }
  }
  const selected = parseKinds(first)
  if (rest.length === 0) return { kinds: selected }
  return { kinds: selected, targets: unique(selected.flatMap((kind) => rest.map((name) => ({ kind, name })))) }
}

/** The same, for commands that act on named objects only. */
export const parseTargets = (words: readonly string[], command: string): Target[] => {
  const { targets, kinds: selected } = parseSelection(words, command)
  if (targets) return targets
  throw usage(
    `name the ${selected[0]?.singular ?? 'object'} too`,
    `For example: mcpctl ${command} ${selected[0]?.singular ?? 'server'}/NAME`,
  )
}

const uidLike = /^[0-9a-f][0-9a-f-]{3,35}$/
const uidLength = 36

const byUid = async (client: Client, { kind, name }: Target, prefix: boolean): Promise<ResourceObject | undefined> => {
  if (!uidLike.test(name) || (!prefix && name.length < uidLength)) return undefined
  const { items } = await client.list(kind.plural)
  const matches = items.filter(({ metadata }) => metadata.uid.startsWith(name))
  if (matches.length < 2) return matches[0]
  const listed = matches.map(({ metadata }) => `${kind.singular}/${metadata.name} (${metadata.uid})`).join(', ')
  throw new CliError(exit.conflict, `ambiguous id "${name}": matches ${listed}`)
}

/**
 * Finds an object by its name, else by its uid; where `prefix` is allowed (reading), by the uid's beginning too.
 * A name always wins. Throws NotFound as the daemon words it.
 */
export const findTarget = async (client: Client, target: Target, prefix: boolean): Promise<ResourceObject> => {
  try {
    return await client.get(target.kind.plural, target.name)
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error
    const found = await byUid(client, target, prefix)
    if (found) return found
    throw error
  }
}
