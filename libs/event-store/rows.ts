import type { ClientBase, Pool } from 'pg'
import type { ClaimChange, EventMeta, JsonObject, RecordedEvent } from './types'

interface EventRow {
  position: string
  category: string
  stream_id: string
  version: string
  event_id: string
  type: string
  schema_version: number
  data: JsonObject
  meta: EventMeta
  claims: ClaimChange[] | null
  recorded_at: string
  content_hash: string
  hash: string
}

/** What `toEvent` needs of a row of es.event; time as text, because a JavaScript Date has no microseconds. */
export const eventColumns = `position::text, category, stream_id, version::text, event_id::text, type, schema_version,
  data, meta, claims, to_char(recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as recorded_at,
  encode(content_hash, 'hex') as content_hash, encode(hash, 'hex') as hash`

export const toEvent = (row: EventRow): RecordedEvent => ({
  position: BigInt(row.position),
  category: row.category,
  streamId: row.stream_id,
  version: Number(row.version),
  id: row.event_id,
  type: row.type,
  schemaVersion: row.schema_version,
  data: row.data,
  meta: row.meta,
  ...(row.claims && { claims: row.claims }),
  recordedAt: row.recorded_at,
  contentHash: row.content_hash,
  hash: row.hash,
})

// The bare names would mean the text columns above, and sort 10 before 9.
const afterPosition = `select ${eventColumns} from es.event where position > $1 order by event.position limit $2`

/** Events after a position, in order, as seen by this connection's transaction. */
export const eventsAfter = async (db: ClientBase | Pool, after: bigint, limit: number): Promise<RecordedEvent[]> => {
  const { rows } = await db.query<EventRow>({ name: 'es-after', text: afterPosition, values: [String(after), limit] })
  return rows.map(toEvent)
}

const ofStream = `select ${eventColumns} from es.event where stream_id = $1 and version >= $2 order by event.version limit $3`

/** Events of one stream from a version, in order. */
export const eventsOfStream = async (
  db: ClientBase | Pool,
  streamId: string,
  from: number,
  limit: number | null,
): Promise<RecordedEvent[]> => {
  const { rows } = await db.query<EventRow>({ name: 'es-stream', text: ofStream, values: [streamId, from, limit] })
  return rows.map(toEvent)
}
