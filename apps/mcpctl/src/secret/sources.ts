import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { CliError, exit, usage } from '../errors'
import { mayAsk } from '../io'
import type { Io } from '../io'
import { isKey, written } from './value'
import type { WrittenValue } from './value'

/** Ways to give the values of a secret. No error repeats a value, nor a word that may be one. */
export interface ValueFlags {
  fromLiteral?: string[]
  fromFile?: string[]
  fromEnvFile?: string[]
  fromStdin?: string[]
  prompt?: string[]
}

/** One key, where it came from and how to read its value. */
export interface Source {
  key: string
  flag: string
  read: () => WrittenValue | Promise<WrittenValue>
}

const keySyntax = 'a key is 1 to 253 letters, digits, "-", "_" or ".", and neither "." nor ".."'

const requireKey = (key: string, flag: string): string => {
  if (isKey(key)) return key
  // Whoever leaves the key out has written the value in its place.
  throw usage(`${flag}: invalid key; ${keySyntax}`)
}

const causes: Record<string, string> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EACCES: 'may not be read by this user',
  EPERM: 'may not be read by this user',
  EISDIR: 'is a directory',
  ENAMETOOLONG: 'does not exist',
}

const reading = <T>(what: string, read: () => T): T => {
  try {
    return read()
  } catch (error) {
    const code = String(Reflect.get(error as object, 'code'))
    throw usage(`${what} ${causes[code] ?? `cannot be read (${code})`}`)
  }
}

const fromLiteral = (word: string, index: number, { length }: readonly string[]): Source => {
  const at = word.indexOf('=')
  const which = length > 1 ? `--from-literal, number ${String(index + 1)} of ${String(length)}` : '--from-literal'
  if (at === -1) throw usage(`${which}: write KEY=VALUE; there is no "="`)
  return {
    key: requireKey(word.slice(0, at), which),
    flag: '--from-literal',
    read: () => written(Buffer.from(word.slice(at + 1))),
  }
}

const fileSource = (key: string, path: string, what: string): Source => ({
  key,
  flag: '--from-file',
  read: () => written(reading(what, () => readFileSync(path))),
})

/** As kubectl does: every regular file that has a key's name, and nothing below. */
const fromDirectory = (path: string): Source[] => {
  const entries = reading(`--from-file: "${path}"`, () => readdirSync(path, { withFileTypes: true }))
  const names = entries.filter((entry) => entry.isFile() && isKey(entry.name)).map(({ name }) => name)
  if (names.length === 0) throw usage(`--from-file: "${path}" holds no file whose name is a key; ${keySyntax}`)
  return names.sort().map((name) => fileSource(name, join(path, name), `--from-file: "${join(path, name)}"`))
}

const fromFile = (word: string): Source[] => {
  const at = word.indexOf('=')
  if (at === -1) {
    const what = `--from-file: "${word}"`
    if (reading(what, () => statSync(word)).isDirectory()) return fromDirectory(word)
    const key = basename(word)
    if (isKey(key)) return [fileSource(key, word, what)]
    throw usage(`${what}: the name of the file is no key; write KEY=PATH, where ${keySyntax}`)
  }
  const key = requireKey(word.slice(0, at), '--from-file')
  const path = word.slice(at + 1)
  // What stands behind the sign may be a value that somebody meant to give with --from-literal.
  const what = `--from-file: the file for key "${key}"`
  if (path === '') throw usage(`--from-file: there is no path behind "${key}="`)
  if (reading(what, () => statSync(path)).isDirectory())
    throw usage(`${what} is a directory; leave the key out to take every file in it`)
  return [fileSource(key, path, what)]
}

/** Lines of KEY=VALUE, taken as they are: no quotes, no escapes, no variables. */
const fromEnvFile = (path: string): Source[] => {
  const what = `--from-env-file: "${path}"`
  const bytes = reading(what, () => readFileSync(path))
  const value = written(bytes)
  if (typeof value !== 'string') throw usage(`${what} is no text; such a value goes in with --from-file`)
  const lines = value.replace(/^\ufeff/, '').split(/\r?\n/)
  return lines.flatMap((line, index): Source[] => {
    const trimmed = line.trimStart()
    if (trimmed === '' || trimmed.startsWith('#')) return []
    const at = trimmed.indexOf('=')
    if (at === -1) throw usage(`${what}: line ${String(index + 1)} has no "="; write KEY=VALUE`)
    const key = trimmed.slice(0, at)
    if (!isKey(key)) throw usage(`${what}: line ${String(index + 1)}: invalid key; ${keySyntax}`)
    return [{ key, flag: '--from-env-file', read: () => trimmed.slice(at + 1) }]
  })
}

/** What stdin holds without the one line end that `echo` and `<<<` add; everything else belongs to the value. */
const readStdin = async (io: Io): Promise<WrittenValue> => {
  const bytes = await io.readBytes()
  return written(bytes.at(-1) === 0x0a ? bytes.subarray(0, -1) : bytes)
}

const fromStdin = (io: Io, keys: readonly string[]): Source[] => {
  const [key, ...more] = keys
  if (key === undefined) return []
  if (more.length > 0) throw usage('--from-stdin can be given once: stdin holds one value')
  if (io.inIsTerminal) throw usage('--from-stdin: stdin is a terminal; pipe the value in, or type it with --prompt KEY')
  return [{ key: requireKey(key, '--from-stdin'), flag: '--from-stdin', read: () => readStdin(io) }]
}

const ask = async (io: Io, key: string): Promise<WrittenValue> => {
  if (!mayAsk(io)) throw usage('there is nobody to ask for a value; give it with --from-stdin KEY')
  const answer = await io.askHidden(`Value of ${key}: `)
  if (answer === undefined) throw new CliError(exit.interrupted, 'interrupted; nothing was changed')
  if (answer === '') throw usage(`--prompt: nothing was typed for "${key}"; nothing was changed`)
  return answer
}

const prompt = (io: Io, word: string): Source => {
  const key = requireKey(word, '--prompt')
  return { key, flag: '--prompt', read: () => ask(io, key) }
}

/** Every value that the flags name, in the order of their keys. Nothing is asked before all is known to be right. Throws usage errors. */
export const sourcesOf = (io: Io, flags: ValueFlags): Source[] => {
  const sources = [
    ...(flags.fromFile ?? []).flatMap(fromFile),
    ...(flags.fromEnvFile ?? []).flatMap(fromEnvFile),
    ...(flags.fromLiteral ?? []).map(fromLiteral),
    ...fromStdin(io, flags.fromStdin ?? []),
    ...(flags.prompt ?? []).map((word) => prompt(io, word)),
  ]
  const seen = new Map<string, Source>()
  for (const source of sources) {
    const before = seen.get(source.key)
    if (before)
      throw usage(
        before.flag === source.flag
          ? `${source.flag} names the key "${source.key}" twice`
          : `the key "${source.key}" is named twice, by ${before.flag} and by ${source.flag}`,
      )
    seen.set(source.key, source)
  }
  return sources
}
