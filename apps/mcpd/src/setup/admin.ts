import { codeLifeMs, mintCode, storeCode, type Tokens, type UserFact } from '@mcpctl/access'
import { configPath } from '@mcpctl/client'
import type { EventMeta } from '@mcpctl/event-store'
import { UserModule } from '@mcpctl/kinds/user/user.module'
import { v7 as uuidv7 } from 'uuid'
import { CredentialChanges } from '../identity/credential-changes'
import type { Store } from '../store/store'
import { administrator, makeAdministrators, setupMeta } from './administrators'
import { LocalSessions } from './local-session'
import { Pending } from './pending'

export interface SetupOptions {
  /** Where clients on this machine reach the daemon. */
  address: string
  /** CLI configuration of the OS user whose daemon this is; absent: nobody's. */
  file: string | undefined
  adminUser: string
  /** Whether the database is the daemon's own, so that whoever started it owns everything. */
  embedded: boolean
}

/** Sets a first or a new password, once. */
export interface SetupCode {
  user: string
  code: string
  expiresAt: Date
}

/** What the set-up has left for somebody to read. */
export interface SetupOutcome {
  /** The file that holds the local session. */
  file?: string
  isWritten: boolean
  code?: SetupCode
}

/**
 * First start: makes the administrator. A daemon of somebody's own puts a session for him into the CLI's configuration, and renews it at later
 * starts; any other one issues a code with which he sets his password, anew at each start until somebody has.
 */
export const ensureAdmin = async (store: Store, tokens: Tokens, options: SetupOptions): Promise<SetupOutcome> => {
  const changes = new CredentialChanges(store)
  const isFirst = await new Pending(store).isPending()
  await makeAdministrators(changes, options.adminUser)
  const { facts } = await store.directory.current()
  const user = administrator(facts, options.adminUser)
  const file = options.file ?? (isFirst && options.embedded ? configPath() : undefined)
  if (!user?.enabled) return { isWritten: false }
  if (file !== undefined) {
    const { address } = options
    return { file, isWritten: await new LocalSessions(changes, tokens).ensure(user, { address, file }) }
  }
  return { isWritten: false, ...(isFirst && { code: await issueCode(changes, user, setupMeta) }) }
}

/** A code that is good for a quarter of an hour; those before are void. */
export const issueCode = (
  changes: CredentialChanges,
  { uid, name }: Pick<UserFact, 'uid' | 'name'>,
  meta: EventMeta,
): Promise<SetupCode> =>
  changes.run({ meta }, async ({ unit }) => {
    const id = uuidv7()
    const code = mintCode()
    const expiresAt = new Date(Date.now() + codeLifeMs)
    const command = { type: 'IssueSetupCode', id, expiresAt: expiresAt.toISOString() } as const
    await unit.decide(UserModule.decider, `user-${uid}`, command)
    return {
      rows: (transaction) => storeCode(transaction, { id, uid, code, expiresAt }),
      result: { user: name, code, expiresAt },
    }
  })
