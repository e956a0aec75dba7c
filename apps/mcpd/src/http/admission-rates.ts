import { placeOf } from '@mcpctl/access'
import type { FastifyRequest } from 'fastify'
import type { Limits } from '../limits'
import type { AuthenticatedRequest } from './guards'
import { RateLimit } from './rate-limit'

const CALL = /^\/mcp\//

/** How often one may ask this daemon: counted before anything of a request is read. Throws TooManyRequests. */
export class AdmissionRates {
  private readonly requests: RateLimit
  private readonly calls: RateLimit
  private readonly doors: RateLimit

  constructor({ requests, calls }: Pick<Limits, 'requests' | 'calls'>) {
    this.requests = new RateLimit(requests)
    this.calls = new RateLimit(calls)
    // Of its own: whoever has many addresses must not make users begin anew.
    this.doors = new RateLimit(requests)
  }

  /** Somebody wants to show who he is. */
  atDoor({ ip }: FastifyRequest): void {
    this.doors.take(placeOf(ip))
  }

  /** By user, not by token: who has many tokens may not ask for more. Whoever acts as somebody else does so on his own account. */
  inside({ identity, method, url }: AuthenticatedRequest): void {
    if (identity) (method === 'POST' && CALL.test(url) ? this.calls : this.requests).take(identity.uid)
  }
}
