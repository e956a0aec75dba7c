import { Controller, Get, HttpCode, Inject, Post, Query, Req } from '@nestjs/common'
import { Drivers } from '@mcpctl/runtime'
import { DomainError } from '@mcpctl/contracts'
import { Authorize, Resources } from '@mcpctl/resource'
import { projectorStatus } from '../admin/projector-status'
import { Daemon } from '../daemon'
import type { AuthenticatedRequest } from './guards'
import { STORE, type Store } from '../store/store'
import { version } from '../version'

/** What an operator asks first: who leads, how far the projectors are, what runs instances. */
@Authorize('authenticated')
@Controller('api/v1')
export class StatusController {
  constructor(
    @Inject(STORE) private readonly store: Store,
    private readonly daemon: Daemon,
    private readonly drivers: Drivers,
    private readonly resources: Resources,
  ) {}

  @Get('version')
  version() {
    return { version }
  }

  @Get('kinds')
  kinds() {
    return { kinds: this.resources.all().map(({ kind }) => kind) }
  }

  @Get('status')
  async status() {
    const { store, daemon } = this
    const [head, projector, drivers, leader, { rows }, keys] = await Promise.all([
      store.log.head(),
      projectorStatus(store),
      this.drivers.status(),
      daemon.leader(),
      store.pool.query<{ version: string }>(`select current_setting('server_version') as version`),
      store.vault.state(),
    ])
    return {
      version,
      store: { id: store.id, epoch: store.epoch, position: String(head) },
      daemon: { pid: process.pid, startedAt: daemon.startedAt, address: daemon.address },
      leader,
      projectors: [projector],
      drivers,
      database: { embedded: store.embedded, version: rows[0]?.version ?? 'unknown' },
      keys: keys.status === 'ready' ? { state: 'ready', kek: keys.kek } : { state: keys.reason, message: keys.message },
    }
  }

  /** Ends this daemon after answering; with `all`, instances that would outlive it end too. */
  @Authorize('inside')
  @Post('shutdown')
  @HttpCode(202)
  shutdown(@Query('all') all: string | undefined, @Req() request: AuthenticatedRequest) {
    const { identity, impersonator, rights, subject } = request
    const isOwner = identity?.isLocal === true && !impersonator
    if (!isOwner && rights?.isFullAdmin() !== true)
      throw new DomainError(
        'Forbidden',
        `shutting down is forbidden: User "${subject?.name ?? ''}" is no full administrator`,
        { asked: 'op *' },
      )
    this.daemon.shutDown({ all: all === '1' || all === 'true' })
    return { status: 'shutting down' }
  }
}
