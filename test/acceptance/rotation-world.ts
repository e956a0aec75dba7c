import type { Condition, ResourceObject } from '@mcpctl/contracts'
import { until } from '../support/binaries'
import { InputsRegistry, inputsPackage } from '../support/inputs-package'
import { throughMcplocal, type ToolClient } from '../support/mcp-clients'
import { Sandbox, type SandboxOptions } from '../support/mcpd-process'
import { copies, meanwhile, rows } from './world'

/** What the program does not take: it ends at once when it is given this. */
const refused = 'not this one'

/** A daemon, a server whose tool shows the value of a secret that it was given, and a user who calls it all the time through mcplocal. */
export class RotationWorld {
  /** What calls answered, each value once, in the order in which it was first seen. */
  readonly seen: string[] = []
  private client: ToolClient | undefined

  private constructor(
    readonly sandbox: Sandbox,
    private readonly registry: InputsRegistry,
  ) {}

  static async create({ env, ...options }: SandboxOptions = {}): Promise<RotationWorld> {
    const registry = await InputsRegistry.open()
    const settings = { ...registry.env(), MCPD_SECRET_SETTLE: '1', ...env }
    const sandbox = await Sandbox.create({ ...options, sharedPackages: false, env: settings })
    return new RotationWorld(sandbox, registry)
  }

  async remove(): Promise<void> {
    await this.sandbox.remove()
    await this.registry.close()
  }

  /** The server with a first value, and a project for its users. */
  async begin(replicas: number): Promise<void> {
    await this.sandbox.start()
    await this.sandbox.api().apply({
      secrets: [{ name: 'app', data: { token: 'one' } }],
      servers: [
        {
          name: 'app',
          package: inputsPackage,
          transport: 'stdio',
          replicas,
          env: [
            { name: 'TOKEN', valueFrom: { secretRef: { name: 'app', key: 'token' } } },
            { name: 'REFUSED', value: refused },
          ],
        },
      ],
      projects: [{ name: 'team', servers: ['app'] }],
    })
    await this.holds(1)
    this.client = await throughMcplocal(this.sandbox, 'team')
  }

  /** A new version. */
  async rotate(token: string): Promise<void> {
    await this.sandbox.api().apply({ secrets: [{ name: 'app', data: { token } }] })
  }

  /** One that the program does not take. */
  rotateBadly(): Promise<void> {
    return this.rotate(refused)
  }

  async server(): Promise<ResourceObject> {
    const api = this.sandbox.api()
    const server = await api.get('servers', 'app')
    api.close()
    return server
  }

  async condition(type: string): Promise<Condition | undefined> {
    return ((await this.server()).status['conditions'] as Condition[] | undefined)?.find((each) => each.type === type)
  }

  /** Waits until a condition has this status, and this reason where one is given. */
  says(type: string, status: string, reason?: string): Promise<Condition> {
    return until(
      `app says ${type}=${status} ${reason ?? ''}`,
      async () => {
        const found = await this.condition(type)
        return found?.status === status && (reason === undefined || found.reason === reason) && found
      },
      120_000,
    )
  }

  /** Waits until all copies that are wanted, and no others, are available with this version. */
  async holds(version: number): Promise<void> {
    await until(
      `all have version ${String(version)}`,
      async () => {
        const { spec, status } = await this.server()
        const versions = await this.versions()
        const isWhole = versions.length === spec['replicas'] && status['availableReplicas'] === versions.length
        return status['phase'] === 'Running' && isWhole && versions.every((each) => each === version)
      },
      180_000,
    )
  }

  /** Versions of the secret that copies were given. */
  async versions(): Promise<number[]> {
    const given = (await copies(this.sandbox, 'app')).map(({ spec }) => spec['secrets'] as { app: { version: number } })
    return given.map(({ app }) => app.version)
  }

  /** Calls until told to end; answers what failed and how often it called. */
  calling(): () => Promise<{ failures: string[]; rounds: number }> {
    return meanwhile(async () => {
      const token = await this.call()
      if (!this.seen.includes(token)) this.seen.push(token)
    })
  }

  /** Waits until a call has answered this value. */
  async shows(token: string): Promise<void> {
    await until(`calls answer ${token}`, () => this.seen.includes(token))
  }

  /** The value that the program has which answers. */
  async call(): Promise<string> {
    const environment = await this.client?.call('app__get-env')
    return (JSON.parse(environment ?? '') as { TOKEN: string }).TOKEN
  }

  /** How many copies there were at most at a time, as the log has it. */
  async most(): Promise<number> {
    const changes = await rows<{ type: string }>(
      this.sandbox,
      "select type from es.event where type in ('InstanceScheduled', 'InstanceStopped') order by position",
    )
    let [alive, most] = [0, 0]
    for (const { type } of changes) {
      alive += type === 'InstanceScheduled' ? 1 : -1
      most = Math.max(most, alive)
    }
    return most
  }
}
