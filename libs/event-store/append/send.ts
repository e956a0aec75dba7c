import type { ClientBase, Pool, QueryConfig } from 'pg'
import { answered, isUniqueViolation } from '../database-errors'
import type { Verdict } from '../types'
import { columnTexts, type Columns } from './columns'
import type { EncodedRequest } from './encode'

// Above the lock timeout of the append functions: only a connection that is dead without saying so gets here.
const answerWithinMs = 15_000

/** What was stored, one event a request. */
interface Stored {
  first: string
  versions: number[]
}

type WireVerdict = { first?: string | null; last?: string | null; position?: string } & Record<string, unknown>

/** Sends the requests of a flush: a verdict for each, in order. */
export const send = async (pool: Pool, requests: EncodedRequest[]): Promise<Verdict[]> => {
  const rows = requests.flatMap(({ columns }) => (columns ? [columns] : []))
  const stored = rows.length === requests.length ? await sendAsColumns(pool, rows) : undefined
  return stored ? verdictsOf(rows, stored) : sendByJson(pool, requests)
}

/** Sends requests the general way, for which the database has a verdict in any case. */
export const sendByJson = async (db: ClientBase | Pool, requests: EncodedRequest[]): Promise<Verdict[]> => {
  const json = `[${requests.map((request) => request.json()).join(',')}]`
  const verdicts = await answerTo<WireVerdict[]>(db, 'es.append_many', [json])
  return verdicts.map(toVerdict)
}

/** Nothing, and nothing stored, where only `sendByJson` can do it or say why not. */
const sendAsColumns = async (pool: Pool, rows: Columns[]): Promise<Stored | null> => {
  const [alone, ...others] = rows
  if (!alone) return null
  if (others.length > 0) return answerTo(pool, 'es.append_columns', columnTexts(rows))
  try {
    return await answerTo(pool, 'es.append_alone', alone.map(orNull))
  } catch (error) {
    if (isUniqueViolation(error)) return null
    throw error
  }
}

const orNull = (text: string) => (text === '' ? null : text)

const answerTo = async <T>(db: ClientBase | Pool, door: string, values: unknown[]): Promise<T> => {
  const asked: QueryConfig & { query_timeout: number } = {
    name: door,
    text: `select ${door}(${values.map((_, n) => `$${n + 1}`).join(', ')}) as answer`,
    values,
    query_timeout: answerWithinMs,
  }
  const { rows } = await answered('the append', db.query<{ answer: T }>(asked))
  return rows[0]?.answer as T
}

const verdictsOf = (rows: Columns[], { first, versions }: Stored): Verdict[] => {
  const start = BigInt(first)
  return rows.map(([streamId = ''], n) => {
    const position = start + BigInt(n)
    return { status: 'ok', first: position, last: position, versions: { [streamId]: versions[n] ?? 0 } }
  })
}

// Positions travel as text: a JSON number would lose digits beyond 2^53.
const toVerdict = (wire: WireVerdict): Verdict =>
  ({
    ...wire,
    ...(wire.first !== undefined && toPositions(wire)),
    ...(wire.position !== undefined && { position: BigInt(wire.position) }),
  }) as unknown as Verdict

export const toPositions = ({ first, last }: { first?: string | null; last?: string | null }) => ({
  first: typeof first === 'string' ? BigInt(first) : null,
  last: typeof last === 'string' ? BigInt(last) : null,
})
