import type { Problem } from '@mcpctl/contracts'

/** The daemon refused the request, or committed it without being able to show it yet (202 `CommittedNotVisible`). */
export class ApiError extends Error {
  override readonly name = 'ApiError'

  constructor(
    readonly problem: Problem,
    readonly requestId: string | undefined,
  ) {
    super(problem.detail)
  }
}

/** No usable answer came back from `address`. `code` is the system's (`ECONNREFUSED`, `ENOTFOUND` …) or `TIMEOUT`. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError'

  constructor(
    readonly address: string,
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}

/** The configuration file is absent, unreadable or lacks the context that was asked for. `hint` is a command to run. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'

  constructor(
    readonly code: 'NoContext' | 'UnknownContext' | 'BadFile',
    message: string,
    readonly hint?: string,
  ) {
    super(message)
  }
}
