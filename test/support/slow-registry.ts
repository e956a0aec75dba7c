import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { execute, until } from './binaries'

/** Stands before the usual npm registry, and does not answer who asks for a package that it holds. */
export class SlowRegistry {
  private readonly held = new Set<string>()
  private readonly waiting: { name: string; response: ServerResponse }[] = []

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
      if (registry.held.has(name)) registry.waiting.push({ name, response })
      else registry.send(name, response)
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
    this.held.add(name)
    const isAwaited = () => this.waiting.some((each) => each.name === name)
    return { isAwaited: () => until(`npm waits for ${name}`, () => isAwaited() || undefined) }
  }

  /** Lets it be had, by those who wait too. */
  release(name: string): void {
    this.held.delete(name)
    for (const each of this.waiting.splice(0)) {
      if (each.name === name) this.send(name, each.response)
      else this.waiting.push(each)
    }
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }

  private send(name: string, response: ServerResponse): void {
    response.writeHead(307, { location: new URL(name.replace('/', '%2f'), this.usual).href }).end()
  }
}
