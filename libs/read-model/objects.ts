import { createHash } from 'node:crypto'
import { DomainError, type Kind, type ResourceList, type ResourceObject } from '@mcpctl/contracts'
import { sql, type Kysely } from 'kysely'
import { Bearers } from './bearers'
import { uidKey } from './object-fold'
import { fieldConditions, labelConditions } from './selectors'
import type { ReadModel } from './tables'
import type { ObjectJoins } from './view'

export interface ListQuery {
  labelSelector?: string
  fieldSelector?: string
  /** At most this many objects; default 500, at most 1000. */
  limit?: number
  /** The token of the page before. */
  continue?: string
}

/** Whose list it is, and which objects it may hold: an object is in when each of the scopes has it. */
export interface Reader {
  uid: string
  scopes: readonly ReadScope[]
}

/** Everything, or what bears one of the names, or belongs to a server of those names. */
export interface ReadScope {
  all: boolean
  names: ReadonlySet<string>
  owners: ReadonlySet<string>
}

interface PageToken {
  epoch: number
  position: string
  after: string
  filter: string
}

/** What reading has to know of a kind. */
export interface ReadKind {
  plural: string
  joins?: ObjectJoins
}

const DEFAULT_LIMIT = 500
const MAX_LIMIT = 1000

/** What refers to an object: the kind's name and the object's own. */
type Referrer = [kind: string, name: string]

/** Of each object, read with it: one query tells the same moment, and costs less than one for the names that the first has found. */
const referrers = sql<Referrer[] | null>`(
  select jsonb_agg(jsonb_build_array(r.from_kind, r.from_name) order by r.from_name) from rm.reference r
  where r.to_kind = o.kind and r.to_name in (o.name, ${sql.lit(uidKey(''))} || o.uid))`.as('referrers')

/** Reads of the object table; every list is consistent at one position, pages included. */
export class Objects {
  private readonly bearers: Bearers

  constructor(
    private readonly database: Kysely<ReadModel>,
    readonly epoch: number,
    /** Of the processor that keeps the table up to date. */
    private readonly processor: string,
    /** By name of the kind. */
    private readonly kinds: ReadonlyMap<string, ReadKind> = new Map(),
  ) {
    this.bearers = new Bearers(database, processor)
  }

  /** The current object of that name. */
  async find(kind: string, name: string): Promise<ResourceObject | undefined> {
    const row = await this.database
      .selectFrom('rm.object as o')
      .select(['object', referrers])
      .where('kind', '=', kind)
      .where('name', '=', name)
      .where('to_position', 'is', null)
      .executeTakeFirst()
    return row && this.shown(this.withReferrers(row))
  }

  /** The current object of that uid. */
  async findByUid(uid: string): Promise<ResourceObject | undefined> {
    const row = await this.database
      .selectFrom('rm.object')
      .select('object')
      .where('uid', '=', uid)
      .where('to_position', 'is', null)
      .executeTakeFirst()
    return this.shown(row?.object)
  }

  /** The object as a position left it; undefined when it did not exist then. */
  async at(uid: string, position: bigint): Promise<ResourceObject | undefined> {
    const row = await this.database
      .selectFrom('rm.object')
      .select('object')
      .where('uid', '=', uid)
      .where('from_position', '<=', String(position))
      .where((where) => where.or([where('to_position', 'is', null), where('to_position', '>', String(position))]))
      .executeTakeFirst()
    return this.shown(row?.object)
  }

  /** The last version of an object, also of one that is gone. */
  async last(uid: string): Promise<ResourceObject | undefined> {
    const row = await this.database
      .selectFrom('rm.object')
      .select('object')
      .where('uid', '=', uid)
      .orderBy('from_position', 'desc')
      .executeTakeFirst()
    return this.shown(row?.object)
  }

  /** Every current object of a kind whose field at `path` has this value, by name. The path is written into the query, so that an index on it serves; quoted, as a step may be called null. */
  async where(kind: string, path: string[], value: string): Promise<ResourceObject[]> {
    const rows = await this.database
      .selectFrom('rm.object')
      .select('object')
      .where('kind', '=', kind)
      .where(sql<string>`object #>> ${sql.lit(`{${path.map((step) => JSON.stringify(step)).join(',')}}`)}`, '=', value)
      .where('to_position', 'is', null)
      .orderBy('name')
      .execute()
    return rows.map(({ object }) => object)
  }

  /** Uids of every current object of a kind. */
  async uids(kind: string): Promise<string[]> {
    const rows = await this.database
      .selectFrom('rm.object')
      .select('uid')
      .where('kind', '=', kind)
      .where('to_position', 'is', null)
      .execute()
    return rows.map(({ uid }) => uid)
  }

  /** Uids of the current objects of a kind that name another object, whether that exists or not. */
  async referrersOf(to: { kind: string; name: string }, from: string): Promise<string[]> {
    const rows = await this.database
      .selectFrom('rm.reference')
      .select('from_uid')
      .where('to_kind', '=', to.kind)
      .where('to_name', '=', to.name)
      .where('from_kind', '=', from)
      .execute()
    return rows.map(({ from_uid }) => from_uid)
  }

  /**
   * A page in order of names, of what the reader may see; without a reader of everything. Throws BadRequest for a wrong selector or token, Expired
   * for a token of another epoch, list or reader.
   */
  async list(kind: Kind, query: ListQuery, reader?: Reader): Promise<ResourceList> {
    const filter = filterOf(kind, query, reader)
    const scopes = (reader?.scopes ?? []).filter(({ all }) => !all)
    const token = query.continue === undefined ? undefined : this.parseToken(query.continue, filter)
    const limit = Math.min(query.limit ?? DEFAULT_LIMIT, MAX_LIMIT)
    // One more than the page, so that its presence says whether there is a next page.
    const { rows, position } = await this.select(kind.name, query, { token, scopes, limit: limit + 1 })
    const page = rows.slice(0, limit)
    const after = rows.length > limit ? page.at(-1)?.name : undefined
    return {
      kind: `${kind.name}List`,
      metadata: {
        resourceVersion: `${this.epoch}.${position}`,
        ...(after !== undefined && { continue: this.token({ position, after, filter }) }),
        ...(scopes.length > 0 && { accessFiltered: true }),
      },
      items: await this.withJoins(
        kind.name,
        page.map((row) => this.withReferrers(row)),
      ),
    }
  }

  /** Objects by name: as they are and at which position that is, or as they were at the token's. Versions that have been superseded cost the first page nothing. */
  private async select(
    kind: string,
    { labelSelector = '', fieldSelector = '' }: ListQuery,
    { token, scopes, limit }: { token: PageToken | undefined; scopes: readonly ReadScope[]; limit: number },
  ) {
    const conditions = [...labelConditions(labelSelector), ...fieldConditions(fieldSelector), ...scopes.map(isWithin)]
    const select = this.database
      .selectFrom('rm.object as o')
      .select(['name', 'object', referrers, this.reached().as('position')])
      .where('kind', '=', kind)
      .where((where) => where.and(conditions))
      .orderBy('name')
      .limit(limit)
    if (!token) {
      const rows = await select.where('to_position', 'is', null).execute()
      return { rows, position: rows[0]?.position ?? (await this.position()) }
    }
    const { position, after } = token
    const rows = await select
      .where('name', '>', after)
      .where('from_position', '<=', position)
      .where((where) => where.or([where('to_position', 'is', null), where('to_position', '>', position)]))
      .execute()
    return { rows, position }
  }

  /** The position that the object table has reached, read in the same snapshot as the rows beside it. */
  private reached() {
    return sql<string>`coalesce((select c.position::text from es.checkpoint c
      where c.processor = ${this.processor} and c.active), '0')`
  }

  /** The position that the object table has reached. */
  async position(): Promise<string> {
    const { rows } = await sql<{ position: string }>`select ${this.reached()} as position`.execute(this.database)
    return rows[0]?.position ?? '0'
  }

  private withReferrers({
    object,
    referrers,
  }: {
    object: ResourceObject
    referrers: Referrer[] | null
  }): ResourceObject {
    if (!referrers) return object
    const referencedBy: Record<string, string[]> = {}
    for (const [kind, name] of referrers) {
      const plural = this.kinds.get(kind)?.plural ?? `${kind.toLowerCase()}s`
      const names = (referencedBy[plural] ??= [])
      names.push(name)
    }
    return { ...object, referencedBy }
  }

  /** One object with what other streams tell of it. */
  private async shown(object: ResourceObject | undefined): Promise<ResourceObject | undefined> {
    return object && (await this.withJoins(object.kind, [object]))[0]
  }

  /** Objects of a kind as they are shown, references to them aside. */
  async withJoins(kind: string, objects: ResourceObject[]): Promise<ResourceObject[]> {
    const joins = this.kinds.get(kind)?.joins
    if (!joins) return objects
    const wanted = objects.flatMap((object) => joins.names?.(object as never) ?? [])
    const { uids, names } = await this.bearers.among(
      objects.flatMap((object) => joins.uids(object as never)),
      [...this.kinds].flatMap(([name, { plural }]) => namesOf(name, plural, wanted)),
    )
    const plurals = names.map((named) => `${this.kinds.get(named.kind)?.plural ?? ''}/${named.name}`)
    const existing = new Set([...uids, ...plurals])
    return objects.map((object) => ({ ...object, ...joins.show(object as never, existing) }) as ResourceObject)
  }

  private token(page: Omit<PageToken, 'epoch'>): string {
    return Buffer.from(JSON.stringify({ epoch: this.epoch, ...page })).toString('base64url')
  }

  private parseToken(text: string, filter: string): PageToken {
    const token = decodeToken(text)
    if (!token) throw new DomainError('BadRequest', 'the continue token is not one of ours; list again from the start')
    if (token.epoch !== this.epoch || token.filter !== filter)
      throw new DomainError('Expired', 'the continue token belongs to another list; list again from the start')
    return token
  }
}

const namesOf = (kind: string, plural: string, wanted: readonly string[]) =>
  wanted.filter((each) => each.startsWith(`${plural}/`)).map((each) => ({ kind, name: each.slice(plural.length + 1) }))

const isWithin = ({ names, owners }: ReadScope) => {
  const named = sql<boolean>`name = any(${[...names]}::text[])`
  // Of one kind only does the field mean this; of the others there are no owners.
  return owners.size === 0
    ? named
    : sql<boolean>`(${named} or coalesce(object #>> '{spec,server}' = any(${[...owners]}::text[]), false))`
}

const filterOf = (
  kind: Kind,
  { labelSelector = '', fieldSelector = '' }: ListQuery,
  reader: Reader | undefined,
): string =>
  createHash('sha256')
    .update(JSON.stringify([kind.name, labelSelector, fieldSelector, reader?.uid ?? '']))
    .digest('hex')
    .slice(0, 16)

const decodeToken = (text: string): PageToken | undefined => {
  try {
    const token = JSON.parse(Buffer.from(text, 'base64url').toString()) as Partial<PageToken> | null
    const { epoch, position, after, filter } = token ?? {}
    if (typeof epoch !== 'number' || typeof after !== 'string' || typeof filter !== 'string') return undefined
    return typeof position === 'string' && /^\d{1,18}$/.test(position) ? { epoch, position, after, filter } : undefined
  } catch {
    return undefined
  }
}
