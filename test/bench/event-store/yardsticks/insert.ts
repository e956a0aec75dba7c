import { createClient, createPool } from '@mcpctl/postgres'
import { migrate, streamOf } from './ours'
import type { Append, Yardstick } from './store'

/** A table with the columns and indexes of es.event, without its functions and triggers. */
export const plainTable = `
  create table public.event (like es.event including all);
  create sequence event_position;
  create sequence stream_version;
`

const columns = 11
// A hash is a value like any other here; nobody computes it.
const hash = Buffer.alloc(32, 7)

const row = (nth: number, version: string) => {
  const at = (column: number) => `$${nth * columns + column}`
  return `(nextval('event_position'), ${at(1)}, ${at(2)}, ${version.replace('$', at(3))}, ${at(4)}, ${at(5)}, ${at(6)},
    ${at(7)}, ${at(8)}, ${at(9)}, clock_timestamp(), ${at(10)}, ${at(11)})`
}

// Nobody counts versions of a shared stream, so a sequence stands for them.
const statement = (events: number, fresh: boolean) =>
  `insert into public.event (position, category, stream_id, version, event_id, type, schema_version, data, meta, claims,
     recorded_at, content_hash, hash)
   values ${Array.from({ length: events }, (_, nth) => row(nth, fresh ? '$::bigint' : `coalesce($::bigint, nextval('stream_version'))`)).join(', ')}`

const valuesOf = ({ uid, fresh, events }: Append) =>
  events.flatMap(({ id, type, data, meta, claims }, nth) => [
    'server',
    streamOf(uid),
    fresh ? nth + 1 : null,
    id,
    type,
    1,
    JSON.stringify(data),
    JSON.stringify(meta),
    claims.length > 0 ? JSON.stringify(claims) : null,
    hash,
    hash,
  ])

const ofStream = `select position, category, stream_id, version, event_id, type, schema_version, data, meta, claims, recorded_at,
  content_hash, hash from public.event where stream_id = $1 order by version limit 1000`

/** The floor: a prepared INSERT of the same row, one commit per append, a connection per writer. */
export const insert: Yardstick = {
  name: 'INSERT (pg)',
  async prepare(url) {
    await migrate(url)
    const client = await createClient(url, { applicationName: 'bench' })
    await client.query(plainTable)
    await client.end()
  },
  async open(url, writers) {
    const pool = createPool(url, { applicationName: 'bench', max: writers })
    return {
      async append(append) {
        const text = statement(append.events.length, append.fresh)
        const name = `insert-${append.events.length}-${append.fresh}`
        await pool.query({ name, text, values: valuesOf(append) })
      },
      async count() {
        const { rows } = await pool.query<{ count: number }>('select count(*)::int as count from public.event')
        return rows[0]?.count ?? 0
      },
      async readStream(uid) {
        const { rows } = await pool.query({ name: 'stream', text: ofStream, values: [streamOf(uid)] })
        return rows.length
      },
      close: () => pool.end(),
    }
  },
}
