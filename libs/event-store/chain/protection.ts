import type { PoolClient } from 'pg'
import type { Fault } from './broken'

// By table: the triggers that refuse changes, and what they call.
const guards = [
  ['es.event', 'event_is_immutable', 'es.refuse_change()'],
  ['es.seal', 'seal_is_immutable', 'es.refuse_change()'],
  ['es.subject_key', 'key_is_only_destroyed', 'es.refuse_key_change()'],
  ['es.subject_key', 'keys_are_not_truncated', 'es.refuse_key_change()'],
]
const readOnly = ['es.event', 'es.claim', 'es.command', 'es.fence', 'es.store', 'es.seal']
const changes = ['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']

// Null where the table is gone: then nothing can be read anyway, and the query says so.
const missing = `select format('trigger %s on %s is missing, disabled or replaced', g.name, g.on_table) as what
  from unnest($1::text[], $2::text[], $3::text[]) g (on_table, name, calls)
  where not exists (
    select from pg_trigger t join pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = to_regclass(g.on_table) and t.tgname = g.name and t.tgenabled in ('O', 'A')
      and p.oid = to_regprocedure(g.calls) and p.prosrc like '%raise exception%insufficient_privilege%')`
const granted = `select format('mcpd_app may %s %s', lower(p.change), t.name)
  from unnest($4::text[]) t (name), unnest($5::text[]) p (change)
  where has_table_privilege('mcpd_app', to_regclass(t.name), p.change)
    or p.change in ('INSERT', 'UPDATE') and has_any_column_privilege('mcpd_app', to_regclass(t.name), p.change)`
const veiled = `select format('%s decides which rows of %s are seen',
    case when c.relrowsecurity then 'row level security' else 'a rule' end, c.oid::regclass)
  from pg_class c
  where c.relnamespace = 'es'::regnamespace and c.relkind = 'r' and (c.relrowsecurity or exists (
    select from pg_rewrite r where r.ev_class = c.oid))`

/** Is everything in place that keeps the log from being changed, or seen in part? What is not, somebody with more rights has taken away. */
export const protectionFault = async (client: PoolClient): Promise<Fault | undefined> => {
  const { rows } = await client.query<{ what: string }>(`${missing} union all ${granted} union all ${veiled} limit 1`, [
    ...[0, 1, 2].map((column) => guards.map((guard) => guard[column])),
    readOnly,
    changes,
  ])
  return rows.map(({ what }): Fault => {
    const message = `no event was changed, as far as can be seen, but the log is not protected: ${what}`
    return { problem: 'protection', position: 0n, field: 'position', message }
  })[0]
}
