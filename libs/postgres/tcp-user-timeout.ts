/**
 * SQL, a statement that answers with rows: ends the connection when what was sent on it is not delivered for so long, for example `1s`. Only
 * Linux can; servers elsewhere would write a warning for each time that they are asked.
 */
export const tcpUserTimeout = (limit: string, scope: 'transaction' | 'session'): string =>
  `select set_config('tcp_user_timeout', '${limit}', ${scope === 'transaction'}) where version() ~ 'linux'`
