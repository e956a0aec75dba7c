import { purgeCodes, purgePasswords, type Tokens } from '@mcpctl/access'
import type { Logger } from 'pino'
import type { CredentialChanges } from '../identity/credential-changes'
import type { Logins } from '../identity/logins'
import type { Store } from '../store/store'
import { LocalSessions } from './local-session'

const HOUR_MS = 3_600_000

export interface CareOf {
  store: Store
  tokens: Tokens
  logins: Logins
  changes: CredentialChanges
  logger: Logger
}

/** Keeps up the local session in `file`, and drops credentials that have ended; every hour. Returns how to stop. */
export const takeCare = (
  { store, tokens, logins, changes, logger }: CareOf,
  file: string | undefined,
): (() => void) => {
  const sessions = new LocalSessions(changes, tokens)
  const care = async () => {
    if (file !== undefined) await sessions.keepUp(file)
    await tokens.purge()
    await purgeCodes(store.pool)
    const { facts } = await store.directory.current()
    await purgePasswords(
      store.pool,
      facts.allUsers().map(({ uid }) => uid),
    )
    await logins.purge()
  }
  const timer = setInterval(() => {
    care().catch((error: unknown) => {
      logger.warn({ error }, 'credentials that have ended could not be dropped; it is tried again in an hour')
    })
  }, HOUR_MS)
  timer.unref()
  return () => {
    clearInterval(timer)
  }
}
