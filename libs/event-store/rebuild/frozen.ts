import { withClient } from '@mcpctl/postgres/transaction'
import type { Pool } from 'pg'

// What a fold sends to its tables, which no other COPY of the store does while it has looked at the checkpoints; and what it is sent.
const folding = `(a.query like 'copy %.object_% from stdin%' or starts_with(a.query, 'copy (select position, category,'))`

const end = `select pg_terminate_backend(a.pid) from pg_stat_activity a
  where a.datname = current_database() and a.usename = current_user and a.state = 'active'
    and a.wait_event in ('ClientRead', 'ClientWrite') and ${folding}
    and a.query_start < clock_timestamp() - $1 * interval '1 ms'`

/**
 * Ends the connections of processes that have frozen while they folded a model, in a rebuild or a verification. PostgreSQL waits for the
 * rows of a COPY as long as the machine at the other end answers, whatever `statement_timeout` is set to: meanwhile nobody else could
 * build the model, and nothing in the database would be cleaned up. A process that thaws finds its connection lost, and begins the step
 * anew. Ends those of the same login only: `mcpd_app` may not end anybody.
 */
export const endFrozen = (pool: Pool, afterMs: number): Promise<void> =>
  withClient(pool, async (tx) => {
    await tx.query('begin; set local role none')
    await tx.query(end, [afterMs])
    await tx.query('commit')
  })
