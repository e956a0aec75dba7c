import { createParamDecorator, type ExecutionContext } from '@nestjs/common'
import type { Asked } from './request-runner'

/** The request as it was authenticated: who asks, under which idempotency key. Set by the guard, never by the client's body. */
export const AskedBy = createParamDecorator((_: unknown, context: ExecutionContext): Asked => {
  const request: { asked?: Asked } = context.switchToHttp().getRequest()
  if (!request.asked) throw new Error('the route was reached without authentication')
  return request.asked
})
