import type { ClientBase, Pool, QueryArrayConfig } from 'pg'
import type {
  ClaimChange,
  EventFilter,
  EventMeta,
  JsonObject,
  ProjectedEvent,
  RecordedEvent,
  StreamRange,
} from './types'

/** The columns of es.event in the order in which `toProjected` takes them; time as text, because a JavaScript Date has no microseconds. */
const projected = `e.position, e.category, e.stream_id, e.version, e.event_id, e.type, e.schema_version, e.data, e.meta, e.claims,
  to_char(e.recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
const columns = `${projected}, encode(e.content_hash, 'hex'), encode(e.hash, 'hex')`

// Every value as the text that PostgreSQL sends: half the cost of the driver's own parsers and objects.
const asText = { getTypeParser: () => (value: string) => value }

type ProjectedRow = [
  position: string,
  category: string,
  streamId: string,
  version: string,
  id: string,
  type: string,
  schemaVersion: string,
  data: string,
  meta: string,
  claims: string | null,
  recordedAt: string,
]
type EventRow = [...ProjectedRow, contentHash: string, hash: string]

// Catching up spends most of its time here: elements by number, no spread and no iterator are a third faster.
const toProjected = (row: ProjectedRow): ProjectedEvent => {
  const event: ProjectedEvent = {
    position: BigInt(row[0]),
    category: row[1],
    streamId: row[2],
    version: Number(row[3]),
    id: row[4],
    type: row[5],
    schemaVersion: Number(row[6]),
    data: JSON.parse(row[7]) as JsonObject,
    meta: JSON.parse(row[8]) as EventMeta,
    recordedAt: row[10],
  }
  if (row[9] !== null) event.claims = JSON.parse(row[9]) as ClaimChange[]
  return event
}

const toEvent = (row: EventRow): RecordedEvent => {
  const event = toProjected(row as unknown as ProjectedRow) as RecordedEvent
  event.contentHash = row[11]
  event.hash = row[12]
  return event
}

interface Asked {
  /** Of the prepared statement. */
  name: string
  text: string
  values: unknown[]
  /** How long an answer may take before the connection is given up, in milliseconds; no limit unless told. */
  query_timeout?: number
}

const rowsOf = async <Row>(db: ClientBase | Pool, asked: Asked): Promise<Row[]> => {
  const query: QueryArrayConfig & Asked = { ...asked, rowMode: 'array', types: asText }
  const { rows } = await db.query(query)
  return rows as Row[]
}

const select = async (db: ClientBase | Pool, asked: Asked): Promise<RecordedEvent[]> =>
  (await rowsOf<EventRow>(db, asked)).map(toEvent)

const afterPosition = `select ${columns} from es.event e where e.position > $1 order by e.position limit $2`

/** Events after a position, in order, as seen by this connection's transaction. */
export const eventsAfter = (db: ClientBase | Pool, after: bigint, limit: number): Promise<RecordedEvent[]> =>
  select(db, { name: 'es-after', text: afterPosition, values: [String(after), limit] })

export interface BatchLimits {
  events: number
  /** Of JSON; one event that is larger comes alone. */
  bytes: number
  answerWithinMs: number
}

export interface Batch {
  events: ProjectedEvent[]
  /** Whether more had been stored already when this was read. */
  more: boolean
}

const batchAfterPosition = `select ${projected}, (select max(position) from es.event) from es.event e
  where e.position > $1 and e.position <= es.batch_end($1, $2, $3) order by e.position`

/** Events after a position, in order, as many as fit the limits. */
export const batchAfter = async (pool: Pool, after: bigint, limits: BatchLimits): Promise<Batch> => {
  const values = [String(after), limits.events, limits.bytes]
  const asked = { name: 'es-batch', text: batchAfterPosition, values, query_timeout: limits.answerWithinMs }
  const rows = await rowsOf<[...ProjectedRow, head: string]>(pool, asked)
  const last = rows.at(-1)
  return {
    events: rows.map((row) => toProjected(row as unknown as ProjectedRow)),
    more: last !== undefined && last[11] !== last[0],
  }
}

const atPositions = `select ${columns} from es.event e where e.position = any ($1) order by e.position`

/** The events at these positions, in order. */
export const eventsAt = (db: ClientBase | Pool, positions: readonly bigint[]): Promise<RecordedEvent[]> =>
  select(db, { name: 'es-at', text: atPositions, values: [positions.map(String)] })

const ofCategory = `select * from es.event e
  where e.position > $1 and ($3::text is null or e.category = $3) order by e.position limit $2`

const byTypes = `select hit.* from unnest($5::text[]) wanted, lateral (
    select * from es.event e where (e.type, e.position) > (wanted, $1::bigint) and e.type <= wanted
      and ($3::text is null or e.category = $3)
    order by e.type, e.position limit $2::bigint) hit
  order by hit.position limit $2`

// What is stored compressed may be a hundred times as large when it is read.
const bytes = `(select sum(case when pg_column_compression(v) is null then pg_column_size(v) else octet_length(v::text) end)
  from (values (h.data), (h.meta), (h.claims)) as part (v))`

const bounded = (hits: string) => `select ${columns} from (
    select h.*, h.bytes as own, sum(h.bytes) over (order by h.position) as so_far
    from (select h.*, case when $4::bigint is null then 0 else ${bytes} end as bytes from (${hits}) h) h) e
  where e.so_far <= $4 or e.so_far = e.own or $4 is null order by e.position`

/** Events after a position that pass the filter, in order. */
export const eventsMatching = (
  db: ClientBase | Pool,
  { after, limit, category, types, maxBytes }: EventFilter & { after: bigint; limit: number },
): Promise<RecordedEvent[]> => {
  const values = [String(after), limit, category ?? null, maxBytes ?? null, ...(types ? [[...new Set(types)]] : [])]
  const query = types
    ? { name: 'es-types', text: bounded(byTypes) }
    : { name: 'es-category', text: bounded(ofCategory) }
  return select(db, { ...query, values })
}

const ofStream = `select ${columns} from es.event e where e.stream_id = $1 and e.version >= $2 order by e.version limit $3`
const ofStreamBackwards = `select ${columns} from es.event e where e.stream_id = $1 and e.version <= $2
  order by e.version desc limit $3`
const lastVersion = String(2n ** 63n - 1n)

/** Events of one stream, both ends included. */
export const eventsOfStream = (
  db: ClientBase | Pool,
  streamId: string,
  { from, limit, backwards = false }: StreamRange = {},
): Promise<RecordedEvent[]> =>
  select(
    db,
    backwards
      ? { name: 'es-stream-backwards', text: ofStreamBackwards, values: [streamId, from ?? lastVersion, limit ?? null] }
      : { name: 'es-stream', text: ofStream, values: [streamId, from ?? 1, limit ?? null] },
  )

/** Does the stream hold any event? */
export const streamExists = async (db: ClientBase | Pool, streamId: string): Promise<boolean> => {
  const text = 'select exists (select from es.event where stream_id = $1) as found'
  const { rows } = await db.query<{ found: boolean }>({ name: 'es-stream-exists', text, values: [streamId] })
  return rows[0]?.found === true
}
