import { createPublicKey, hash, type KeyObject } from 'node:crypto'
import type { Pool } from 'pg'
import { DomainError } from '@mcpctl/contracts'
import { answered, storeLost } from '../database-errors'
import { genesis } from './chain-check'
import { chainFault } from './log-walk'
import { isGenuine, keyIdOf, requireSealingKey, sealLine, signSeal, type Seal } from './seal'
import { firstOf, keptFault, sealFault, storedFault, type SealedLog, type TrustedSeals } from './seal-check'
import type { Verification } from './verification'

const timeText = (column: string) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

// "position" and "epoch" are numbers for JavaScript.
const sealObject = `jsonb_build_object('format', 'event-log-seal/1', 'store', origin_id, 'epoch', s.epoch, 'position', s.position,
  'hash', encode(s.hash, 'hex'), 'sealedAt', ${timeText('s.sealed_at')}, 'previous', encode(s.previous, 'hex'),
  'keyId', s.key_id, 'signature', translate(encode(s.signature, 'base64'), chr(10), ''))`

const query = async <Row extends object>(pool: Pool, text: string, values: unknown[] = []): Promise<Row[]> =>
  (await answered('what was asked of the seals', pool.query<Row>(text, values))).rows

/** The seals that the store holds, in order. */
export const storedSeals = async (pool: Pool): Promise<Seal[]> => {
  const rows = await query<{ seal: Seal }>(
    pool,
    `select ${sealObject} as seal from es.seal s, es.store order by s.position`,
  )
  return rows.map(({ seal }) => seal)
}

interface HeadRow {
  store: string
  epoch: number
  now: string
  /** Null when there is no event. */
  position: string | null
  hash: string
  last: Seal | null
}

const head = `select origin_id::text as store, epoch, ${timeText('clock_timestamp()')} as now, e.position::text,
    encode(e.hash, 'hex') as hash, (select ${sealObject} from es.seal s order by s.position desc limit 1) as last
  from es.store left join (select position, hash from es.event order by position desc limit 1) e on true`

/**
 * Seals the head of the log: signs its position and hash, and stores the seal. Undefined when nothing came after the last seal.
 * Before it signs, it checks everything since the last seal, so a seal never covers a log that was broken by then.
 * Any number of processes may do so at once. Throws `Conflict` when the log is broken or the last seal forged, `Invalid` for another key than a private
 * Ed25519 key, `Unavailable` when the database is away.
 */
export const sealLog = async (pool: Pool, { privateKey }: { privateKey: KeyObject }): Promise<Seal | undefined> => {
  requireSealingKey(privateKey)
  for (;;) {
    const [row] = await query<HeadRow>(pool, head)
    if (!row) throw storeLost()
    const [after, position] = [row.last?.position ?? 0, Number(row.position ?? 0)]
    if (position === after) return undefined
    refuseTruncated(position, after)
    refuseForged(row.last, privateKey)
    const seal = await signHead(pool, { ...row, position: String(position) }, privateKey)
    const [added] = await query<{ added: boolean }>(pool, 'select es.add_seal($1, $2) as added', [seal, String(after)])
    if (added?.added === true) return seal
  }
}

const refuseTruncated = (position: number, sealed: number) => {
  if (position < sealed)
    throw new DomainError('Conflict', `the last seal is at position ${sealed}, the log ends before it: verify it`)
}

// Of seals by other keys, which may have been in use before, this cannot be told here: `verifySeals` is given all keys.
const refuseForged = (last: Seal | null, privateKey: KeyObject) => {
  if (last?.keyId === keyIdOf(privateKey) && !isGenuine(last, [createPublicKey(privateKey)]))
    throw new DomainError('Conflict', `the last seal, of position ${last.position}, is not genuine: verify the seals`)
}

const signHead = async (pool: Pool, row: HeadRow & { position: string }, privateKey: KeyObject): Promise<Seal> => {
  const { store, epoch, now, position, hash: headHash, last } = row
  await refuseBroken(pool, last ?? { position: 0, hash: genesis(store) }, BigInt(position))
  const previous = last && hash('sha256', sealLine(last))
  return signSeal({ store, epoch, position: Number(position), hash: headHash, sealedAt: now, previous }, privateKey)
}

const refuseBroken = async (pool: Pool, after: { position: number; hash: string }, to: bigint) => {
  const fault = await chainFault(pool, after, to)
  if (fault)
    throw new DomainError(
      'Conflict',
      `position ${fault.position}: ${fault.message}; a broken log is not sealed: verify it`,
    )
}

/** The log's identity and what its chain says at the positions of these seals. */
export const sealedLog = async (pool: Pool, seals: Seal[]): Promise<SealedLog> => {
  const positions = seals.map(({ position }) => String(position))
  const [log] = await query<{ store: string; epoch: number; head: string }>(
    pool,
    'select origin_id::text as store, epoch, (select coalesce(max(position), 0) from es.event)::text as head from es.store',
  )
  if (!log) throw storeLost()
  const rows = await query<{ position: string; hash: string }>(
    pool,
    `select position::text, encode(hash, 'hex') as hash from es.event where position = any ($1)`,
    [positions],
  )
  const hashes = new Map(rows.map(({ position, hash }) => [Number(position), hash]))
  return { ...log, head: BigInt(log.head), hashes }
}

/**
 * Checks the stored seals and those that were kept: signatures, epoch, that each names the one before it, that none was replaced,
 * and that the log still has the sealed hash at each position. It trusts the hashes that the events carry; `verifyLog` computes them.
 */
export const verifySeals = async (pool: Pool, trusted: TrustedSeals): Promise<Verification> => {
  const { keys, kept = [] } = trusted
  const stored = await storedSeals(pool)
  const log = await sealedLog(pool, [...stored, ...kept])
  const fault = firstOf([
    storedFault(stored, keys, log),
    ...kept.map((seal) => sealFault(seal, keys, log) ?? keptFault(seal, stored, log)),
  ])
  if (fault) return { ok: false, ...fault }
  const last = [...stored, ...kept].reduce((sum, { position }) => Math.max(sum, position), 0)
  return {
    ok: true,
    head: BigInt(last),
    hash: log.hashes.get(last) ?? genesis(log.store),
    events: 0n,
    seals: stored.length + kept.length,
  }
}
