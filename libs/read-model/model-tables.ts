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
    create index ${indexName(place, 'loading')} on ${object} (uid) where to_position is null;
    create index ${indexName(place, 'server')} on ${object} ((object #>> '{spec,serverUid}'))
      where to_position is null and kind = 'Instance';
    create index reference_${place}_to on ${reference} (to_kind, to_name)`)
}

export const dropTables = async (tx: ClientBase, place: ModelPlace): Promise<void> => {
  const { object, reference } = tablesAt(place)
  await tx.query(`drop table if exists ${object}; drop table if exists ${reference}`)
}

const indexName = (place: ModelPlace, what: string) => `object_${place}_${what}`

/** What a loaded table needs before it is read, a statement each; each may be run again. */
export const indexStatements = (version: number): string[] => {
  const { object } = tablesAt(version)
  const index = (what: string, on: string, unique = '') =>
    `create ${unique} index if not exists ${indexName(version, what)} on ${object} ${on}`
  return [
    index('version', '(uid, from_position)', 'unique'),
    index('current_uid', '(uid) where to_position is null', 'unique'),
    index('current_name', '(kind, name) where to_position is null', 'unique'),
    index('kind_name', '(kind, name, from_position)'),
    `drop index if exists rm.${indexName(version, 'loading')}`,
    `alter table ${object} reset (autovacuum_enabled)`,
    `analyze ${object}, rm.reference_${version}`,
  ]
}

/** Points the views at the tables of a version, for everybody, when the transaction commits. Waits for readers, as `lock_timeout` allows. */
export const showTables = async (tx: ClientBase, version: number): Promise<void> => {
  const { object, reference } = tablesAt(version)
  // At once, and with the tables behind them, so that no reader can have one half and wait for the other.
  await tx.query(`
    lock table ${live.object}, ${live.reference} in access exclusive mode;
    create or replace view ${live.object} as select ${objectColumns} from ${object};
    create or replace view ${live.reference} as select ${referenceColumns} from ${reference}`)
}

/** Keeps `showTables` of others waiting until the transaction has ended. */
export const holdTables = async (tx: ClientBase): Promise<void> => {
  await tx.query(`lock table ${live.object}, ${live.reference} in access share mode`)
}
