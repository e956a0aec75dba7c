import type { Pool } from 'pg'
import { checkPayload } from '../append/payload'
import { answered } from '../database-errors'
import type { JsonObject, RecordedEvent } from '../types'

/** The state of a stream after one of its events. */
export interface Snapshot {
  /** Of the last event in it. */
  version: number
  /** Of that event, hex. */
  hash: string
  /** By type: the position of the stream's last event of that type. */
  positions: Record<string, bigint>
  state: unknown
}

interface SnapshotRow {
  version: string
  hash: string
  positions: Record<string, string>
  state: JsonObject
}

const find = `select s.version::text, encode(s.hash, 'hex') as hash, s.positions, s.state
  from es.snapshot s join es.event e on e.stream_id = s.stream_id and e.version = s.version and e.hash = s.hash
  where s.stream_id = $1 and s.fold = $2`

const keep = `insert into es.snapshot as s (stream_id, fold, version, hash, positions, state)
  values ($1, $2, $3, decode($4, 'hex'), $5, $6)
  on conflict (stream_id) do update
  set fold = excluded.fold, version = excluded.version, hash = excluded.hash, positions = excluded.positions,
    state = excluded.state
  where s.fold <> excluded.fold or s.version < excluded.version or not exists (
    select from es.event e where e.stream_id = s.stream_id and e.version = s.version and e.hash = s.hash)`

/**
 * States of long streams in `es.snapshot`. Never more than a shortcut: a snapshot that other code has folded, or whose last event is not
 * the one in the log, is not found, and all of them may be deleted at any time. A stream has one: it is folded by one decider alone. No hash
 * covers them; whoever may write to the table could have changed one.
 */
export class Snapshots {
  /** `fold` names the code that folds, deciders included; another name makes every snapshot of before void. */
  constructor(
    private readonly pool: Pool,
    private readonly fold: string,
  ) {}

  /** The latest one of this stream. Throws `Unavailable`. */
  async find(streamId: string): Promise<Snapshot | undefined> {
    const query = { name: 'es-snapshot-find', text: find, values: [streamId, this.fold] }
    const { rows } = await answered('reading a snapshot', this.pool.query<SnapshotRow>(query))
    const [row] = rows
    if (!row) return undefined
    const positions = Object.entries(row.positions).map(([type, position]) => [type, BigInt(position)] as const)
    return { version: Number(row.version), hash: row.hash, positions: Object.fromEntries(positions), state: row.state }
  }

  /** Keeps it unless a later one is kept already. Throws `Invalid` for a state that JSON would change, `Unavailable`; nothing is lost when this fails. */
  async keep(streamId: string, { version, hash, positions, state }: Snapshot): Promise<void> {
    checkPayload(state, '/state')
    const texts = Object.fromEntries(Object.entries(positions).map(([type, position]) => [type, String(position)]))
    const values = [streamId, this.fold, String(version), hash, JSON.stringify(texts), JSON.stringify(state)]
    await answered('keeping a snapshot', this.pool.query({ name: 'es-snapshot-keep', text: keep, values }))
  }
}

/** The positions of before with those of later events. */
export const lastPositions = (before: Record<string, bigint>, events: RecordedEvent[]): Record<string, bigint> => {
  const positions = { ...before }
  for (const { type, position } of events) positions[type] = position
  return positions
}
