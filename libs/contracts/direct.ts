/** A value that stays in its secret: which one it is. */
export interface SecretPlace {
  name: string
  key: string
  /** The current one unless told. */
  version?: number
  optional?: boolean
}

export type DirectEnv = { name: string; value: string } | { name: string; secret: SecretPlace }

/** A file with the value of a secret; its path inside of the server stands in variable `env` too. */
export interface DirectFile {
  path: string
  env: string
  secret: SecretPlace
}

/** How to run a server without the daemon: what its copies are started with, in that order, and never a value of a secret. */
export interface DirectConfig {
  server: string
  image?: string
  /** `npm:@scope/name@1.2.3` */
  package?: string
  url?: string
  transport: 'stdio' | 'http' | 'sse'
  command: string[]
  args: string[]
  network?: { mode: 'none' | 'internal' | 'egress' }
  env: DirectEnv[]
  files: DirectFile[]
}
