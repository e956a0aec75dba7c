import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { from as copyFrom } from 'pg-copy-streams'
import { contentHash } from '@mcpctl/event-store'
import { createClient } from '@mcpctl/postgres'
import { serverEvent, uidOf } from './server-log'

const rowsPerChunk = 500

export interface LogSize {
  events: number
  /** Servers that the events are spread over, in turn. */
  streams: number
}

const sha256 = (...parts: (Buffer | string)[]) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

const int8 = (value: bigint) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}

// The text format of COPY knows the backslash only; JSON has escaped the rest.
const field = (value: unknown) => JSON.stringify(value).replaceAll('\\', '\\\\')

const rowOf = (position: number, { streams }: LogSize, chain: { hash: Buffer; startMs: number }): string => {
  const server = (position - 1) % streams
  const version = Math.floor((position - 1) / streams) + 1
  const stream = { streamId: `server-${uidOf(server)}`, category: 'server' }
  const event = serverEvent(server, version)
  const content = Buffer.from(contentHash(stream, event), 'hex')
  const ms = chain.startMs + position
  chain.hash = sha256(chain.hash, content, int8(BigInt(position)), int8(BigInt(version)), int8(BigInt(ms) * 1000n))
  return [
    position,
    stream.category,
    stream.streamId,
    version,
    event.id,
    event.type,
    event.schemaVersion,
    field(event.data),
    field(event.meta),
    event.claims ? field(event.claims) : '\\N',
    new Date(ms).toISOString(),
    `\\\\x${content.toString('hex')}`,
    `\\\\x${chain.hash.toString('hex')}`,
  ].join('\t')
}

const chunks = function* (size: LogSize, origin: string) {
  const chain = { hash: sha256(origin), startMs: Date.now() - size.events - 60_000 }
  for (let from = 1; from <= size.events; from += rowsPerChunk) {
    const to = Math.min(from + rowsPerChunk - 1, size.events)
    yield `${Array.from({ length: to - from + 1 }, (_, nth) => rowOf(from + nth, size, chain)).join('\n')}\n`
  }
}

const columns =
  'position, category, stream_id, version, event_id, type, schema_version, data, meta, claims, recorded_at, content_hash, hash'

const takeNames = `
  insert into es.claim (scope, key, stream_id)
  select c ->> 'scope', c ->> 'key', e.stream_id from es.event e, jsonb_array_elements(e.claims) c where e.claims is not null`

const brokenLinks = `
  select count(*)::int as broken from (
    select e.hash, es.chain(lag(e.hash, 1, sha256(convert_to(s.origin_id::text, 'UTF8'))) over (order by e.position),
      e.content_hash, e.position, e.version, e.recorded_at) as expected
    from es.event e, es.store s) links
  where hash <> expected`

/** Fills an empty, migrated database with a log as the library would have written it, hashes included, by COPY as the owner. */
export const seed = async (url: string, size: LogSize): Promise<void> => {
  const client = await createClient(url, { applicationName: 'bench', statementTimeout: 0 })
  try {
    const { rows } = await client.query<{ origin: string }>('select origin_id::text as origin from es.store')
    const into = client.query(copyFrom(`copy es.event (${columns}) from stdin`))
    await pipeline(Readable.from(chunks(size, rows[0]?.origin ?? '')), into)
    await client.query(takeNames)
    const links = await client.query<{ broken: number }>(brokenLinks)
    if (links.rows[0]?.broken !== 0) throw new Error('the seeded log has a broken hash chain')
    await client.query('vacuum (analyze) es.event')
  } finally {
    await client.end()
  }
}
