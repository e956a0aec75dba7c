import type { Pool, PoolClient } from 'pg'
import { hashToken, isToken, tokenPrefix } from './token'

/** Somebody who has shown a valid token. */
export interface Identity {
  uid: string
  name: string
  tokenId: string
}

/** A confirmation is good for this long, so that a burst of requests asks the database once. */
const CONFIRMED_MS = 500
const MAX_CONFIRMED = 10_000

/** Valid tokens, in a side table: only hashes are stored, and a destroyed one is gone. */
export class Tokens {
  private readonly confirmed = new Map<string, { identity: Identity; until: number }>()

  constructor(private readonly pool: Pool) {}

  /** Who bears the token; undefined when it is not valid. A revoked token is refused everywhere within half a second. Throws when the database is away. */
  async identify(token: string): Promise<Identity | undefined> {
    if (!isToken(token)) return undefined
    const hash = hashToken(token)
    const key = hash.toString('base64')
    const known = this.confirmed.get(key)
    if (known && known.until > performance.now()) return known.identity
    const { rows } = await this.pool.query<{ token_id: string; user_uid: string; user_name: string }>(
      `select token_id, user_uid, user_name from access.token
        where token_hash = $1 and (expires_at is null or expires_at > now())`,
      [hash],
    )
    const [row] = rows
    if (!row) return void this.confirmed.delete(key)
    const identity = { uid: row.user_uid, name: row.user_name, tokenId: row.token_id }
    if (this.confirmed.size >= MAX_CONFIRMED) this.confirmed.clear()
    this.confirmed.set(key, { identity, until: performance.now() + CONFIRMED_MS })
    return identity
  }

  /** Stores a token's hash in the caller's transaction, beside the event that says so. */
  static async store(transaction: PoolClient, token: string, owner: Identity): Promise<void> {
    await transaction.query(
      'insert into access.token (token_hash, token_id, prefix, user_uid, user_name) values ($1, $2, $3, $4, $5)',
      [hashToken(token), owner.tokenId, tokenPrefix(token), owner.uid, owner.name],
    )
  }
}
