import { mintToken, tokenPrefix, Tokens, type UserFact } from '@mcpctl/access'
import { findConfig, writeContext } from '@mcpctl/client'
import { UserModule } from '@mcpctl/kinds/user/user.module'
import { v7 as uuidv7 } from 'uuid'
import type { CredentialChanges } from '../identity/credential-changes'
import { setupMeta } from './administrators'

const CONTEXT = 'local'
/** A daemon that runs renews it long before; after it has been down for longer it issues another one. */
const LIFE_MS = 7 * 24 * 3_600_000

/** The configuration of the OS user whose daemon this is. */
export interface LocalUser {
  /** Where clients on this machine reach the daemon. */
  address: string
  file: string
}

const inAWeek = () => new Date(Date.now() + LIFE_MS)

/** Sessions of the person on whose machine the daemon runs: who can read the file has the data too, so no password is asked. */
export class LocalSessions {
  constructor(
    private readonly changes: CredentialChanges,
    private readonly tokens: Tokens,
  ) {}

  /**
   * Leaves a context with a session that works in the file, which only its owner can read: the one that is there, with more time, or else a
   * new one of this user. Returns whether the file was written.
   */
  async ensure(user: UserFact, { address, file }: LocalUser): Promise<boolean> {
    const known = findConfig(file)?.contexts[CONTEXT]
    if (known && (await this.renew(known.token, user))) {
      if (known.server === address) return false
      writeContext(CONTEXT, { ...known, server: address }, file)
      return true
    }
    const token = mintToken('ses')
    // Written before it is valid: a crash in between costs a token that nothing knows, never a lost one.
    writeContext(CONTEXT, { server: address, token, user: user.name }, file)
    await this.issue(user, token)
    return true
  }

  /** Gives the session in the file more time, if it is one of ours. */
  async keepUp(file: string): Promise<void> {
    const known = findConfig(file)?.contexts[CONTEXT]
    if (known) await this.renew(known.token)
  }

  private async renew(token: string, user?: UserFact): Promise<boolean> {
    const identity = await this.tokens.identify(token)
    if (identity?.isLocal) await this.tokens.renew(identity.tokenId, inAWeek())
    // The first release put an API token there; who has nothing else is given a session, which is kept up.
    const isOld = identity?.tokenType === 'pat' && user?.hasPassword === false && user.localTokens.length === 0
    return identity !== undefined && !isOld
  }

  private async issue({ uid, name }: UserFact, token: string): Promise<void> {
    const tokenId = uuidv7()
    const stream = `user-${uid}`
    const issued = { id: tokenId, prefix: tokenPrefix(token), type: 'ses', local: true }
    await this.changes.run({ meta: setupMeta }, async ({ unit, facts, position }) => {
      const good = new Set((await this.tokens.list(uid)).map(({ id }) => id))
      const dead = (facts.user(uid)?.localTokens ?? []).filter((id) => !good.has(id))
      // One that has ended is no way to come in, and must not count as one.
      for (const id of dead) await unit.decide(UserModule.decider, stream, { type: 'RevokeToken', id })
      await unit.decide(UserModule.decider, stream, { type: 'IssueToken', token: issued })
      const grant = {
        uid,
        name,
        tokenId,
        tokenType: 'ses',
        isLocal: true,
        expiresAt: inAWeek(),
        seenPosition: position,
      }
      return {
        rows: async (transaction) => {
          await Tokens.destroy(transaction, dead)
          await Tokens.store(transaction, token, { ...grant, tokenType: 'ses' })
        },
        result: undefined,
      }
    })
  }
}
