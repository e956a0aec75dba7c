import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { execute, until } from './binaries'

/** Stands before the usual npm registry, and never answers who asks for a package that it holds. */
export class SlowRegistry {
  private readonly held = new Set<string>()
  private readonly asked = new Set<string>()

  private constructor(
    private readonly server: Server,
    private readonly usual: string,
  ) {}

  static async open(): Promise<SlowRegistry> {
    const { out } = await execute('npm', ['config', 'get', 'registry'], { env: process.env })
    const server = createServer()
    const registry = new SlowRegistry(server, out.trim())
    server.on('request', ({ url = '' }, response) => {
      const name = decodeURIComponent(url).slice(1)
      registry.asked.add(name)
      if (registry.held.has(name)) return
      response.writeHead(307, { location: new URL(url.slice(1), registry.usual).href }).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return registry
  }

  /** What makes npm ask here. */
  env(): Record<string, string> {
    const { port } = this.server.address() as AddressInfo
    return { npm_config_registry: `http://127.0.0.1:${port}/`, npm_config_fetch_retries: '0' }
  }

  /** From now on nobody gets this package. Answers once somebody waits for it. */
  hold(name: string): { isAwaited(): Promise<true> } {
    this.asked.delete(name)
    this.held.add(name)
    return { isAwaited: () => until(`npm waits for ${name}`, () => this.asked.has(name) || undefined) }
  }

  /** Lets it be had again by who asks anew. */
  release(name: string): void {
    this.held.delete(name)
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }
}
