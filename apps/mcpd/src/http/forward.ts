import { request as httpRequest } from 'node:http'
import { pipeline } from 'node:stream'
import { DomainError } from '@mcpctl/contracts'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** What only the leader can answer: it holds the connections to instances and their logs. */
const LEADER_ONLY = /^\/mcp\/|^\/api\/v1\/(servers|instances)\/[^/?]+\/logs(\?|$)/
const FORWARDED = 'x-mcpd-forwarded'

export const needsLeader = (request: FastifyRequest): boolean => LEADER_ONLY.test(request.url)

const noLeader = () =>
  new DomainError('Unavailable', 'no daemon leads just now; try again in a moment', { retryAfter: 1 })

/** Hands a request on to the leading daemon and its answer back, as bytes. Throws Unavailable when nobody leads. */
export const forwardToLeader = (
  request: FastifyRequest,
  reply: FastifyReply,
  leader: string | undefined,
): Promise<void> => {
  // A request that was forwarded once must not circle while leadership moves.
  if (leader === undefined || request.headers[FORWARDED] !== undefined) throw noLeader()
  return new Promise((resolve, reject) => {
    const { host: _, ...headers } = request.headers
    const outgoing = httpRequest(
      new URL(request.url, leader),
      { method: request.method, headers: { ...headers, host: 'localhost', [FORWARDED]: '1' } },
      (answer) => {
        reply.hijack()
        reply.raw.writeHead(answer.statusCode ?? 502, answer.headers)
        // Whoever goes away first ends the other side; there is nobody left to tell.
        pipeline(answer, reply.raw, () => {
          resolve()
        })
      },
    )
    outgoing.on('error', () => {
      reject(noLeader())
    })
    reply.raw.on('close', () => outgoing.destroy())
    request.raw.pipe(outgoing)
  })
}
