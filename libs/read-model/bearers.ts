import { uidPattern } from '@mcpctl/contracts'
import { sql, type Kysely } from 'kysely'
import type { ReadModel } from './tables'

/** An object as others name it: by the kind's name and its own. */
export interface NamedObject {
  kind: string
  name: string
}

/** What is known of the latest object that bore a name. */
export interface LastBearer {
  /** Where in the log it was deleted; undefined where nobody ever bore the name, or somebody does. */
  goneAt?: bigint
  /** Where to look on in the log for deletions that the table does not show. */
  readUntil: bigint
}

/** Who bears names, and who has borne them. */
export class Bearers {
  constructor(
    private readonly database: Kysely<ReadModel>,
    /** Of the processor that keeps the table up to date. */
    private readonly processor: string,
  ) {}

  /** Those of these uids and names that an object bears now. */
  async among(
    uids: readonly string[],
    names: readonly NamedObject[],
  ): Promise<{ uids: string[]; names: NamedObject[] }> {
    return { uids: await this.uidsAmong(uids), names: await this.namesAmong(names) }
  }

  private async uidsAmong(uids: readonly string[]): Promise<string[]> {
    const wanted = uids.filter((uid) => uidPattern.test(uid))
    if (wanted.length === 0) return []
    const rows = await this.database
      .selectFrom('rm.object')
      .select('uid')
      .where(sql<boolean>`uid = any(${[...new Set(wanted)]}::uuid[])`)
      .where('to_position', 'is', null)
      .execute()
    return rows.map(({ uid }) => uid)
  }

  private async namesAmong(names: readonly NamedObject[]): Promise<NamedObject[]> {
    if (names.length === 0) return []
    const { rows } = await sql<NamedObject>`select o.kind, o.name
      from (select distinct * from jsonb_to_recordset(${JSON.stringify(names)}::jsonb) as r (kind text, name text)) r
      join rm.object o on o.kind = r.kind and o.name = r.name and o.to_position is null`.execute(this.database)
    return rows
  }

  /** The latest object of that name, as far as the table has followed the log. */
  async last({ kind, name }: NamedObject): Promise<LastBearer> {
    const { rows } = await sql<{ reached: string; from: string | null; to: string | null }>`
      select coalesce((select c.position::text from es.checkpoint c where c.processor = ${this.processor} and c.active), '0') as reached,
             o.from_position::text as from, o.to_position::text as to
        from (select 1) always
        left join lateral (select from_position, to_position from rm.object
          where kind = ${kind} and name = ${name} order by from_position desc limit 1) o on true`.execute(this.database)
    const { reached = '0', from = null, to = null } = rows[0] ?? {}
    if (to !== null) return { goneAt: BigInt(to), readUntil: BigInt(reached) }
    return { readUntil: BigInt(from ?? reached) }
  }
}
