import { Controller, Get, Param, Query, Res } from '@nestjs/common'
import { notFound } from '@mcpctl/contracts'
import { Objects } from '@mcpctl/read-model'
import { Authorize, sendLogs, type LogQuery } from '@mcpctl/resource'
import { Drivers } from '@mcpctl/runtime'
import type { FastifyReply } from 'fastify'
import type { InstanceSpec } from './instance.kind'

/** What only instances have: their own log. */
@Controller('api/v1/instances/:name')
export class InstanceController {
  constructor(
    private readonly objects: Objects,
    private readonly drivers: Drivers,
  ) {}

  @Authorize({ operation: 'logs', kind: 'instances', live: true })
  @Get('logs')
  async logs(@Param('name') name: string, @Query() query: LogQuery, @Res() reply: FastifyReply): Promise<void> {
    const instance = await this.objects.find('Instance', name)
    if (!instance) throw notFound('instances', name)
    const driver = this.drivers.get((instance.spec as unknown as InstanceSpec).driver)
    sendLogs(reply, query, () => Promise.resolve([{ uid: instance.metadata.uid, name, driver }]))
  }
}
