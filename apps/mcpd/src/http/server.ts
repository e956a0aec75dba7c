import { randomUUID } from 'node:crypto'
import { DomainError, looksLikeCredential } from '@mcpctl/contracts'
import type { Directory, Tokens } from '@mcpctl/access'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { forwardToLeader, needsLeader } from './forward'
import { isTooLarge, MAX_BODY, parseBody, tooLarge } from './body'
import type { Denials } from '../identity/denials'
import type { Pending } from '../setup/pending'
import { admit } from './admission'
import type { AdmissionRates } from './admission-rates'
import type { AuthorizationGuard } from './authorization.guard'
import { ask, authenticate, checkOrigin, isDoor, isOpen, refuseUntilSetUp } from './guards'
import { ProblemFilter, sendProblem } from './problem.filter'

const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/
/** Milliseconds. */
const HEADERS_WITHIN = 10_000
const BODY_WITHIN = 30_000

export interface HttpDependencies {
  tokens: Tokens
  pending: Pending
  directory: Directory
  denials: Denials
  guard: AuthorizationGuard
  logger: Logger
  allowedHosts: readonly string[]
  /** Whose word on who asks is believed. */
  trustedProxies: readonly string[]
  rates: AdmissionRates
  /** Whether this daemon leads, and else the leader's address if somebody does. */
  leader(): Promise<{ self: boolean; address?: string }>
}

/** The web framework under Nest, with the limits of a public door. */
export const httpAdapter = (dependencies: HttpDependencies): FastifyAdapter => {
  const adapter = new FastifyAdapter({
    bodyLimit: MAX_BODY,
    trustProxy: dependencies.trustedProxies.length > 0 && [...dependencies.trustedProxies],
    requestTimeout: BODY_WITHIN,
    connectionTimeout: 0,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 300 },
    // A path that cannot be read reaches no hook.
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) =>
      void enter(request, reply, dependencies).then(
        () => {
          sendProblem(error, request, { reply, ...dependencies })
        },
        (refusal: unknown) => {
          sendProblem(refusal, request, { reply, ...dependencies })
        },
      ),
    genReqId: (request: { headers: Record<string, unknown> }) => {
      const given = request.headers['x-request-id']
      return typeof given === 'string' && REQUEST_ID.test(given) && !looksLikeCredential(given) ? given : randomUUID()
    },
  })
  const instance = adapter.getInstance<FastifyInstance>()
  instance.server.headersTimeout = HEADERS_WITHIN
  instance.removeAllContentTypeParsers()
  adapter.useBodyParser('application/json', false, { bodyLimit: MAX_BODY }, (request, body, done) => {
    try {
      done(null, parseBody(request, body))
    } catch (error) {
      done(error as Error)
    }
  })
  return adapter
}

/** Puts the checks before every route, known or not: Host and Origin, token, rate, size, leader. */
export const secure = (app: NestFastifyApplication, dependencies: HttpDependencies): void => {
  const { logger, denials, guard } = dependencies
  const fastify = app.getHttpAdapter().getInstance()
  // A hook that has answered says so by returning the reply.
  const guarded =
    (check: (request: FastifyRequest, reply: FastifyReply) => Promise<void> | void) =>
    async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
      try {
        await check(request, reply)
      } catch (error) {
        sendProblem(error, request, { reply, logger, denials })
      }
      return reply.sent ? reply : undefined
    }
  fastify.addHook(
    'onRequest',
    guarded((request, reply) => enter(request, reply, dependencies)),
  )
  fastify.addHook('preHandler', guarded(ask))
  app.useGlobalGuards(guard)
  app.useGlobalFilters(new ProblemFilter(logger, denials))
}

const enter = async (request: FastifyRequest, reply: FastifyReply, dependencies: HttpDependencies): Promise<void> => {
  reply.headers({ 'x-request-id': request.id, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  checkOrigin(request, dependencies.allowedHosts)
  if (isOpen(request)) return
  await refuseUntilSetUp(request, dependencies.pending)
  if (isDoor(request)) return dependencies.rates.atDoor(request)
  await authenticate(request, dependencies.tokens)
  dependencies.rates.inside(request)
  await admit(request, dependencies.directory)
  // No name and no query holds one, and the database could not even look for it.
  if (/%00/.test(request.url)) throw new DomainError('BadRequest', 'the URL must not hold %00')
  if (isTooLarge(request, Number(request.headers['content-length'] ?? 0))) throw tooLarge()
  if (!needsLeader(request)) return
  const leader = await dependencies.leader()
  if (!leader.self) await forwardToLeader(request, reply, leader.address)
}
