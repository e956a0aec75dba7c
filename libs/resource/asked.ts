import { createParamDecorator, type ExecutionContext } from '@nestjs/common'
import type { FastifyReply } from 'fastify'
import type { Answered, Asked } from './request-runner'

/** The request as it was authenticated: who asks, under which idempotency key. Set by the guard, never by the client's body. */
export const AskedBy = createParamDecorator((_: unknown, context: ExecutionContext): Asked => {
  const request: { asked?: Asked } = context.switchToHttp().getRequest()
  if (!request.asked) throw new Error('the route was reached without authentication')
  return request.asked
})

/** Says in the answer whether it is the one of an earlier request with the same idempotency key. */
export const markReplayed = (reply: FastifyReply, { replayed }: Pick<Answered<never>, 'replayed'>): void => {
  if (replayed) void reply.header('idempotency-replayed', 'true')
}
