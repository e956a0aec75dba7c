import type { ClientBase, Pool } from 'pg'
import type { ClaimChange, EventFilter, EventMeta, JsonObject, RecordedEvent, StreamRange } from './types'

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

const ofCategory = `select ${eventColumns} from es.event
  where position > $1 and ($3::text is null or category = $3) order by event.position limit $2`

const byTypes = `select ${eventColumns} from (
    select hit.* from unnest($4::text[]) wanted, lateral (
      select * from es.event e where (e.type, e.position) > (wanted, $1::bigint) and e.type <= wanted
        and ($3::text is null or e.category = $3)
      order by e.type, e.position limit $2::bigint) hit
    order by hit.position limit $2) event
  order by event.position`

/** Events after a position that pass the filter, in order. */
export const eventsMatching = async (
  db: ClientBase | Pool,
  { after, limit, category, types }: EventFilter & { after: bigint; limit: number },
): Promise<RecordedEvent[]> => {
  const values = [String(after), limit, category ?? null, ...(types ? [[...new Set(types)]] : [])]
  const query = types ? { name: 'es-types', text: byTypes } : { name: 'es-category', text: ofCategory }
  const { rows } = await db.query<EventRow>({ ...query, values })
  return rows.map(toEvent)
}

const ofStream = `select ${eventColumns} from es.event where stream_id = $1 and version >= $2 order by event.version limit $3`
const ofStreamBackwards = `select ${eventColumns} from es.event where stream_id = $1 and version <= $2
  order by event.version desc limit $3`
const lastVersion = String(2n ** 63n - 1n)

/** Events of one stream, both ends included. */
export const eventsOfStream = async (
  db: ClientBase | Pool,
  streamId: string,
  { from, limit, backwards = false }: StreamRange = {},
): Promise<RecordedEvent[]> => {
  const query = backwards
    ? { name: 'es-stream-backwards', text: ofStreamBackwards, values: [streamId, from ?? lastVersion, limit ?? null] }
    : { name: 'es-stream', text: ofStream, values: [streamId, from ?? 1, limit ?? null] }
  const { rows } = await db.query<EventRow>(query)
  return rows.map(toEvent)
}

/** Does the stream hold any event? */
export const streamExists = async (db: ClientBase | Pool, streamId: string): Promise<boolean> => {
  const text = 'select exists (select from es.event where stream_id = $1) as found'
  const { rows } = await db.query<{ found: boolean }>({ name: 'es-stream-exists', text, values: [streamId] })
  return rows[0]?.found === true
}
