import type { ModelPlace } from '@mcpctl/event-store'
import type { ClientBase } from 'pg'

/** Names to be written into SQL. */
export interface ModelTables {
  object: string
  reference: string
}

/** What readers and the projector use: views on the tables of the active version. */
export const live: ModelTables = { object: 'rm.object', reference: 'rm.reference' }

export const tablesAt = (place: ModelPlace): ModelTables =>
  place === 'scratch'
    ? { object: 'pg_temp.object_scratch', reference: 'pg_temp.reference_scratch' }
    : { object: `rm.object_${place}`, reference: `rm.reference_${place}` }

export const objectColumns = 'kind, uid, name, labels, from_position, to_position, object'
export const objectColumnCount = objectColumns.split(',').length
const referenceColumns = 'from_kind, from_uid, from_name, to_kind, to_name'

/**
 * Empty tables; those of the same name go first. Indexes on current objects are small while loading, the others are for `indexStatements`. A
 * vacuum would take a core from the loading, for a table that has nothing to be cleaned.
 */
export const createTables = async (tx: ClientBase, place: ModelPlace): Promise<void> => {
  const { object, reference } = tablesAt(place)
  await dropTables(tx, place)
  await tx.query(`
    create table ${object} (
      kind          text   not null,
      uid           uuid   not null,
      name          text   not null,
      labels        jsonb  not null,
      from_position bigint not null,
      to_position   bigint,
      object        json   not null
    ) with (autovacuum_enabled = false);
    create table ${reference} (
      from_kind text not null,
      from_uid  uuid not null,
      from_name text not null,
      to_kind   text not null,
      to_name   text not null,
      primary key (from_uid, to_kind, to_name)
    );
    ${currentIndexes(place)};
    create index ${indexName(place, 'server')} on ${object} ((object #>> '{spec,serverUid}'))
      where to_position is null and kind = 'Instance';
    create index reference_${place}_to on ${reference} (to_kind, to_name)`)
}

export const dropTables = async (tx: ClientBase, place: ModelPlace): Promise<void> => {
  const { object, reference } = tablesAt(place)
  await tx.query(`drop table if exists ${object}; drop table if exists ${reference}`)
}

const indexName = (place: ModelPlace, what: string) => `object_${place}_${what}`

/** A name that two objects have is found at once, as by the projector. For a comparison the log counts, whatever it says. */
const currentIndexes = (place: ModelPlace): string => {
  const { object } = tablesAt(place)
  const index = (what: string, on: string) =>
    `index ${indexName(place, what)} on ${object} ${on} where to_position is null`
  if (place === 'scratch') return `create ${index('current_uid', '(uid)')}`
  return `create unique ${index('current_uid', '(uid)')}; create unique ${index('current_name', '(kind, name)')}`
}

/** What a loaded table needs before it is read, a statement each; each may be run again. */
export const indexStatements = (version: number): string[] => {
  const { object } = tablesAt(version)
  const index = (what: string, on: string, unique = '') =>
    `create ${unique} index if not exists ${indexName(version, what)} on ${object} ${on}`
  return [
    index('version', '(uid, from_position)', 'unique'),
    index('kind_name', '(kind, name, from_position)'),
    `alter table ${object} reset (autovacuum_enabled)`,
    `analyze ${object}, rm.reference_${version}`,
  ]
}

export const modelVersions = async (tx: ClientBase): Promise<number[]> => {
  const { rows } = await tx.query<{ version: number }>(
    `select substring(relname from '^object_(\\d+)$')::int as version from pg_class
     where relnamespace = 'rm'::regnamespace and relkind = 'r' and relname ~ '^object_\\d{1,9}$' order by 1`,
  )
  return rows.map(({ version }) => version)
}

/** Points the views at the tables of a version, for everybody, when the transaction commits. Waits for readers, as `lock_timeout` allows. */
export const showTables = async (tx: ClientBase, version: number): Promise<void> => {
  const { object, reference } = tablesAt(version)
  // Who has locked one view keeps us from both, so that nobody sees one half of each version. The tables are not locked: a vacuum of
  // theirs would not give way in so short a time.
  await tx.query(`
    create or replace view ${live.object} as select ${objectColumns} from ${object};
    create or replace view ${live.reference} as select ${referenceColumns} from ${reference}`)
}

/** Keeps `dropTables` of others waiting until the transaction has ended. */
export const holdTables = async (tx: ClientBase, version: number): Promise<void> => {
  const { object, reference } = tablesAt(version)
  await tx.query(`lock table ${object}, ${reference} in access share mode`)
}
