import { chmodSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

type Environment = Record<string, string | undefined>

/** A variable that is set to nothing counts as unset, as the XDG specification asks. */
const from = (env: Environment, name: string): string | undefined => env[name] || undefined

/** The CLI's configuration file: `$MCPCTL_CONFIG`, else below `$XDG_CONFIG_HOME`, else `~/.config`. */
export const configPath = (env: Environment = process.env): string =>
  from(env, 'MCPCTL_CONFIG') ??
  join(from(env, 'XDG_CONFIG_HOME') ?? join(homedir(), '.config'), 'mcpctl', 'config.json')

/** Where a local daemon keeps what it must not lose: `/var/lib/mcpctl` for root, else below `$XDG_DATA_HOME` or `~/.local/share`. */
export const dataDirectory = (env: Environment = process.env): string => {
  if (process.getuid?.() === 0) return '/var/lib/mcpctl'
  return join(from(env, 'XDG_DATA_HOME') ?? join(homedir(), '.local', 'share'), 'mcpctl')
}

/** What a running daemon says about itself: pid and address, readable by its owner only. */
export const daemonFile = (directory: string): string => join(directory, 'mcpd.json')

/** Where `mcpctl up` sends the daemon's output. */
export const daemonLog = (directory: string): string => join(directory, 'mcpd.log')

/**
 * Makes a data directory that only its owner can list. Root's lets others pass: PostgreSQL refuses to run as root, and its own user
 * must get to the cluster inside. Throws what node throws.
 */
export const makeDataDirectory = (directory: string): void => {
  const isRoot = process.getuid?.() === 0
  mkdirSync(directory, { recursive: true, mode: isRoot ? 0o711 : 0o700 })
  // One that an earlier attempt left closed; a directory that somebody chose stays as it is.
  if (isRoot && directory === dataDirectory()) chmodSync(directory, 0o711)
}
