import { Body, Controller, Get, HttpCode, Inject, Param, Post } from '@nestjs/common'
import { ApiDefaultResponse, ApiOperation, ApiResponse } from '@nestjs/swagger'
import { didYouMean, DomainError, type ModelStatus, type RebuildAnswer } from '@mcpctl/contracts'
import { modelStatus, requestRebuild, type RebuildableModel } from '@mcpctl/event-store'
import { inTransaction } from '@mcpctl/postgres'
import { AskedBy, Authorize, type Asked } from '@mcpctl/resource'
import { STORE, type Store } from '../store/store'
import { answers, refusals } from './admin.openapi'
import { OperatorLog, refuseBody } from './operator-log'
import { processorEvents, type ProcessorEvent } from './processor-events'

const shown = ({ position, head, rebuild, ...status }: Awaited<ReturnType<typeof modelStatus>>): ModelStatus => ({
  ...status,
  position: String(position),
  head: String(head),
  ...(rebuild && { rebuild: { ...rebuild, position: String(rebuild.position) } }),
})

/** How the read models stand, and their rebuild. Whichever daemon is asked, all see the same. */
@Authorize('authenticated')
@Controller('api/v1/admin/models')
@ApiDefaultResponse(refusals)
export class ModelsController {
  private readonly operators: OperatorLog<ProcessorEvent>

  constructor(@Inject(STORE) private readonly store: Store) {
    this.operators = new OperatorLog(store.log, processorEvents)
  }

  @Get()
  @ApiOperation({ operationId: 'listModels', summary: 'How all read models stand' })
  @ApiResponse({ status: 200, ...answers('ModelStatusList', 'By name.') })
  async list(): Promise<{ models: ModelStatus[] }> {
    const { pool, models } = this.store
    return { models: await Promise.all(models.map(async ({ name }) => shown(await modelStatus(pool, name)))) }
  }

  @Get(':name')
  @ApiOperation({ operationId: 'getModel', summary: 'How a read model stands' })
  @ApiResponse({ status: 200, ...answers('ModelStatus', 'With the rebuild, if one is under way.') })
  async get(@Param('name') name: string): Promise<ModelStatus> {
    return shown(await modelStatus(this.store.pool, this.model(name).name))
  }

  /** Answers at once; what `get` says tells how far it is. */
  @Authorize({ operation: 'rebuild' })
  @Post(':name/rebuild')
  @HttpCode(202)
  @ApiOperation({ operationId: 'rebuildModel', summary: 'Fold a read model anew' })
  @ApiResponse({ status: 202, ...answers('RebuildAnswer', 'Asked for; the model tells how far it is.') })
  async rebuild(@Param('name') name: string, @Body() body: unknown, @AskedBy() asked: Asked): Promise<RebuildAnswer> {
    refuseBody(body)
    const model = this.model(name)
    return this.operators.once(asked, () =>
      inTransaction(this.store.pool, async (tx) => {
        const version = await requestRebuild(tx, model)
        const data = { processor: name, version }
        const answer = { name, version }
        return this.operators.record(tx, asked, { to: name, type: 'RebuildRequested', data, answer })
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
