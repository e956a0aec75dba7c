import { PassThrough } from 'node:stream'
import { Body, Controller, HttpCode, Inject, Post, Req, Res, type OnModuleDestroy } from '@nestjs/common'
import { ApiBody, ApiDefaultResponse, ApiOperation, ApiResponse } from '@nestjs/swagger'
import { DomainError, type VerifyProgress } from '@mcpctl/contracts'
import type { TrustedSeals } from '@mcpctl/event-store'
import { Authorize } from '@mcpctl/resource'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { asDomainError, problemOf } from '../http/problem.filter'
import { LOGGER } from '../log'
import { STORE, type Store } from '../store/store'
import { answers, refusals } from './admin.openapi'
import { trustedSeals, verifyStore } from './verification'

/** Between two messages about one subject, in milliseconds. */
const TELL_EVERY = 250
/** What takes longer without a message is told again, so that whoever waits knows that somebody is there. */
const TELL_AGAIN = 2_000

/** Lets the first message about each subject through, and then one at a time; `stop` ends the repetition. */
const calmly = (tell: (progress: VerifyProgress) => void) => {
  let last: { progress: VerifyProgress; at: number } | undefined
  const pass = (progress: VerifyProgress): void => {
    last = { progress, at: performance.now() }
    tell(progress)
  }
  const timer = setInterval(() => {
    if (last && performance.now() - last.at >= TELL_AGAIN) pass(last.progress)
  }, TELL_EVERY)
  return {
    onProgress: (progress: VerifyProgress): void => {
      const isNew = last?.progress.subject !== progress.subject
      if (isNew || performance.now() - (last?.at ?? 0) >= TELL_EVERY) pass(progress)
    },
    stop: () => clearInterval(timer),
  }
}

const texts = { type: 'array', items: { type: 'string' } } as const

interface Run {
  seals: TrustedSeals | undefined
  stop: AbortController
  write: (line: object) => void
}

/** Checks the log and the read models. */
@Authorize({ operation: 'audit', live: true })
@Controller('api/v1/admin/verify')
@ApiDefaultResponse(refusals)
export class VerifyController implements OnModuleDestroy {
  private readonly running = new Set<AbortController>()

  constructor(
    @Inject(STORE) private readonly store: Store,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Answers JSON Lines: `{"progress": …}` while it goes on, and one line at the end, `{"report": …}` or `{"problem": …}`. Ends when the
   * client goes away.
   */
  @Post()
  @HttpCode(200)
  @ApiOperation({ operationId: 'verify', summary: 'Check the log, and read models against it' })
  @ApiBody({ required: false, schema: { type: 'object', properties: { seals: texts, keys: texts } } })
  @ApiResponse({ status: 200, ...answers('VerifyLine', 'JSON Lines.', 'application/x-ndjson') })
  verify(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    const seals = trustedSeals(body)
    // Each takes two connections for as long as it lasts, and the log is the same for all.
    if (this.running.size > 0)
      throw new DomainError('Conflict', 'this daemon is verifying already; wait until that is done')
    const stop = new AbortController()
    const lines = new PassThrough()
    const leave = () => {
      stop.abort()
    }
    reply.raw.on('close', leave)
    lines.on('error', leave)
    void this.run(request, { seals, stop, write: (line) => lines.write(`${JSON.stringify(line)}\n`) }).then(() =>
      lines.end(),
    )
    void reply.header('content-type', 'application/x-ndjson').send(lines)
  }

  /** A check that goes on would keep the database from being closed. */
  onModuleDestroy(): void {
    const why = new DomainError('Unavailable', 'the daemon is shutting down; verify again with another one', {
      retryAfter: 1,
    })
    for (const stop of this.running) stop.abort(why)
  }

  private async run(request: FastifyRequest, { seals, stop, write }: Run): Promise<void> {
    const { pool, models } = this.store
    this.running.add(stop)
    const told = calmly((progress) => write({ progress }))
    try {
      const { onProgress } = told
      write({ report: await verifyStore({ pool, models, seals, onProgress, signal: stop.signal }) })
    } catch (thrown) {
      const error = asDomainError(thrown)
      if (error.code === 'Internal' && !stop.signal.aborted)
        this.logger.error({ requestId: request.id, error: thrown }, 'a request failed')
      write({ problem: problemOf(error, request.id) })
    } finally {
      told.stop()
      this.running.delete(stop)
    }
  }
}
