import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { didYouMean, userNamePattern } from '@mcpctl/contracts'
import { dataDirectory } from '@mcpctl/client/paths'
import { defaultLimits, parseLoginLimit, parseProxies, parseRate, parseSettle, type Limits } from './limits'
import { UsageError } from './usage-error'

/** Everything that mcpd can be told, by flag or by environment. Read once, here. */
export interface Config {
  host: string
  /** 0: any free one; absent: the usual one, or any free one when that is taken. */
  port?: number
  dataDirectory: string
  /** Absent: the embedded PostgreSQL. */
  databaseUrl?: string
  migrateUrl?: string
  driver: 'auto' | 'docker' | 'process'
  /** Image with node for packages; without one packages run as child processes. */
  nodeImage?: string
  dockerHost?: string
  /** Name of the administrator whom the first start makes. */
  adminUser: string
  /** CLI configuration file that receives the local context. */
  writeContext?: string
  logLevel: string
  /** Host names besides the loopback ones under which clients may reach this daemon. */
  allowedHosts: string[]
  allowLoopbackUrls: boolean
  /** Address under which other daemons on the same store reach this one; absent: the one it listens on. */
  advertise?: string
  /** Addresses and networks of proxies whose `X-Forwarded-For` says who asks. */
  trustedProxies: string[]
  limits: Limits
  /** Rotations of a secret within so many milliseconds restart its servers once. */
  secretSettleMs: number
  /** File of the key-encryption keys: whoever has it and the database can open every secret. */
  kekFile: string
}

const options = {
  host: { type: 'string' },
  port: { type: 'string' },
  'data-dir': { type: 'string' },
  'kek-file': { type: 'string' },
  'database-url': { type: 'string' },
  driver: { type: 'string' },
  'write-context': { type: 'string' },
  'admin-user': { type: 'string' },
  'log-level': { type: 'string' },
  'allowed-host': { type: 'string', multiple: true },
  'allow-loopback-urls': { type: 'boolean' },
  'advertise-address': { type: 'string' },
  'trusted-proxy': { type: 'string', multiple: true },
  'request-rate': { type: 'string' },
  'call-rate': { type: 'string' },
  'login-limit': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const

export const usage = `Usage: mcpd [flags]
       mcpd admin recover --user NAME [flags]

The daemon of mcpctl: keeps MCP servers running and records everything.

Flags (and the variables that say the same):
  --host ADDRESS            address to listen on (MCPD_HOST, default 127.0.0.1)
  --port PORT               port to listen on, 0 for any free one (MCPD_PORT; default 7777, or a free one when that is taken)
  --data-dir DIRECTORY      what must not be lost (MCPD_DATA_DIR)
  --kek-file FILE           keys that open the secrets; made at first start (MCPD_KEK_FILE, default keys/kek in the data directory)
  --database-url URL        an external PostgreSQL >= 15 (DATABASE_URL); without it mcpd runs its own
  --driver auto|docker|process   what runs instances (MCPD_DRIVER, default auto)
  --write-context FILE      CLI configuration file that receives the local context (MCPD_WRITE_CONTEXT)
  --admin-user NAME         the administrator whom the first start makes (MCPD_ADMIN_USER, default admin)
  --log-level LEVEL         trace, debug, info, warn, error (MCPD_LOG_LEVEL, default info)
  --allowed-host NAME       a further Host header to accept; repeatable (MCPD_ALLOWED_HOSTS, comma-separated)
  --allow-loopback-urls     remote servers may be on this machine (MCPD_ALLOW_LOOPBACK_URLS=1)
  --advertise-address URL   where other daemons on the same database reach this one (MCPD_ADVERTISE_ADDRESS)
  --trusted-proxy ADDRESS   a proxy whose X-Forwarded-For is believed, or its network; repeatable (MCPD_TRUSTED_PROXIES, comma-separated)
  --request-rate N[:BURST]  requests of one user in a second, and at once; 0 for any number (MCPD_REQUEST_RATE, default 50:1000)
  --call-rate N[:BURST]     the same of MCP calls (MCPD_CALL_RATE, default 20:400)
  --login-limit N[:N[:N]]   failed logins: on an account from one address in 15 minutes; from one address, and from everywhere, in a
                            minute (MCPD_LOGIN_LIMIT, default 5:20:600)
  --version, --help

mcpd admin recover makes a user an administrator again and prints a one-time code that sets its password. It needs the database, while no
other mcpd runs the embedded one.

MCPD_NODE_IMAGE names a container image with node in which npm packages run when an engine answers.
MCPD_SECRET_SETTLE: a secret that is rotated again within so many seconds restarts its servers once (default 10, at most 3600).
MCPD_MIGRATE_URL is used for migrations only, where the daemon's own role may not change tables.
DOCKER_HOST names the container engine.
`

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal']
const DRIVERS = ['auto', 'docker', 'process'] as const

type Environment = Record<string, string | undefined>

const portOf = (text: string | undefined): { port?: number } => (text ? { port: parsePort(text) } : {})

const parsePort = (text: string): number => {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port <= 65535) return port
  throw new UsageError(`port must be a number from 0 to 65535, not "${text}"`)
}

const oneOf = <T extends string>(what: string, text: string, allowed: readonly T[]): T => {
  const found = allowed.find((value) => value === text)
  if (found === undefined)
    throw new UsageError(`${what} must be one of ${allowed.join(', ')}, not "${text}"${didYouMean(text, allowed)}`)
  return found
}

const parse = (argv: string[]) => {
  try {
    return parseArgs({ args: argv, options, allowPositionals: false, strict: true }).values
  } catch (error) {
    const flag = /'(--?[\w-]+)/.exec((error as Error).message)?.[1] ?? ''
    const known = Object.keys(options).map((name) => `--${name}`)
    if (known.includes(flag)) throw new UsageError((error as Error).message, { cause: error })
    throw new UsageError(`unknown flag: ${flag}${didYouMean(flag, known)}`, { cause: error })
  }
}

/** An empty variable counts as unset. */
const set = <K extends string>(key: K, value: string | undefined): { [P in K]?: string } =>
  (value ? { [key]: value } : {}) as { [P in K]?: string }

const isLoopback = (host: string) => host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)

const hostOf = (host: string, env: Environment): string => {
  if (isLoopback(host) || env['MCPD_INSECURE_HTTP'] === '1') return host
  throw new UsageError(
    `host ${host} is not a loopback address and mcpd speaks plain HTTP; put a TLS proxy in front of 127.0.0.1, or set MCPD_INSECURE_HTTP=1 on a network that you trust`,
  )
}

const userNameOf = (name: string): string => {
  if (userNamePattern.test(name) && !name.startsWith('system:')) return name
  throw new UsageError(`admin user must be lower-case letters, digits and -.@_+, not "${name}"`)
}

const listOf = (text: string): string[] => text.split(',').filter((name) => name !== '')

const limitsOf = (flags: ReturnType<typeof parse>, env: Environment): Limits => ({
  requests: parseRate('request rate', flags['request-rate'] ?? env['MCPD_REQUEST_RATE'], defaultLimits.requests),
  calls: parseRate('call rate', flags['call-rate'] ?? env['MCPD_CALL_RATE'], defaultLimits.calls),
  logins: parseLoginLimit(flags['login-limit'] ?? env['MCPD_LOGIN_LIMIT']),
})

/** Reads flags, then variables, then defaults. Throws UsageError. `help` and `version` are answered by the caller. */
export const readConfig = (argv: string[], env: Environment): Config & { help: boolean; version: boolean } => {
  const flags = parse(argv)
  const told = (flag: string | undefined, variable: string, otherwise: string): string =>
    flag ?? (env[variable] || otherwise)
  const maybe = <K extends string>(key: K, flag: string | undefined, variable: string) =>
    set(key, flag ?? env[variable])
  const directory = resolve(told(flags['data-dir'], 'MCPD_DATA_DIR', dataDirectory(env)))
  return {
    host: hostOf(told(flags.host, 'MCPD_HOST', '127.0.0.1'), env),
    ...portOf(flags.port ?? env['MCPD_PORT']),
    dataDirectory: directory,
    kekFile: resolve(told(flags['kek-file'], 'MCPD_KEK_FILE', join(directory, 'keys', 'kek'))),
    ...maybe('databaseUrl', flags['database-url'], 'DATABASE_URL'),
    ...maybe('migrateUrl', undefined, 'MCPD_MIGRATE_URL'),
    driver: oneOf('driver', told(flags.driver, 'MCPD_DRIVER', 'auto'), DRIVERS),
    ...maybe('nodeImage', undefined, 'MCPD_NODE_IMAGE'),
    ...maybe('dockerHost', undefined, 'DOCKER_HOST'),
    adminUser: userNameOf(told(flags['admin-user'], 'MCPD_ADMIN_USER', 'admin')),
    ...maybe('writeContext', flags['write-context'], 'MCPD_WRITE_CONTEXT'),
    logLevel: oneOf('log level', told(flags['log-level'], 'MCPD_LOG_LEVEL', 'info'), LEVELS),
    allowedHosts: flags['allowed-host'] ?? listOf(told(undefined, 'MCPD_ALLOWED_HOSTS', '')),
    allowLoopbackUrls: flags['allow-loopback-urls'] ?? env['MCPD_ALLOW_LOOPBACK_URLS'] === '1',
    ...maybe('advertise', flags['advertise-address'], 'MCPD_ADVERTISE_ADDRESS'),
    trustedProxies: parseProxies(flags['trusted-proxy'] ?? listOf(told(undefined, 'MCPD_TRUSTED_PROXIES', ''))),
    limits: limitsOf(flags, env),
    secretSettleMs: parseSettle(env['MCPD_SECRET_SETTLE']),
    help: flags.help === true,
    version: flags.version === true,
  }
}
