import { Body, Controller, Get, HttpCode, Inject, Param, Post } from '@nestjs/common'
import { didYouMean, DomainError } from '@mcpctl/contracts'
import { modelStatus, requestRebuild, type ModelStatus, type RebuildableModel } from '@mcpctl/event-store'
import { inTransaction } from '@mcpctl/postgres'
import { AskedBy, type Asked } from '@mcpctl/resource'
import { STORE, type Store } from '../store/store'
import { OperatorLog, withReason } from './operator-log'

/** Positions travel as text: a JSON number would lose digits beyond 2^53. */
const shown = ({ position, head, rebuild, ...status }: ModelStatus) => ({
  ...status,
  position: String(position),
  head: String(head),
  ...(rebuild && { rebuild: { ...rebuild, position: String(rebuild.position) } }),
})

/** How the read models stand, and their rebuild. Whichever daemon is asked, all see the same. */
@Controller('api/v1/admin/models')
export class ModelsController {
  private readonly operators: OperatorLog

  constructor(@Inject(STORE) private readonly store: Store) {
    this.operators = new OperatorLog(store.log)
  }

  @Get()
  async list() {
    const { pool, models } = this.store
    return { models: await Promise.all(models.map(async ({ name }) => shown(await modelStatus(pool, name)))) }
  }

  @Get(':name')
  async get(@Param('name') name: string) {
    return shown(await modelStatus(this.store.pool, this.model(name).name))
  }

  /** Answers at once; what `get` says tells how far it is. */
  @Post(':name/rebuild')
  @HttpCode(202)
  async rebuild(@Param('name') name: string, @Body() body: unknown, @AskedBy() asked: Asked) {
    const model = this.model(name)
    const act = withReason(asked, body)
    return this.operators.once(act, () =>
      inTransaction(this.store.pool, async (tx) => {
        const version = await requestRebuild(tx, model)
        const data = { version }
        const answer = { name, version }
        return this.operators.record(tx, act, { processor: name, type: 'RebuildRequested', data, answer })
      }),
    )
  }

  private model(name: string): RebuildableModel {
    const { models } = this.store
    const found = models.find((model) => model.name === name)
    if (found) return found
    const names = models.map((model) => model.name)
    const near = didYouMean(name, names) || `; there are: ${names.join(', ')}`
    throw new DomainError('NotFound', `there is no read model "${name}"${near}`)
  }
}
