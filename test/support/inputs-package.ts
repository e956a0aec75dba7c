import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { createGzip } from 'node:zlib'
import { PackageStore } from '@mcpctl/runtime/package-store'
import { silent } from '@mcpctl/runtime/runtime-log'
import { pack } from 'tar-fs'

const directory = join(process.cwd(), 'test/support/inputs-server')
const manifest = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { name: string; version: string }

/** A server that shows its environment and its files; it is in no registry but this one. */
export const inputsPackage = `npm:${manifest.name}@${manifest.version}`

/** Its program, for an image of its own. */
export const inputsProgram = (): Buffer => readFileSync(join(directory, 'server.mjs'))

/** An npm registry that has that server alone. */
export class InputsRegistry {
  private constructor(private readonly server: Server) {}

  static async open(): Promise<InputsRegistry> {
    const map = (header: { name: string }) => ({ ...header, name: `package/${header.name}` })
    const archive = await buffer(pack(directory, { map: map as never }).pipe(createGzip()))
    const integrity = `sha512-${createHash('sha512').update(archive).digest('base64')}`
    const server = createServer(({ url = '', headers }, response) => {
      if (url.endsWith('.tgz')) return void response.end(archive)
      if (url !== `/${manifest.name}`) return void response.writeHead(404).end('{}')
      const dist = { tarball: `http://${headers.host ?? ''}/${manifest.name}.tgz`, integrity }
      const { name, version } = manifest
      const versions = { [version]: { ...manifest, dist } }
      return void response.end(JSON.stringify({ name, 'dist-tags': { latest: version }, versions }))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new InputsRegistry(server)
  }

  /** What makes npm ask here. */
  env(): Record<string, string> {
    const { port } = this.server.address() as AddressInfo
    return { npm_config_registry: `http://127.0.0.1:${String(port)}/`, npm_config_fetch_retries: '0' }
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }
}

/** Installs that server into a directory of packages. */
export const installInputs = async (directory: string): Promise<void> => {
  const registry = await InputsRegistry.open()
  const before = process.env.npm_config_registry
  process.env.npm_config_registry = registry.env()['npm_config_registry']
  try {
    await new PackageStore(directory, silent).install(inputsPackage)
  } finally {
    if (before === undefined) delete process.env.npm_config_registry
    else process.env.npm_config_registry = before
    await registry.close()
  }
}
