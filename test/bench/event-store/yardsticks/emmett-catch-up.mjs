import { rawSql, sql } from '@event-driven-io/dumbo'
import { getPostgreSQLEventStore, postgreSQLRawSQLProjection } from '@event-driven-io/emmett-postgresql'
import pg from 'pg'

/**
 * Messages per query. It has no index on the position, so each query sorts the table; larger batches hold their transaction longer.
 * Of 100 (the default), 250, 500, 1,000, 2,000, 5,000 and 20,000, over 100,000 events, 1,000 to 2,000 were the fastest.
 */
const batchSize = 2_000

const projection = (table) =>
  postgreSQLRawSQLProjection({
    name: table,
    canHandle: ['ServerCreated', 'ServerStatusReported', 'ReplicasChanged'],
    init: () => rawSql(`create table if not exists ${table} (stream_id text primary key, events bigint not null)`),
    // It hands over one event at a time, whatever the batch.
    evolve: ({ metadata }) =>
      sql(
        `insert into ${table} as t values (%L, 1) on conflict (stream_id) do update set events = t.events + 1`,
        metadata.streamName,
      ),
  })

/** emmett's consumer with a projector that counts events per stream. */
export const emmettCatchUp = {
  name: 'emmett',
  /** Stores the events of each stream. */
  async open(url, streams) {
    const pool = new pg.Pool({ connectionString: url, max: 10, idleTimeoutMillis: 0 })
    pool.on('error', () => {})
    const store = getPostgreSQLEventStore(url, { schema: { autoMigration: 'None' }, connectionOptions: { pool } })
    for await (const { streamId, events } of streams)
      await store.appendToStream(
        streamId,
        events.map(({ id, type, data, meta }) => ({ type, data, metadata: { ...meta, messageId: id } })),
      )
    await pool.query('analyze')
    return {
      async prepare(table) {
        const consumer = store.consumer({ pulling: { batchSize }, stopWhen: { noMessagesLeft: true } })
        consumer.projector({ processorId: table, projection: projection(table) })
        await consumer.init()
        return () => consumer.start()
      },
      async counted(table) {
        const { rows } = await pool.query(
          `select count(*)::int as streams, coalesce(sum(events), 0)::int as events from ${table}`,
        )
        return rows[0]
      },
      close: () => pool.end(),
    }
  },
}
