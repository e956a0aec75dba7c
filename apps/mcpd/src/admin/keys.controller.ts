import { Body, Controller, Get, HttpCode, Inject, Post } from '@nestjs/common'
import { ApiDefaultResponse, ApiOperation, ApiQuery, ApiResponse } from '@nestjs/swagger'
import type { KeysStatus, RetireAnswer, RewrapAnswer, RotateAnswer } from '@mcpctl/contracts'
import { AskedBy, Authorize, type Asked } from '@mcpctl/resource'
import type { KeyStatus } from '@mcpctl/vault'
import { STORE, type Store } from '../store/store'
import { answers, refusals } from './admin.openapi'
import { keyEvents, keyStream, type KeyEvent } from './key-events'
import { OperatorLog, refuseBody } from './operator-log'
import { Rewrapping } from './rewrapping'

const dryRun = ApiQuery({
  name: 'dryRun',
  required: false,
  description: '"All": say what would be done, and do nothing.',
  schema: { type: 'string' },
})

const stateOf = ({ state }: KeyStatus): Pick<KeysStatus, 'state' | 'message'> =>
  state.status === 'ready' ? { state: 'ready' } : { state: state.reason, message: state.message }

/** The keys that wrap the data keys of secrets. None of them ever leaves the daemon: names and counts do. */
@Authorize({ operation: 'rotate-keys' })
@Controller('api/v1/admin')
@ApiDefaultResponse(refusals)
export class KeysController {
  private readonly operators: OperatorLog<KeyEvent>

  constructor(
    @Inject(STORE) private readonly store: Store,
    private readonly rewrapping: Rewrapping,
  ) {
    this.operators = new OperatorLog(store.log, keyEvents)
  }

  @Get('keys')
  @ApiOperation({
    operationId: 'getKeys',
    summary: 'How the key-encryption keys stand, and how much each of them wraps',
  })
  @ApiResponse({ status: 200, ...answers('KeysStatus', 'Names and counts, no keys.') })
  async status(): Promise<KeysStatus> {
    const status = await this.store.vault.status()
    const { place, keks, stale } = status
    const rewrap = this.rewrapping.status()
    return { ...stateOf(status), place, keks, stale, ...(rewrap && { rewrap }) }
  }

  /** Answers as soon as the new key is the current one; data keys are wrapped anew in the background. */
  @Post('keys::rotate')
  @HttpCode(202)
  @ApiOperation({
    operationId: 'rotateKeys',
    summary: 'Make a new key-encryption key, and wrap data keys anew with it',
  })
  @dryRun
  @ApiResponse({ status: 202, ...answers('RotateAnswer', 'The new key is current.') })
  async rotate(@Body() body: unknown, @AskedBy() asked: Asked): Promise<RotateAnswer> {
    refuseBody(body)
    const { vault } = this.store
    const { keks, stale: left } = await vault.status()
    const current = keks.find((kek) => kek.current)
    const stale = left + (current?.dataKeys ?? 0)
    if (asked.dryRun) return { from: current?.id ?? '', stale }
    const answer = await this.operators.once(asked, () => this.rotateOnce(asked, stale))
    this.rewrapping.begin(asked.meta)
    return answer
  }

  /** Answers at once; `getKeys` tells how far it is. Begun again it goes on with what is left. */
  @Post('keys::rewrap')
  @HttpCode(202)
  @ApiOperation({ operationId: 'rewrapKeys', summary: 'Wrap data keys anew that are not under the current key' })
  @dryRun
  @ApiResponse({ status: 202, ...answers('RewrapAnswer', 'It goes on; the status tells how far it is.') })
  async rewrap(@Body() body: unknown, @AskedBy() asked: Asked): Promise<RewrapAnswer> {
    refuseBody(body)
    const { stale } = await this.store.vault.status()
    if (!asked.dryRun && stale > 0) this.rewrapping.begin(asked.meta)
    return { stale }
  }

  @Post('keys::retire')
  @HttpCode(200)
  @ApiOperation({ operationId: 'retireKeys', summary: 'Forget key-encryption keys that wrap nothing any more' })
  @dryRun
  @ApiResponse({ status: 200, ...answers('RetireAnswer', 'Kept no more.') })
  async retire(@Body() body: unknown, @AskedBy() asked: Asked): Promise<RetireAnswer> {
    refuseBody(body)
    if (asked.dryRun) {
      const { keks } = await this.store.vault.status()
      return { retired: keks.filter(({ current, dataKeys }) => !current && dataKeys === 0).map(({ id }) => id) }
    }
    return this.operators.once<RetireAnswer>(asked, async () => {
      const retired = await this.store.vault.retire(async (tx, keks) => {
        await this.operators.record(tx, asked, {
          to: keyStream,
          type: 'KeksRetired',
          data: { keks },
          answer: { retired: keks },
        })
      })
      return { retired }
    })
  }

  private async rotateOnce(asked: Asked, stale: number): Promise<RotateAnswer> {
    const rotation = await this.store.vault.rotate(async (tx, { from, to }) => {
      const answer: RotateAnswer = { from, to, stale }
      await this.operators.record(tx, asked, { to: keyStream, type: 'KekRotated', data: { from, to }, answer })
    })
    return { ...rotation, stale }
  }
}
