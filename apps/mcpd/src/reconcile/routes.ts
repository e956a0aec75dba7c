import { notFound } from '@mcpctl/contracts'
import type { EndpointRef, EndpointServer, Routes } from '@mcpctl/gateway'
import type { Objects } from '@mcpctl/read-model'

/** Where MCP calls go, read from the object table: a server's ready instances, a project's servers. */
export class ObjectRoutes implements Routes {
  constructor(private readonly objects: Objects) {}

  async servers({ kind, name }: EndpointRef): Promise<EndpointServer[]> {
    if (kind === 'server') {
      const server = await this.find(name)
      if (!server) throw notFound('servers', name)
      return [server]
    }
    const project = await this.objects.find('Project', name)
    if (!project) throw notFound('projects', name)
    const servers = await Promise.all((project.spec['servers'] as string[]).map((server) => this.find(server)))
    // A server that is gone leaves its name in the project, and nothing to call.
    return servers.filter((server) => server !== undefined)
  }

  private async find(name: string): Promise<EndpointServer | undefined> {
    const server = await this.objects.find('Server', name)
    if (!server) return undefined
    const instances = await this.objects.where('Instance', ['spec', 'serverUid'], server.metadata.uid)
    return {
      name,
      instances: instances
        .filter(({ status }) => status['ready'] === true)
        .map(({ metadata }) => ({ uid: metadata.uid, name: metadata.name })),
    }
  }
}
