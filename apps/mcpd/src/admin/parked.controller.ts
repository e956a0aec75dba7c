import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common'
import { ApiDefaultResponse, ApiOperation, ApiQuery, ApiResponse } from '@nestjs/swagger'
import { DomainError, type ParkedEvent, type Settled } from '@mcpctl/contracts'
import type { RecordReplay, Replay } from '@mcpctl/event-store'
import { AskedBy, Authorize, type Asked } from '@mcpctl/resource'
import { STORE, type Store } from '../store/store'
import { answers, refusals } from './admin.openapi'
import { OperatorLog, refuseBody } from './operator-log'
import { processorEvents, type ProcessorEvent } from './processor-events'

interface Path {
  processor: string
  position: string
}

const settled = ({ applied, stoppedAt }: Replay): Settled => ({
  applied,
  ...(stoppedAt && { stoppedAt: { ...stoppedAt, position: String(stoppedAt.position) } }),
})

/** All is as before: the same event, with the same error. */
const isInVain = ({ applied, stoppedAt }: Replay, before: { position: bigint; error: string } | undefined): boolean =>
  applied === 0 &&
  stoppedAt !== undefined &&
  stoppedAt.position === before?.position &&
  stoppedAt.error === before.error

const positionOf = (text: string): bigint => {
  if (/^[1-9]\d{0,17}$/.test(text)) return BigInt(text)
  throw new DomainError('BadRequest', 'a position is a whole number from 1 on')
}

/** The events that read models could not hold, and what an operator may do about them. */
@Authorize({ operation: 'rebuild' })
@Controller('api/v1/admin/parked')
@ApiDefaultResponse(refusals)
export class ParkedController {
  private readonly operators: OperatorLog<ProcessorEvent>

  constructor(@Inject(STORE) private readonly store: Store) {
    this.operators = new OperatorLog(store.log, processorEvents)
  }

  @Get()
  @ApiOperation({
    operationId: 'listParked',
    summary: 'Events that processors could not apply, the first of each stream',
  })
  @ApiQuery({ name: 'processor', required: false, schema: { type: 'string' } })
  @ApiResponse({ status: 200, ...answers('ParkedEventList', 'By processor and position.') })
  async list(@Query('processor') processor: unknown): Promise<{ parked: ParkedEvent[] }> {
    if (processor !== undefined && typeof processor !== 'string')
      throw new DomainError('BadRequest', 'processor may be given once')
    const parked = await this.store.parked.list(processor)
    return { parked: parked.map((event) => ({ ...event, position: String(event.position) })) }
  }

  @Post(':processor/:position/retry')
  @HttpCode(200)
  @ApiOperation({ operationId: 'retryParked', summary: 'Apply a parked event, and what waits behind it' })
  @ApiResponse({ status: 200, ...answers('Settled', 'What has come of it.') })
  retry(
    @Param('processor') processor: string,
    @Param('position') position: string,
    @Body() body: unknown,
    @AskedBy() asked: Asked,
  ): Promise<Settled> {
    refuseBody(body)
    return this.settle('ParkedEventRetried', { processor, position }, asked)
  }

  @Post(':processor/:position/skip')
  @HttpCode(200)
  @ApiOperation({
    operationId: 'skipParked',
    summary: 'Leave a parked event out for good, and apply what waits behind it',
  })
  @ApiResponse({ status: 200, ...answers('Settled', 'What has come of it.') })
  skip(
    @Param('processor') processor: string,
    @Param('position') position: string,
    @Body() body: unknown,
    @AskedBy() asked: Asked,
  ): Promise<Settled> {
    refuseBody(body)
    return this.settle('ParkedEventSkipped', { processor, position }, asked)
  }

  private settle(type: 'ParkedEventRetried' | 'ParkedEventSkipped', path: Path, asked: Asked): Promise<Settled> {
    const { processor } = path
    const position = positionOf(path.position)
    const { parked } = this.store
    return this.operators.once(asked, async () => {
      const before = (await parked.list(processor)).find((event) => event.position === position)
      const record: RecordReplay = async (tx, replay) => {
        // A script may try every minute, and the log is kept for ever.
        if (type === 'ParkedEventRetried' && isInVain(replay, before)) return
        const answer = settled(replay)
        // What was thrown may quote an event.
        const stoppedAt = answer.stoppedAt && { stoppedAt: answer.stoppedAt.position }
        const data = { processor, position: path.position, applied: answer.applied, ...stoppedAt }
        await this.operators.record(tx, asked, { to: processor, type, data, answer })
      }
      const act = type === 'ParkedEventSkipped' ? parked.skip.bind(parked) : parked.retry.bind(parked)
      return settled(await act(processor, position, record))
    })
  }
}
