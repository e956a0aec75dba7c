import type { ClientBase } from 'pg'
import { createPool } from '@mcpctl/postgres'
import { PostgresEventLog } from '../postgres-event-log'
import { event, to } from './event-fixtures'
import { eventually } from './eventually'

/**
 * As many logs as if each were another daemon's, with one connection each, so that group commit cannot put their appends in
 * order. Each has appended once: what follows costs no connecting and no planning. For tests.
 */
export const openWriters = async (url: string, count: number) => {
  const pools = Array.from({ length: count }, () =>
    createPool(url, { role: 'mcpd_app', max: 1, applicationName: 'writer' }),
  )
  const logs = pools.map((pool) => new PostgresEventLog({ pool }))
  for (const [i, log] of logs.entries()) await log.append(to(`warm-up-${i}`, 'any', event()))
  return { logs, close: () => Promise.all(pools.map((pool) => pool.end())) }
}

const waitingForTheLog = `select count(*)::int as waiting from pg_locks
  where locktype = 'advisory' and not granted
    and database = (select oid from pg_database where datname = current_database())`

/** Starts appends while `holder`, the owner's connection, has the log to itself, and lets go when `count` of them wait. For tests. */
export const allAtOnce = async <T>(holder: ClientBase, count: number, start: () => Promise<T>): Promise<T> => {
  await holder.query('begin')
  await holder.query(`select es.append_many('[{"streams":[]}]')`)
  await holder.query('set local idle_in_transaction_session_timeout = 0')
  const started = start()
  // Handled here as well, lest a failure go unnoticed while the others are waited for.
  started.catch(() => {})
  await eventually(async () => (await holder.query<{ waiting: number }>(waitingForTheLog)).rows[0]?.waiting === count)
  await holder.query('commit')
  return started
}
