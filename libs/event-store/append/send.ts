import type { ClientBase, Pool, QueryConfig } from 'pg'
import { answered, isUniqueViolation } from '../database-errors'
import type { Verdict } from '../types'
import type { EncodedRequest } from './encode'

// Above the lock timeout of the append functions: only a connection that is dead without saying so gets here.
const answerWithinMs = 15_000

/** The short answer to requests of one event each that were all accepted. */
interface AllStored {
  first: string
  versions: number[]
}

type WireVerdict = { first?: string | null; last?: string | null; position?: string } & Record<string, unknown>

/** Sends a request by the shortest way. Nothing, and nothing stored, where only `sendTogether` can do it or say why not. */
export const sendAlone = async (pool: Pool, request: EncodedRequest): Promise<Verdict | undefined> => {
  const asked = call('es-append-alone', 'select es.append_alone($1) as answer', request.json)
  try {
    const stored = await answerTo<AllStored | null>(pool, asked)
    return stored ? allStored([request], stored)[0] : undefined
  } catch (error) {
    if (isUniqueViolation(error)) return undefined
    throw error
  }
}

/** Sends requests in one flush: a verdict for each. */
export const sendTogether = async (db: ClientBase | Pool, requests: EncodedRequest[]): Promise<Verdict[]> => {
  const json = `[${requests.map(({ json }) => json).join(',')}]`
  const asked = call('es-append', 'select es.append_many($1) as answer', json)
  const answer = (await answerTo<WireVerdict[] | AllStored>(db, asked)) ?? []
  return Array.isArray(answer) ? answer.map(toVerdict) : allStored(requests, answer)
}

type Call = QueryConfig & { query_timeout: number }

const call = (name: string, text: string, json: string): Call => ({
  name,
  text,
  values: [json],
  query_timeout: answerWithinMs,
})

const answerTo = async <T>(db: ClientBase | Pool, asked: Call): Promise<T | undefined> => {
  const { rows } = await answered('the append', db.query<{ answer: T }>(asked))
  return rows[0]?.answer
}

const allStored = (requests: EncodedRequest[], { first, versions }: AllStored): Verdict[] => {
  const start = BigInt(first)
  return requests.map(({ streamId = '' }, n) => {
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
