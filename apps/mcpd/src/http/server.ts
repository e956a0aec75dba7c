import { randomUUID } from 'node:crypto'
import { DomainError } from '@mcpctl/contracts'
import type { Tokens } from '@mcpctl/access'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { forwardToLeader, needsLeader } from './forward'
import { ask, authenticate, checkOrigin, isOpen } from './guards'
import { ProblemFilter, sendProblem } from './problem.filter'

const MAX_BODY = 5 * 1024 * 1024
const MAX_OBJECT = 1024 * 1024
const LARGE = /^\/(mcp\/|api\/v1\/apply(\?|$))/
const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/
/** Milliseconds. */
const HEADERS_WITHIN = 10_000
const BODY_WITHIN = 30_000

export interface HttpDependencies {
  tokens: Tokens
  logger: Logger
  allowedHosts: readonly string[]
  /** Whether this daemon leads, and else the leader's address if somebody does. */
  leader(): Promise<{ self: boolean; address?: string }>
}

/** The web framework under Nest, with the limits of a public door. */
export const httpAdapter = (): FastifyAdapter => {
  const adapter = new FastifyAdapter({
    bodyLimit: MAX_BODY,
    requestTimeout: BODY_WITHIN,
    connectionTimeout: 0,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 300 },
    genReqId: (request: { headers: Record<string, unknown> }) => {
      const given = request.headers['x-request-id']
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID()
    },
  })
  const { server } = adapter.getInstance<FastifyInstance>()
  server.headersTimeout = HEADERS_WITHIN
  return adapter
}

/** Puts the checks before every route, known or not: Host and Origin, token, size, leader. */
export const secure = (app: NestFastifyApplication, dependencies: HttpDependencies): void => {
  const { logger } = dependencies
  const fastify = app.getHttpAdapter().getInstance()
  // A hook that has answered says so by returning the reply.
  const guarded =
    (check: (request: FastifyRequest, reply: FastifyReply) => Promise<void> | void) =>
    async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
      try {
        await check(request, reply)
      } catch (error) {
        sendProblem(error, request, { reply, logger })
      }
      return reply.sent ? reply : undefined
    }
  fastify.addHook(
    'onRequest',
    guarded((request, reply) => enter(request, reply, dependencies)),
  )
  fastify.addHook('preHandler', guarded(ask))
  app.useGlobalFilters(new ProblemFilter(logger))
}

const enter = async (request: FastifyRequest, reply: FastifyReply, dependencies: HttpDependencies): Promise<void> => {
  reply.headers({ 'x-request-id': request.id, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  checkOrigin(request, dependencies.allowedHosts)
  if (isOpen(request)) return
  await authenticate(request, dependencies.tokens)
  if (Number(request.headers['content-length'] ?? 0) > MAX_OBJECT && !LARGE.test(request.url))
    throw new DomainError('TooLarge', 'the body is too large; the limit is 1 MiB, 5 MiB for apply')
  if (!needsLeader(request)) return
  const leader = await dependencies.leader()
  if (!leader.self) await forwardToLeader(request, reply, leader.address)
}
