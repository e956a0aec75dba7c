import type { Pool, PoolClient } from 'pg'
import { DomainError } from '@mcpctl/contracts'
import { asDomainError, storeLost } from '../database-errors'
import type { Fault } from './broken'
import { genesis } from './chain-check'
import { chainFault, type VerifyProgress } from './log-walk'
import { protectionFault } from './protection'
import { firstOf, type TrustedSeals } from './seal-check'
import { verifySeals } from './sealing'
import type { Verification } from './verification'

export interface VerifyOptions {
  /** First position, default 1. A later one trusts the hash before it. */
  from?: bigint
  /** Last position, default the head at the moment of the call. */
  to?: bigint
  /** Holds the log against its seals as well. */
  seals?: TrustedSeals
  /** Called after each range of events. */
  onProgress?: (progress: VerifyProgress) => void
}

/**
 * Computes every content hash and the chain again and answers with the first position that is wrong. Finds every change of a stored
 * event, events taken out, put in, swapped or with an id or version that comes again, time that runs backwards, and claims that are
 * not those of the events (when the whole log is checked). When nothing else is wrong: that a trigger, a right or a rule was changed that
 * protects the log. That the end is missing, or that all of it was rewritten, only seals can show.
 *
 * Reads by ranges while appends go on; the memory it needs does not grow with the log. Throws `Invalid` for a range that the log does
 * not have, `Unavailable` when the database goes away.
 */
export const verifyLog = async (pool: Pool, options: VerifyOptions = {}): Promise<Verification> => {
  const range = await readRange(pool, options)
  const seals = options.seals && (await verifySeals(pool, options.seals))
  const found = firstOf([await eventFault(pool, range, options), seals && faultOf(seals)])
  // Last: who wants to know which event was changed would not be told by it.
  const fault = found ?? (await onClient(pool, protectionFault))
  if (fault) return { ok: false, ...fault }
  const { from, to, previous, last } = range
  return { ok: true, head: to, hash: last ?? previous, events: to - from + 1n, seals: seals?.ok ? seals.seals : 0 }
}

const eventFault = async (pool: Pool, range: Range, { to, onProgress }: VerifyOptions): Promise<Fault | undefined> => {
  if (range.fault) return range.fault
  const { from, previous } = range
  const chain = await chainFault(pool, { position: Number(from) - 1, hash: previous }, range.to, onProgress)
  if (chain) return firstOf([await rowFault(pool, from, chain.position - 1n), chain])
  return (await rowFault(pool, from, range.to)) ?? (from === 1n && to === undefined ? verifyClaims(pool) : undefined)
}

/** Is `es.claim` what the claims of all events add up to? The first claim that is not, if any; its position is 0 where no event took the key. */
export const verifyClaims = (pool: Pool): Promise<Fault | undefined> => onClient(pool, claimFault)

interface Range {
  from: bigint
  to: bigint
  /** The chain's hash before `from`, and at `to` where there is an event. */
  previous: string
  last: string | null
  /** What can be seen without looking at the events. */
  fault: Fault | undefined
}

interface EndsRow {
  store: string
  lowest: string | null
  head: string
  previous: string | null
  last: string | null
}

const ends = `select origin_id::text as store, h.lowest::text, h.head::text,
    (select encode(hash, 'hex') from es.event where position = $1::bigint - 1) as previous,
    (select encode(hash, 'hex') from es.event where position = coalesce($2, h.head)) as last
  from es.store, (select min(position) as lowest, coalesce(max(position), 0) as head from es.event) h`

const readRange = async (pool: Pool, { from = 1n, to }: VerifyOptions): Promise<Range> => {
  const row = await onClient(pool, async (client) => {
    const { rows } = await client.query<EndsRow>(ends, [String(from), to === undefined ? null : String(to)])
    return rows[0]
  })
  if (!row) throw storeLost()
  const last = to ?? BigInt(row.head)
  if (from < 1n || last < from - 1n || last > BigInt(row.head))
    throw new DomainError('Invalid', `the log has positions 1 to ${row.head}; ${from} to ${last} is no part of it`)
  const previous = from === 1n ? genesis(row.store) : row.previous
  return { from, to: last, previous: previous ?? '', last: row.last, fault: rangeFault(row.lowest, from, previous) }
}

const rangeFault = (lowest: string | null, from: bigint, previous: string | null): Fault | undefined => {
  const field = 'position'
  if (lowest !== null && BigInt(lowest) < 1n) {
    const message = `there is an event at position ${lowest}; the first one is 1`
    return { problem: 'inserted', position: BigInt(lowest), field, message }
  }
  if (previous !== null) return undefined
  return { problem: 'missing', position: from - 1n, field, message: `position ${from - 1n} is missing` }
}

const faultOf = (verification: Verification): Fault | undefined => {
  if (verification.ok) return undefined
  const { problem, position, field, message } = verification
  return { problem, position, field, message }
}

/** What no event shows by itself: ids and versions that come again, holes in streams. */
const rowFault = (pool: Pool, from: bigint, to: bigint): Promise<Fault | undefined> =>
  onClient(pool, async (client) => firstOf([await versionFault(client, from, to), await idFault(client, from, to)]))

const versionFault = async (client: PoolClient, from: bigint, to: bigint): Promise<Fault | undefined> => {
  const { rows } = await client.query<{ position: string; stream_id: string; version: string; expected: string }>(
    'select position::text, stream_id, version::text, expected::text from es.version_fault($1, $2) where position is not null',
    [String(from), String(to)],
  )
  return rows.map(({ position, stream_id, version, expected }): Fault => {
    const message = `stream ${stream_id} goes on with version ${version} instead of ${expected}`
    return { problem: 'version', position: BigInt(position), field: 'version', message }
  })[0]
}

const idFault = async (client: PoolClient, from: bigint, to: bigint): Promise<Fault | undefined> => {
  const { rows } = await client.query<{ position: string; first: string }>(
    `select (array_agg(position order by position))[2]::text as position, min(position)::text as first
     from es.event where position <= $2 group by event_id having count(*) > 1 and max(position) >= $1
     order by (array_agg(position order by position))[2] limit 1`,
    [String(from), String(to)],
  )
  return rows.map(({ position, first }): Fault => {
    const message = `the event id is that of position ${first}`
    return { problem: 'duplicate-id', position: BigInt(position), field: 'id', message }
  })[0]
}

// One statement, so that events and claims are those of one moment.
const claims = `select position::text, scope, key, expected, stored from (
    select coalesce(e.position, 0) as position, scope, key, e.stream_id as expected, c.stream_id as stored
    from (select * from es.claim_turn where is_last and not released) e full join es.claim c using (scope, key)
    where e.stream_id is distinct from c.stream_id
    union all
    select position, scope, key, null, null from es.claim_turn where not was_free) f
  order by f.position limit 1`

const claimFault = async (client: PoolClient): Promise<Fault | undefined> => {
  type Row = { position: string; scope: string; key: string; expected: string | null; stored: string | null }
  const { rows } = await client.query<Row>(claims)
  return rows.map(({ position, scope, key, expected, stored }): Fault => {
    const name = `the claim of ${scope} "${key}"`
    const message =
      expected === stored
        ? `${name} was taken while another stream held it`
        : `${name} is stored for ${stored ?? 'nobody'}, and the events say ${expected ?? 'nobody'}`
    return { problem: 'claim', position: BigInt(position), field: 'claims', message }
  })[0]
}

/** On a connection without a limit of time, which is closed afterwards. */
const onClient = async <T>(pool: Pool, use: (client: PoolClient) => Promise<T>): Promise<T> => {
  try {
    const client = await pool.connect()
    const lost = () => {}
    client.on('error', lost)
    try {
      await client.query('set statement_timeout = 0')
      return await use(client)
    } finally {
      client.release(true)
    }
  } catch (error) {
    throw asDomainError(error, 'verifying the log')
  }
}
