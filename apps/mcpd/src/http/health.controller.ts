import { Controller, Get, Inject, Res } from '@nestjs/common'
import { Authorize } from '@mcpctl/resource'
import type { FastifyReply } from 'fastify'
import { STORE, type Store } from '../store/store'

/** For supervisors: alive, and able to answer. The only routes without a token. */
@Authorize('open')
@Controller()
export class HealthController {
  constructor(@Inject(STORE) private readonly store: Store) {}

  @Get('healthz')
  healthz() {
    return { status: 'ok' }
  }

  @Get('readyz')
  async readyz(@Res({ passthrough: true }) reply: FastifyReply) {
    const database = await this.store.pool.query('select 1').then(
      () => 'ok',
      () => 'the database does not answer',
    )
    const projector = this.store.projector.status()
    const objects = projector.status === 'running' ? 'ok' : `projector ${projector.name} is ${projector.status}`
    const ready = database === 'ok' && objects === 'ok'
    if (!ready) reply.status(503)
    return { status: ready ? 'ok' : 'unavailable', checks: { database, objects } }
  }
}
