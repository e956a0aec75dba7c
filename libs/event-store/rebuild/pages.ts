import type { Pool, PoolClient } from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import { BinaryRows, Timestamps, uuidAt } from '../binary-rows'
import type { ClaimChange, EventMeta, JsonObject, ProjectedEvent } from '../types'

const limits = { events: 2_000, bytes: 4 * 1024 * 1024 }

const columns =
  'position, category, stream_id, version, event_id, type, schema_version, data, meta, claims, recorded_at'

// The end as a subquery: the planner would call the function to see what comes of it.
const pageText = (after: bigint) => `
  select ${columns} from es.event
  where position > ${after} and position <= (select es.batch_end(${after}, ${limits.events}, ${limits.bytes}))
  order by position`

const eventAt = (rows: BinaryRows, times: Timestamps): ProjectedEvent => {
  const event: ProjectedEvent = {
    position: rows.int8(0),
    category: rows.text(1),
    streamId: rows.text(2),
    version: Number(rows.int8(3)),
    id: uuidAt(rows, 4),
    type: rows.text(5),
    schemaVersion: rows.int4(6),
    data: JSON.parse(rows.json(7)) as JsonObject,
    meta: JSON.parse(rows.json(8)) as EventMeta,
    recordedAt: times.at(rows.int8(10)),
  }
  if (!rows.isEmpty(9)) event.claims = JSON.parse(rows.json(9)) as ClaimChange[]
  return event
}

const readPage = async (client: PoolClient, after: bigint): Promise<ProjectedEvent[]> => {
  const rows = new BinaryRows(11)
  const times = new Timestamps()
  const events: ProjectedEvent[] = []
  const answer = client.query(copyTo(`copy (${pageText(after)}) to stdout (format binary)`))
  for await (const chunk of answer as AsyncIterable<Buffer>) rows.take(chunk, () => events.push(eventAt(rows, times)))
  return events
}

/** The events after a position, in order, as many as fit into memory; none at the end of the log. */
export const pageAfter = async (pool: Pool, after: bigint): Promise<ProjectedEvent[]> => {
  const client = await pool.connect()
  let broken = true
  try {
    const events = await readPage(client, after)
    broken = false
    return events
  } finally {
    client.release(broken)
  }
}

/**
 * The log after a position, in order, up to `upTo` or to its end as it is found, in pages that fit into memory. The next page is read
 * while the caller is busy with the present one, on a connection of its own.
 */
export async function* pagesAfter(pool: Pool, after: bigint, upTo?: bigint): AsyncGenerator<ProjectedEvent[]> {
  const read = (position: bigint) => {
    const page = pageAfter(pool, position)
    // Whoever takes it hears of the error.
    page.catch(() => undefined)
    return page
  }
  let next = read(after)
  for (;;) {
    const events = await next
    const last = events.at(-1)
    if (!last) return
    const isLast = upTo !== undefined && last.position >= upTo
    if (!isLast) next = read(last.position)
    yield upTo === undefined ? events : events.filter(({ position }) => position <= upTo)
    if (isLast) return
  }
}
