import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import pg from 'pg'

const scripts = join(dirname(createRequire(import.meta.url).resolve('@eventide/message-db/package.json')), 'database')

/** The files of a folder in the order in which its install script names them. */
const ordered = async (script, folder) => {
  const text = await readFile(join(scripts, script), 'utf8')
  const named = [...text.matchAll(/\$base\/((?:types|functions|indexes|views|privileges)\/[\w-]+\.sql)/g)].map(
    ([, file]) => file,
  )
  const present = await readdir(join(scripts, folder))
  if (present.some((file) => !named.includes(`${folder}/${file}`)))
    throw new Error(`message-db: ${script} does not name all of ${folder}`)
  return named
}

/** What install.sh does, through pg. */
const installFiles = async () => [
  'roles/message-store.sql',
  'schema/message-store.sql',
  'extensions/pgcrypto.sql',
  'tables/messages.sql',
  ...(await ordered('install-functions.sh', 'functions')),
  ...(await ordered('install-indexes.sh', 'indexes')),
  ...(await ordered('install-views.sh', 'views')),
  ...(await ordered('install-privileges.sh', 'privileges')),
]

// Its functions name each other without their schema.
const searchPath = '-c search_path=message_store,public'

const statement = (events) => {
  const call = (nth) => {
    const at = (column) => `$${nth * 6 + column}`
    return `write_message(${at(1)}, ${at(2)}, ${at(3)}, ${at(4)}, ${at(5)}, ${at(6)})`
  }
  return `select ${Array.from({ length: events }, (_, nth) => call(nth)).join(', ')}`
}

const valuesOf = (stream, { fresh, events }) =>
  events.flatMap(({ id, type, data, meta }, nth) => [
    id,
    stream,
    type,
    JSON.stringify(data),
    JSON.stringify(meta),
    fresh ? nth - 1 : null,
  ])

const ofStream = 'select * from get_stream_messages($1, 0, 1000)'

const yardstick = (name, categoryOf) => ({
  name,
  async prepare(url) {
    const client = new pg.Client({ connectionString: url, options: searchPath })
    await client.connect()
    for (const file of await installFiles()) await client.query(await readFile(join(scripts, file), 'utf8'))
    await client.end()
  },
  async open(url, writers) {
    const pool = new pg.Pool({ connectionString: url, max: writers, idleTimeoutMillis: 0, options: searchPath })
    // Without a listener a connection that is cut off ends the process.
    pool.on('error', () => {})
    return {
      async append(append) {
        const stream = `${categoryOf(append)}-${append.uid}`
        const events = append.events.length
        // Several events are one statement, hence one transaction and one round trip.
        await pool.query({ name: `write-${events}`, text: statement(events), values: valuesOf(stream, append) })
      },
      async count() {
        const { rows } = await pool.query('select count(*)::int as count from messages')
        return rows[0].count
      },
      async readStream(uid) {
        const { rows } = await pool.query({ name: 'stream', text: ofStream, values: [`server-${uid}`] })
        // It hands out text; every client parses it.
        return rows.map(({ data, metadata, ...row }) => ({
          ...row,
          data: JSON.parse(data),
          meta: JSON.parse(metadata),
        })).length
      },
      close: () => pool.end(),
    }
  },
})

/** It locks per category; a category per client lets clients write side by side. */
export const messageDb = yardstick('message-db', ({ writer, fresh }) => (fresh ? `server${writer}` : 'server'))

/** Everybody in one category, so everybody behind one lock. */
export const messageDbOneCategory = yardstick('message-db, one category', () => 'server')
