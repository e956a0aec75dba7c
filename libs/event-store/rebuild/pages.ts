import { withClient } from '@mcpctl/postgres/transaction'
import type { Pool, PoolClient } from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import { BinaryRows, Timestamps, uuidAt } from '../binary-rows'
import type { ClaimChange, EventMeta, JsonObject, ProjectedEvent } from '../types'

/** Of a page that is read at once. */
const limits = { events: 1_000, bytes: 4 * 1024 * 1024 }
/** Events per statement: the longest time for which reading keeps PostgreSQL from cleaning up. */
const rangeEvents = 20_000n
/** Events per page at least. What is still in use when the garbage is collected is copied: large pages cost as much as folding them. */
const pageEvents = 200

const columns =
  'position, category, stream_id, version, event_id, type, schema_version, data, meta, claims, recorded_at'
const select = (where: string) =>
  `copy (select ${columns} from es.event where ${where} order by position) to stdout (format binary)`

interface Later {
  text: string
  value?: EventMeta
}

const valueOf = (later: Later): EventMeta => (later.value ??= JSON.parse(later.text) as EventMeta)

const onDemand: ProxyHandler<Later> = {
  get: (later, key) => Reflect.get(valueOf(later), key) as unknown,
  has: (later, key) => Reflect.has(valueOf(later), key),
  ownKeys: (later) => Reflect.ownKeys(valueOf(later)),
  getOwnPropertyDescriptor: (later, key) => {
    const found = Reflect.getOwnPropertyDescriptor(valueOf(later), key)
    return found && { ...found, configurable: true }
  },
}

/** An object as any other, but it is parsed when somebody looks at it: a fold mostly does not, and it is half of what is to be parsed. */
const parsedLater = (text: string) => new Proxy<Later>({ text }, onDemand) as unknown as EventMeta

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
    meta: parsedLater(rows.json(8)),
    recordedAt: times.at(rows.int8(10)),
  }
  if (!rows.isEmpty(9)) event.claims = JSON.parse(rows.json(9)) as ClaimChange[]
  return event
}

async function* read(client: PoolClient, where: string): AsyncGenerator<ProjectedEvent[]> {
  const rows = new BinaryRows(11)
  const times = new Timestamps()
  let events: ProjectedEvent[] = []
  const add = () => {
    events.push(eventAt(rows, times))
  }
  for await (const chunk of client.query(copyTo(select(where))) as AsyncIterable<Buffer>) {
    rows.take(chunk, add)
    if (events.length < pageEvents) continue
    yield events
    events = []
  }
  if (events.length > 0) yield events
}

/** The events after a position, in order, as many as fit into memory; none at the end of the log. */
export const pageAfter = (pool: Pool, after: bigint): Promise<ProjectedEvent[]> =>
  withClient(pool, async (client) => {
    // As a subquery: the planner would call the function to see what comes of it.
    const end = `(select es.batch_end(${after}, ${limits.events}, ${limits.bytes}))`
    const pages: ProjectedEvent[][] = []
    for await (const page of read(client, `position > ${after} and position <= ${end}`)) pages.push(page)
    return pages.flat()
  })

/**
 * The log after a position, in order, up to `upTo` or to its end as it is found, in pages that fit into memory. PostgreSQL reads on while
 * the caller is busy, on a connection that is closed at the end.
 */
export async function* pagesAfter(pool: Pool, after: bigint, upTo?: bigint): AsyncGenerator<ProjectedEvent[]> {
  const client = await pool.connect()
  client.on('error', () => {})
  try {
    // A statement lasts as long as its rows are taken.
    await client.query('set statement_timeout = 0')
    const end = upTo ?? (await headOf(client))
    for (let from = after; from < end; from += rangeEvents) {
      const to = from + rangeEvents < end ? from + rangeEvents : end
      yield* read(client, `position > ${from} and position <= ${to}`)
    }
  } finally {
    // Its settings are not those of the pool any more, and an answer may be under way.
    client.release(true)
  }
}

const headOf = async (client: PoolClient): Promise<bigint> => {
  const { rows } = await client.query<{ head: string | null }>('select max(position)::text as head from es.event')
  return BigInt(rows[0]?.head ?? 0)
}
