import { Controller, Get, Param, Put, Query, Req, Res } from '@nestjs/common'
import { CommandBus } from '@nestjs/cqrs'
import { invalid, notFound, type ResourceObject } from '@mcpctl/contracts'
import { Objects } from '@mcpctl/read-model'
import {
  AskedBy,
  Authorize,
  markReplayed,
  parseSpec,
  preconditionOf,
  RequestRunner,
  Resources,
  ResourceWriter,
  sendLogs,
  type Asked,
  type LogQuery,
} from '@mcpctl/resource'
import { Drivers } from '@mcpctl/runtime'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { InstanceSpec } from '../instance/instance.kind'
import { ScaleServer } from './server.commands'
import { ScaleSpec } from './server.schema'

const scaleOf = ({ metadata, spec, status }: ResourceObject) => ({
  kind: 'Scale',
  metadata: { name: metadata.name, uid: metadata.uid, resourceVersion: metadata.resourceVersion },
  spec: { replicas: spec['replicas'] },
  status: { replicas: status['replicas'] },
})

/** What only servers have: scale and the logs of all their instances. */
@Controller('api/v1/servers/:name')
export class ServerController {
  constructor(
    private readonly objects: Objects,
    private readonly requests: RequestRunner,
    private readonly resources: Resources,
    private readonly writer: ResourceWriter,
    private readonly commands: CommandBus,
    private readonly drivers: Drivers,
  ) {}

  @Authorize({ role: 'view', kind: 'servers' })
  @Get('scale')
  async scale(@Param('name') name: string) {
    return scaleOf(await this.get(name))
  }

  @Authorize({ role: 'edit', kind: 'servers' })
  @Put('scale')
  async rescale(
    @Param('name') name: string,
    @Req() { body, headers }: FastifyRequest,
    @AskedBy() asked: Asked,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { spec, errors } = parseSpec(ScaleSpec, (body as { spec?: unknown } | null)?.spec)
    if (errors.length > 0) throw invalid('Scale', name, errors)
    const after = preconditionOf(headers['if-match'], this.objects.epoch)
    const server = this.resources.get('servers')
    const answered = await this.requests.run(asked, async (context) => {
      const uid = await this.writer.uidOf(server, name, context)
      if (uid === undefined) throw notFound('servers', name)
      await this.writer.refuseStale(server, { name, uid, context, after })
      await this.commands.execute(new ScaleServer(uid, spec.replicas, context))
      return { uid }
    })
    markReplayed(reply, answered)
    const { result, position } = answered
    const scaled = position === undefined ? undefined : await this.objects.at(result.uid, position)
    return scaleOf(scaled ?? (await this.get(name)))
  }

  @Authorize({ operation: 'logs', kind: 'servers', live: true })
  @Get('logs')
  async logs(@Param('name') name: string, @Query() query: LogQuery, @Res() reply: FastifyReply): Promise<void> {
    const server = await this.get(name)
    sendLogs(reply, query, async () => {
      const instances = await this.objects.where('Instance', ['spec', 'serverUid'], server.metadata.uid)
      return instances.map(({ metadata, spec }) => ({
        uid: metadata.uid,
        name: metadata.name,
        driver: this.drivers.get((spec as unknown as InstanceSpec).driver),
      }))
    })
  }

  private async get(name: string): Promise<ResourceObject> {
    const server = await this.objects.find('Server', name)
    if (!server) throw notFound('servers', name)
    return server
  }
}
