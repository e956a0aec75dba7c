import { Readable } from 'node:stream'
import { DomainError } from '@mcpctl/contracts'
import { mergedLogs, type LogOptions, type LogSource } from '@mcpctl/runtime'
import type { FastifyReply } from 'fastify'

/** Query of the logs subresources, as it came. */
export interface LogQuery {
  follow?: string
  tail?: string
  since?: string
}

const parse = ({ follow, tail, since }: LogQuery): LogOptions => {
  if (tail !== undefined && !/^\d{1,9}$/.test(tail))
    throw new DomainError('BadRequest', `tail must be a number of lines, 0 or more, not "${tail}"`)
  if (since !== undefined && Number.isNaN(Date.parse(since)))
    throw new DomainError('BadRequest', `since must be an RFC 3339 instant like 2026-01-31T12:00:00Z, not "${since}"`)
  return {
    follow: follow === '1' || follow === 'true',
    ...(tail !== undefined && { tail: Number(tail) }),
    ...(since !== undefined && { since: new Date(since).toISOString() }),
  }
}

async function* asLines(lines: AsyncIterable<object>): AsyncGenerator<string> {
  for await (const line of lines) yield `${JSON.stringify(line)}\n`
}

/** Answers with one JSON object per line, until the client goes away. Throws BadRequest for a wrong query. */
export const sendLogs = (reply: FastifyReply, query: LogQuery, sources: () => Promise<LogSource[]>): void => {
  const options = parse(query)
  const gone = new AbortController()
  reply.raw.on('close', () => {
    gone.abort()
  })
  const lines = mergedLogs(sources, { ...options, signal: gone.signal })
  void reply.header('content-type', 'application/x-ndjson').send(Readable.from(asLines(lines)))
}
