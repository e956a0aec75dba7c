import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { didYouMean } from '@mcpctl/contracts'
import { ConfigError } from './errors'
import { configPath } from './paths'

export interface ContextEntry {
  server: string
  token: string
  user?: string
  /** Mutating commands always ask before they act on such a context. */
  protected?: boolean
}

export interface Config {
  currentContext?: string
  contexts: Record<string, ContextEntry>
}

export interface Context extends ContextEntry {
  name: string
}

export interface ContextChoice {
  /** Name of a context; else `$MCPCTL_CONTEXT`, else the file's current one. */
  context?: string | undefined
  /** Overrides the context's address. */
  server?: string | undefined
  /** Overrides the context's token. */
  token?: string | undefined
  env?: Record<string, string | undefined> | undefined
  /** Called with one sentence when the file can be read by others. */
  warn?: ((text: string) => void) | undefined
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

// Not `instanceof Error`: an error of node's own may come from another realm, as it does under jest.
const isMissing = (error: unknown) => isRecord(error) && error['code'] === 'ENOENT'

const reasonOf = (error: unknown) =>
  isRecord(error) && typeof error['message'] === 'string' ? error['message'] : String(error)

const parseEntry = (file: string, name: string, value: unknown): ContextEntry => {
  if (!isRecord(value) || typeof value['server'] !== 'string' || typeof value['token'] !== 'string')
    throw new ConfigError('BadFile', `${file}: context "${name}" needs a "server" and a "token"`)
  return {
    server: value['server'],
    token: value['token'],
    ...(typeof value['user'] === 'string' ? { user: value['user'] } : {}),
    ...(value['protected'] === true ? { protected: true } : {}),
  }
}

const parseConfig = (file: string, text: string): Config => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // The parser's message quotes the text around the fault, which may be a token.
    throw new ConfigError('BadFile', `${file} is not valid JSON; mend it, or delete it and run: mcpctl up`)
  }
  if (!isRecord(value)) throw new ConfigError('BadFile', `${file} must hold a JSON object`)
  const contexts = isRecord(value['contexts']) ? value['contexts'] : {}
  const current = value['currentContext']
  return {
    ...(typeof current === 'string' ? { currentContext: current } : {}),
    contexts: Object.fromEntries(
      Object.entries(contexts).map(([name, entry]) => [name, parseEntry(file, name, entry)] as const),
    ),
  }
}

/** The parsed configuration file, or undefined when there is none. Throws `ConfigError` when it cannot be read or understood. */
export const findConfig = (file: string = configPath()): Config | undefined => {
  try {
    return parseConfig(file, readFileSync(file, 'utf8'))
  } catch (error) {
    if (isMissing(error)) return undefined
    if (error instanceof ConfigError) throw error
    throw new ConfigError('BadFile', `cannot read ${file}: ${reasonOf(error)}`)
  }
}

/** The configuration; an absent file reads as one without contexts. Throws `ConfigError`. */
export const readConfig = (file: string = configPath()): Config => findConfig(file) ?? { contexts: {} }

/** Replaces the file in one step, readable by its owner only; a reader sees the old content or the new, never half of it. */
export const writeConfig = (config: Config, file: string = configPath()): void => {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const next = `${file}.${crypto.randomUUID()}.tmp`
  try {
    writeFileSync(next, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600, flag: 'wx', flush: true })
    chmodSync(next, 0o600)
    renameSync(next, file)
  } catch (error) {
    rmSync(next, { force: true })
    throw error
  }
}

/** Adds or replaces one context and leaves the others alone; it becomes the current one when none was. */
export const writeContext = (name: string, entry: ContextEntry, file: string = configPath()): void => {
  const config = readConfig(file)
  const current = config.currentContext
  const currentIsUsable = current !== undefined && Object.hasOwn(config.contexts, current)
  writeConfig(
    { currentContext: currentIsUsable ? current : name, contexts: { ...config.contexts, [name]: entry } },
    file,
  )
}

const warnWhenShared = (file: string, warn: (text: string) => void) => {
  if (process.platform === 'win32') return
  if ((statSync(file).mode & 0o077) !== 0)
    warn(`${file} holds a token and can be read by other users; run: chmod 600 ${file}`)
}

const readAndWarn = (file: string, warn: ContextChoice['warn']): Config => {
  const config = findConfig(file)
  if (config && warn) warnWhenShared(file, warn)
  return config ?? { contexts: {} }
}

const present = <K extends string>(key: K, value: string | undefined): { [P in K]?: string } =>
  (value === undefined ? {} : { [key]: value }) as { [P in K]?: string }

const chosenEntry = (config: Config, wanted: string | undefined): Context => {
  const name = wanted ?? config.currentContext
  if (name === undefined) throw new ConfigError('NoContext', 'no daemon is configured', 'mcpctl up')
  const entry = Object.hasOwn(config.contexts, name) ? config.contexts[name] : undefined
  if (entry) return { name, ...entry }
  const names = Object.keys(config.contexts)
  if (names.length === 0 && wanted === undefined)
    throw new ConfigError('NoContext', 'no daemon is configured', 'mcpctl up')
  throw new ConfigError(
    'UnknownContext',
    `there is no context "${name}"${didYouMean(name, names)}`,
    'mcpctl config get-contexts',
  )
}

/**
 * The daemon to talk to and the token to use. Throws `ConfigError`: `NoContext` when nothing is configured,
 * `UnknownContext` for a name that the file lacks, `BadFile` for a file that cannot be read.
 */
export const loadContext = (choice: ContextChoice = {}): Context => {
  const { env = process.env, warn, server, token } = choice
  const file = configPath(env)
  const config = readAndWarn(file, warn)
  const wanted = choice.context ?? (env['MCPCTL_CONTEXT'] || undefined)
  // With both given no file is needed.
  if (server !== undefined && token !== undefined && wanted === undefined) return { name: server, server, token }
  return { ...chosenEntry(config, wanted), ...present('server', server), ...present('token', token) }
}
