import { Controller, Get, Param } from '@nestjs/common'
import { ApiOperation } from '@nestjs/swagger'
import { notFound, type DirectConfig } from '@mcpctl/contracts'
import { Objects } from '@mcpctl/read-model'
import { Authorize } from '@mcpctl/resource'
import type { InstanceTemplate } from '@mcpctl/runtime'
import { placeholdersOf } from './env-resolver.plan'

/** A server's part of a client's configuration. */
@Controller('api/v1/servers/:name/config')
export class ServerConfigController {
  constructor(private readonly objects: Objects) {}

  @Authorize({ role: 'view', kind: 'servers' })
  @Get()
  @ApiOperation({
    operationId: 'getServerConfig',
    summary: 'What a client needs to run the server itself; in place of secret values it says which ones.',
  })
  async config(@Param('name') name: string): Promise<DirectConfig> {
    const server = await this.objects.find('Server', name)
    if (!server) throw notFound('servers', name)
    const template = server.spec as unknown as InstanceTemplate
    const { image, package: npmPackage, url, transport, command, args, network } = template
    return {
      server: name,
      ...(image !== undefined && { image }),
      ...(npmPackage !== undefined && { package: npmPackage }),
      ...(url !== undefined && { url }),
      transport,
      command,
      args,
      ...(network && { network: { mode: network.mode } }),
      ...placeholdersOf(template),
    }
  }
}
