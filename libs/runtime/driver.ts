import type { FieldError } from '@mcpctl/contracts'
import type { LookupFunction } from 'node:net'
import type { Readable, Writable } from 'node:stream'

export type DriverName = 'docker' | 'process' | 'remote'

/** One value of a secret: the current version unless it is pinned. `optional`: done without where there is no such secret, key or version. */
export interface SecretKeyRef {
  name: string
  key: string
  version?: number
  optional?: boolean
}

/** A variable of an instance's environment, as plain text or as where to find it. */
export type EnvEntry = { name: string; value: string } | { name: string; valueFrom: { secretRef: SecretKeyRef } }

/** A value of a secret as a file; the variable `env` tells its path to the program. */
export interface SecretFile {
  secret: string
  key: string
  path: string
  env: string
  version?: number
  optional?: boolean
}

/** What runs: the part of a server's spec that, once changed, means new instances. */
export interface InstanceTemplate {
  image?: string
  /** `npm:@scope/name@1.2.3`, always an exact version. */
  package?: string
  url?: string
  transport: 'stdio' | 'http' | 'sse'
  /** Port inside the instance; http only. */
  port?: number
  /** Path of the MCP endpoint; http only, default `/mcp`. */
  path?: string
  command: string[]
  args: string[]
  env: EnvEntry[]
  /** Absent where there is none. */
  secretFiles?: SecretFile[]
  resources?: { memory?: string; cpu?: string; pids?: number }
  network?: { mode: 'none' | 'internal' | 'egress' }
}

/** What a template's environment and files came to. It holds values of secrets: handed over to the unit, never logged and never stored. */
export interface InstanceInputs {
  env: { name: string; value: string }[]
  files: { path: string; env: string; content: Buffer }[]
  /** Every value of a secret among them, for logs to leave out. Bytes of their own: those of `files` are overwritten once the start has ended. */
  secrets: Buffer[]
  /** Names of the variables whose values are such. */
  secretEnv: string[]
}

/** One copy to run. The uid decides the identity: starting the same uid twice never makes two. */
export interface InstanceOrder {
  uid: string
  name: string
  serverUid: string
  serverName: string
  templateHash: string
  template: InstanceTemplate
  inputs: InstanceInputs
  /** Leadership term under which it is started. */
  term: number
}

export interface UnitExit {
  code: number | null
  signal: string | null
  oom: boolean
  /** RFC 3339. */
  at: string
}

/** What a driver really has, whether or not anybody wants it. */
export interface Unit {
  instanceUid: string
  serverUid: string
  templateHash: string
  /** Process id or container id. */
  handle: string
  state: 'created' | 'running' | 'exited'
  /** RFC 3339; absent before the first start. */
  startedAt?: string
  /** Present when the state is `exited`. */
  exit?: UnitExit
}

/** How to talk MCP to a running unit. */
export type Connection = Way & {
  /** A text of the unit with the values of secrets that it was given replaced: what is kept of what it says. Absent where there are none. */
  redact?: (text: string) => string
}

type Way =
  /**
   * Bytes in and out, one connection at a time: a second ends the first. `output` starts anywhere in the stream after a re-attach, and ends when the unit
   * is gone or can no longer be heard. Ending `input` does not end the unit's.
   */
  | { transport: 'stdio'; input: Writable; output: Readable; close(): void }
  /** `lookup`, where given, must resolve the URL's host on each connection: it finds no address that is forbidden. Redirects must not be followed. */
  | { transport: 'http'; url: string; lookup?: LookupFunction }

/** Why a start did not work; `reason` becomes the condition's reason. */
export class StartError extends Error {
  override readonly name = 'StartError'

  constructor(
    readonly reason:
      | 'ImagePullBackOff'
      | 'ImageNotFound'
      | 'PackageInstallFailed'
      | 'RunContainerError'
      | 'PortConflict'
      | 'NameConflict'
      | 'CreateConfigError'
      | 'SecretUndecryptable',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** The engine cannot be asked just now; nothing is known about its units. */
export class RuntimeUnavailable extends Error {
  override readonly name = 'RuntimeUnavailable'
}

export interface LogLine {
  /** RFC 3339. */
  at: string
  stream: 'stdout' | 'stderr'
  text: string
}

export interface LogOptions {
  /** Keep on until the signal fires, across restarts of the unit. */
  follow?: boolean
  /** Only the last n lines. */
  tail?: number
  /** Only lines at or after this RFC 3339 instant. */
  since?: string
  signal?: AbortSignal
}

/**
 * Runs instances. Every operation is idempotent by instance uid, so doing one twice is harmless.
 * A driver touches only what carries this store's id.
 */
export interface Driver {
  readonly name: DriverName
  /** Whether instances are isolated from the host. */
  readonly isolated: boolean
  /** Fields of the template that cannot be enforced here; pointers as in the API object, for example `/spec/resources`. Empty: all can. */
  unsupported(template: InstanceTemplate): FieldError[]
  /** Resolves when the engine answers. Throws RuntimeUnavailable. */
  ping(): Promise<void>
  /**
   * Fetches what the template needs, package or image, so that a start is quick. Shared by all who ask; there already, it does nothing.
   * Throws StartError when it cannot be had, RuntimeUnavailable when the engine is away.
   */
  prepare(template: InstanceTemplate): Promise<void>
  /**
   * Makes sure that the unit runs: creates it, or finds it; one that has exited is replaced.
   * Throws StartError when the template cannot run, RuntimeUnavailable when the engine is away.
   */
  start(order: InstanceOrder): Promise<Unit>
  /** All units of this store. Throws RuntimeUnavailable. */
  list(): Promise<Unit[]>
  /**
   * Stops the unit and waits: end of input (stdio) or SIGTERM (http), then SIGTERM, then SIGKILL after `graceSeconds` in all; nothing of it is left behind.
   * Stopping one that is gone succeeds. Throws RuntimeUnavailable.
   */
  stop(instanceUid: string, graceSeconds: number): Promise<void>
  /** A connection to a running unit. Throws when it does not run. */
  connect(instanceUid: string): Promise<Connection>
  /** Standard error of the unit (and standard output where it is not the MCP channel), oldest first; kept while the unit is known and 3 runs back. */
  logs(instanceUid: string, options: LogOptions): AsyncIterable<LogLine>
  /** Calls back when a unit changed or may have changed. A hint: `list` is the truth. */
  onChange(listener: (instanceUid: string) => void): void
  /** Lets go. Process children are stopped; containers run on. */
  close(): Promise<void>
}
