import type { Pool, PoolClient } from 'pg'
import type { Directory } from './directory'
import type { Entry } from './entry'
import { hashToken, isToken, tokenPrefix, type TokenType } from './token'

/** Somebody who has shown a valid token. */
export interface Identity {
  uid: string
  name: string
  tokenId: string
  tokenType: TokenType
  /** What the token is narrowed to; absent: not narrowed. */
  scopes?: readonly Entry[]
  /** A session that the daemon keeps for the OS user who owns it. */
  isLocal: boolean
}

/** What is stored with a token. */
export interface TokenGrant {
  uid: string
  name: string
  tokenId: string
  /** `pat` unless told. */
  tokenType?: TokenType
  scopes?: readonly Entry[]
  expiresAt?: Date
  note?: string
  isLocal?: boolean
  /** The token ends with any event after this position that ends all of the user's; default 0. */
  seenPosition?: bigint
}

/** A token as its owner may see it. */
export interface TokenRecord {
  id: string
  prefix: string
  type: TokenType
  local: boolean
  scopes: Entry[] | null
  note: string | null
  issuedAt: Date
  expiresAt: Date | null
  lastUsedAt: Date | null
}

interface Confirmed {
  identity: Identity
  seenPosition: bigint
  /** Milliseconds since the epoch. */
  expiresAt: number
  at: number
}

interface IdentityRow {
  token_id: string
  user_uid: string
  user_name: string
  type: TokenType
  is_local: boolean
  scopes: Entry[] | null
  seen_position: string
  expires_at: Date | null
}

/** A confirmation is good for this long, so that a burst of requests asks the database once. */
const CONFIRMED_MS = 500
/** While the database is away, what was confirmed goes on for this long. */
const GRACE_MS = 10_000
const MAX_CONFIRMED = 10_000
/** A session that nobody uses ends after this time; one that is used ends at its `expires_at`. */
const IDLE = '12 hours'

const COLUMNS = 'token_id, user_uid, user_name, type, is_local, scopes, seen_position::text, expires_at'

const isGood = `(expires_at is null or expires_at > now())
  and (type <> 'ses' or is_local or coalesce(last_used_at, issued_at) > now() - interval '${IDLE}')`

/** Valid tokens, in a side table: only hashes are stored, and a destroyed one is gone. */
export class Tokens {
  private readonly confirmed = new Map<string, Confirmed>()
  /** How often tokens were forgotten: what was read before that may be of one of them. */
  private forgotten = 0

  constructor(
    private readonly pool: Pool,
    private readonly directory: Pick<Directory, 'current' | 'invalidate'>,
  ) {}

  /**
   * Who bears the token; undefined when it is not valid, or its owner is disabled or gone. A revoked token is refused everywhere within half a
   * second, here at once. Throws when the database is away for longer than ten seconds.
   */
  async identify(token: string): Promise<Identity | undefined> {
    if (!isToken(token)) return undefined
    const hash = hashToken(token)
    const confirmed = await this.confirm(hash.toString('base64'), hash)
    return confirmed && (await this.isInForce(confirmed)) ? confirmed.identity : undefined
  }

  /** Whether the token that somebody came with is still good; for what goes on for longer than a request. */
  async isValid({ tokenId }: Identity): Promise<boolean> {
    const { rows } = await this.pool.query<IdentityRow>(
      `select ${COLUMNS} from access.token
        where token_id = $1 and ${isGood}`,
      [tokenId],
    )
    return rows[0] !== undefined && this.isInForce(confirmedBy(rows[0], performance.now()))
  }

  /** Makes a revoked token refused here at once. */
  forget(...tokenIds: string[]): void {
    this.forgotten++
    for (const [key, { identity }] of this.confirmed)
      if (tokenIds.includes(identity.tokenId)) this.confirmed.delete(key)
  }

  /** The tokens and sessions of a user that are good, the newest first, or the one of them; none of one who is disabled or gone. */
  async list(uid: string, tokenId?: string): Promise<TokenRecord[]> {
    const { facts } = await this.directory.current()
    const user = facts.user(uid)
    if (!user?.enabled) return []
    const { rows } = await this.pool.query<TokenRecord>(
      `select token_id as id, prefix, type, is_local as local, scopes, note, issued_at as "issuedAt",
              expires_at as "expiresAt", last_used_at as "lastUsedAt"
         from access.token
        where user_uid = $1 and seen_position >= $2 and ($3::uuid is null or token_id = $3) and ${isGood}
        order by issued_at desc, token_id`,
      [uid, String(user.endedAt ?? 0n), tokenId ?? null],
    )
    return rows
  }

  /** Whose token it is, by its id. */
  async ownerOf(tokenId: string): Promise<{ uid: string; name: string; type: TokenType } | undefined> {
    const { rows } = await this.pool.query<{ uid: string; name: string; type: TokenType }>(
      'select user_uid as uid, user_name as name, type from access.token where token_id::text = $1',
      [tokenId],
    )
    return rows[0]
  }

  /** Gives a local session more time. */
  async renew(tokenId: string, expiresAt: Date): Promise<void> {
    await this.pool.query('update access.token set expires_at = $2 where token_id = $1 and is_local', [
      tokenId,
      expiresAt,
    ])
  }

  /** Drops what has ended. */
  async purge(): Promise<void> {
    await this.pool.query(`delete from access.token where not (${isGood}) and expires_at < now() - interval '1 day'`)
  }

  /** Stores a token's hash in the caller's transaction, beside the event that says so. */
  static async store(transaction: PoolClient, token: string, grant: TokenGrant): Promise<void> {
    const { uid, name, tokenId, tokenType = 'pat', scopes, expiresAt, note, isLocal = false, seenPosition = 0n } = grant
    await transaction.query(
      `insert into access.token
         (token_hash, token_id, prefix, user_uid, user_name, type, scopes, expires_at, note, is_local, seen_position)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
      [
        hashToken(token),
        tokenId,
        tokenPrefix(token),
        uid,
        name,
        tokenType,
        scopes === undefined ? null : JSON.stringify(scopes),
        expiresAt ?? null,
        note ?? null,
        isLocal,
        String(seenPosition),
      ],
    )
  }

  /** Destroys tokens in the caller's transaction. Returns the ids of those that were there. */
  static async destroy(transaction: PoolClient, tokenIds: readonly string[]): Promise<string[]> {
    const { rows } = await transaction.query<{ id: string }>(
      'delete from access.token where token_id = any($1) returning token_id as id',
      [tokenIds],
    )
    return rows.map(({ id }) => id)
  }

  /** Destroys a user's sessions, local ones and the one that is kept aside. Returns their ids. */
  static async endSessions(transaction: PoolClient, uid: string, kept?: string): Promise<string[]> {
    const { rows } = await transaction.query<{ id: string }>(
      `delete from access.token where user_uid = $1 and type = 'ses' and not is_local and token_id::text is distinct from $2
       returning token_id as id`,
      [uid, kept ?? null],
    )
    return rows.map(({ id }) => id)
  }

  private async confirm(key: string, hash: Buffer): Promise<Confirmed | undefined> {
    const known = this.confirmed.get(key)
    if (known && Date.now() < known.expiresAt && performance.now() - known.at <= CONFIRMED_MS) return known
    try {
      return await this.look(key, hash)
    } catch (error) {
      if (known && Date.now() < known.expiresAt && performance.now() - known.at <= GRACE_MS) return known
      throw error
    }
  }

  private async look(key: string, hash: Buffer): Promise<Confirmed | undefined> {
    const asked = performance.now()
    const { forgotten } = this
    const { rows } = await this.pool.query<IdentityRow & { is_due: boolean }>(
      `select ${COLUMNS}, last_used_at is null or last_used_at < now() - interval '1 minute' as is_due
         from access.token where token_hash = $1 and ${isGood}`,
      [hash],
    )
    const [row] = rows
    if (!row) return void this.confirmed.delete(key)
    // Nobody waits for it; where it fails the next look tries again.
    if (row.is_due) this.touch(row.token_id).catch(() => undefined)
    const confirmed = confirmedBy(row, asked)
    if (forgotten !== this.forgotten) return confirmed
    if (this.confirmed.size >= MAX_CONFIRMED) this.confirmed.clear()
    this.confirmed.set(key, confirmed)
    return confirmed
  }

  private async touch(tokenId: string): Promise<void> {
    await this.pool.query(
      `update access.token set last_used_at = now()
        where token_id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute')`,
      [tokenId],
    )
  }

  /** What the log says of the owner: a session that was opened just as somebody disabled him must not outlive that. */
  private async isInForce(confirmed: Confirmed): Promise<boolean> {
    if (await this.isStanding(confirmed)) return true
    // What is known here may be older than the token: its owner was created, or enabled again, on another daemon a moment ago.
    this.directory.invalidate()
    return this.isStanding(confirmed)
  }

  private async isStanding({ identity, seenPosition }: Confirmed): Promise<boolean> {
    const { facts } = await this.directory.current()
    const user = facts.user(identity.uid)
    return user?.enabled === true && seenPosition >= (user.endedAt ?? 0n)
  }
}

const confirmedBy = (row: IdentityRow, at: number): Confirmed => ({
  identity: {
    uid: row.user_uid,
    name: row.user_name,
    tokenId: row.token_id,
    tokenType: row.type,
    isLocal: row.is_local,
    ...(row.scopes && { scopes: row.scopes }),
  },
  seenPosition: BigInt(row.seen_position),
  expiresAt: row.expires_at?.getTime() ?? Infinity,
  at,
})
