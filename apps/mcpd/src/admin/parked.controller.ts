import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common'
import { DomainError } from '@mcpctl/contracts'
import type { RecordReplay, Replay } from '@mcpctl/event-store'
import { AskedBy, type Asked } from '@mcpctl/resource'
import { STORE, type Store } from '../store/store'
import { OperatorLog, withReason } from './operator-log'

interface Path {
  processor: string
  position: string
}

/** Positions travel as text: a JSON number would lose digits beyond 2^53. */
type Settled = { applied: number; stoppedAt?: { position: string; type: string; error: string } }

const settled = ({ applied, stoppedAt }: Replay): Settled => ({
  applied,
  ...(stoppedAt && { stoppedAt: { ...stoppedAt, position: String(stoppedAt.position) } }),
})

const positionOf = (text: string): bigint => {
  if (/^[1-9]\d{0,17}$/.test(text)) return BigInt(text)
  throw new DomainError('BadRequest', 'a position is a whole number from 1 on')
}

/** The events that read models could not hold, and what an operator may do about them. */
@Controller('api/v1/admin/parked')
export class ParkedController {
  private readonly operators: OperatorLog

  constructor(@Inject(STORE) private readonly store: Store) {
    this.operators = new OperatorLog(store.log)
  }

  @Get()
  async list(@Query('processor') processor: unknown) {
    if (processor !== undefined && typeof processor !== 'string')
      throw new DomainError('BadRequest', 'processor may be given once')
    const parked = await this.store.parked.list(processor)
    return { parked: parked.map((event) => ({ ...event, position: String(event.position) })) }
  }

  @Post(':processor/:position/retry')
  @HttpCode(200)
  retry(
    @Param('processor') processor: string,
    @Param('position') position: string,
    @Body() body: unknown,
    @AskedBy() asked: Asked,
  ): Promise<Settled> {
    return this.settle('ParkedEventRetried', { processor, position }, withReason(asked, body))
  }

  @Post(':processor/:position/skip')
  @HttpCode(200)
  skip(
    @Param('processor') processor: string,
    @Param('position') position: string,
    @Body() body: unknown,
    @AskedBy() asked: Asked,
  ): Promise<Settled> {
    return this.settle('ParkedEventSkipped', { processor, position }, withReason(asked, body))
  }

  private settle(type: 'ParkedEventRetried' | 'ParkedEventSkipped', path: Path, asked: Asked): Promise<Settled> {
    const { processor } = path
    const position = positionOf(path.position)
    const { parked } = this.store
    const act = type === 'ParkedEventSkipped' ? parked.skip.bind(parked) : parked.retry.bind(parked)
    const record: RecordReplay = async (tx, replay) => {
      const answer = settled(replay)
      // What was thrown may quote an event, and the log is kept for ever.
      const stoppedAt = answer.stoppedAt && { stoppedAt: answer.stoppedAt.position }
      const data = { position: path.position, applied: answer.applied, ...stoppedAt }
      await this.operators.record(tx, asked, { processor, type, data, answer })
    }
    return this.operators.once(asked, async () => settled(await act(processor, position, record)))
  }
}
