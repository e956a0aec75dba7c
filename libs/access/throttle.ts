import { createHash } from 'node:crypto'
import { DomainError } from '@mcpctl/contracts'
import type { Pool } from 'pg'

/** At most so many attempts that failed within a time, in seconds. */
export interface AttemptLimit {
  attempts: number
  seconds: number
  /** Afterwards one attempt after 1, 2, 4 … seconds, up to this many; else none before the time is over. */
  longestDelay?: number
}

export interface ThrottleLimits {
  /** On one account from one address. */
  account: AttemptLimit
  /** From one address. */
  address: AttemptLimit
  /** From everywhere, except from addresses where the account has logged in before. */
  global: AttemptLimit
}

export const defaultLimits: ThrottleLimits = {
  account: { attempts: 5, seconds: 900, longestDelay: 900 },
  address: { attempts: 20, seconds: 60 },
  global: { attempts: 600, seconds: 60 },
}

const KNOWN_FOR = '30 days'

/** An attempt that may go on. */
export interface Attempt {
  /** The credential was right: the attempt does not count. */
  succeeded(): Promise<void>
  /** Nobody has looked at the credential: the attempt does not count. */
  dropped(): Promise<void>
}

/**
 * Slows down whoever guesses, on all daemons of a store together. An account is never locked: it is an address that has to wait, so
 * nobody can keep others from logging in; and sessions that are open are none of its business.
 */
export class Throttle {
  constructor(
    private readonly pool: Pool,
    private readonly limits: ThrottleLimits = defaultLimits,
  ) {}

  /**
   * Counts the attempt as one that fails, unless it says otherwise later: so that many at once are counted too. Nothing is kept of an attempt
   * from where there were too many. Throws TooManyRequests.
   */
  async begin(account: string, address: string): Promise<Attempt> {
    const place = placeOf(address)
    const who = createHash('sha256').update(account).digest('base64url')
    const keys = { account: `account/${who}/${place}`, address: `address/${place}`, known: `known/${who}/${place}` }
    const isKnown = await this.isKnown(keys.known)
    await this.refuseFull(keys.address, this.limits.address)
    if (!isKnown) await this.refuseFull('global', this.limits.global)
    await this.count(keys.account, this.limits.account)
    await this.count(keys.address, this.limits.address)
    if (!isKnown) await this.count('global', this.limits.global)
    const counted = [keys.account, keys.address, ...(isKnown ? [] : ['global'])]
    return {
      succeeded: async () => {
        await this.uncount(counted)
        await this.remember(keys)
      },
      dropped: () => this.uncount(counted),
    }
  }

  /** Drops what no longer matters. */
  async purge(): Promise<void> {
    await this.pool.query(
      `delete from access.attempt
        where last_at < now() - interval '1 day' and (blocked_until is null or blocked_until < now())`,
    )
  }

  private async count(key: string, { attempts, seconds, longestDelay = 0 }: AttemptLimit): Promise<void> {
    // Where nothing comes back the attempt is one too many, and was not counted.
    const { rowCount } = await this.pool.query(
      `insert into access.attempt as a (key, count, last_at) values ($1, 1, now())
       on conflict (key) do update set
         count = case when ${lapsed} then 1 else a.count + 1 end,
         last_at = case when ${lapsed} or $4::double precision > 0 then now() else a.last_at end,
         blocked_until = case when $4 > 0 and not ${lapsed} and a.count + 1 >= $3::integer
           then now() + make_interval(secs => least(power(2, least(a.count + 1 - $3, 20)), $4)) end
       where (a.blocked_until is null or a.blocked_until <= now()) and (${lapsed} or $4 > 0 or a.count < $3)`,
      [key, seconds, attempts, longestDelay],
    )
    if (rowCount === 0) throw await this.refusal(key, seconds)
  }

  /** Looks and counts nothing: a row for each name that somebody makes up would fill the disk. */
  private async refuseFull(key: string, { attempts, seconds }: AttemptLimit): Promise<void> {
    const { rowCount } = await this.pool.query(
      `select from access.attempt a where key = $1 and count >= $3::integer and not ${lapsed}`,
      [key, seconds, attempts],
    )
    if (rowCount !== 0) throw await this.refusal(key, seconds)
  }

  private async refusal(key: string, seconds: number): Promise<DomainError> {
    const { rows } = await this.pool.query<{ wait: number }>(
      `select extract(epoch from coalesce(blocked_until, last_at + make_interval(secs => $2)) - now())::float8 as wait
         from access.attempt where key = $1`,
      [key, seconds],
    )
    const retryAfter = Math.max(1, Math.ceil(rows[0]?.wait ?? 1))
    return new DomainError('TooManyRequests', `too many attempts; try again in ${String(retryAfter)} s`, { retryAfter })
  }

  private async isKnown(key: string): Promise<boolean> {
    const { rowCount } = await this.pool.query('select from access.attempt where key = $1 and blocked_until > now()', [
      key,
    ])
    return rowCount === 1
  }

  private async uncount(keys: readonly string[]): Promise<void> {
    // One by one: two that hold several rows might wait for each other.
    for (const key of keys)
      await this.pool.query('update access.attempt set count = greatest(count - 1, 0) where key = $1', [key])
  }

  /** Who came in begins anew at the account, and is known there. */
  private async remember({ account, known }: Record<'account' | 'known', string>): Promise<void> {
    await this.pool.query('delete from access.attempt where key = $1', [account])
    // Its time is kept where others keep how long they are blocked.
    await this.pool.query(
      `insert into access.attempt (key, count, last_at, blocked_until) values ($1, 0, now(), now() + $2::interval)
       on conflict (key) do update set last_at = now(), blocked_until = excluded.blocked_until`,
      [known, KNOWN_FOR],
    )
  }
}

const lapsed = `(greatest(a.last_at, a.blocked_until) < now() - make_interval(secs => $2::double precision))`

/** What counts as one address: one household of IPv6 has 2^64 of them. */
export const placeOf = (address: string): string => {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '')
  return plain.includes(':') ? networkOf(plain) : plain
}

const networkOf = (address: string): string => {
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  const missing = tail === undefined ? 0 : 8 - groups.length - (tail === '' ? 0 : tail.split(':').length)
  const all = [...groups, ...Array.from({ length: missing }, () => '0'), ...(tail ? tail.split(':') : [])]
  return all
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')
}
