import type { ResourceObject } from '@mcpctl/contracts'
import { Kysely, PostgresDialect, type ColumnType } from 'kysely'
import type { Pool } from 'pg'

export interface ObjectTable {
  kind: string
  uid: string
  name: string
  labels: ColumnType<Record<string, string>, string, never>
  from_position: ColumnType<string, string | bigint, never>
  to_position: ColumnType<string | null, string | bigint | null, string | bigint>
  object: ColumnType<ResourceObject, string, never>
}

export interface ReferenceTable {
  from_kind: string
  from_uid: string
  from_name: string
  to_kind: string
  to_name: string
}

export interface ReadModel {
  'rm.object': ObjectTable
  'rm.reference': ReferenceTable
}

/** Typed queries on the read models. */
export const readModel = (pool: Pool): Kysely<ReadModel> => new Kysely({ dialect: new PostgresDialect({ pool }) })
