import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { deletedUsers, fixtureOf, rbacOf, root } from './access-fixture'
import { until, type Answer } from './binaries'
import { Caller, type Item, type Items } from './caller'
import { Sandbox, type SandboxOptions } from './mcpd-process'

export interface TokenWish {
  /** `edit:*`, `op logs:servers/github`. */
  scopes?: string[]
  ttl?: string
}

const kinds = ['rbac', 'projects', 'servers', 'secrets', 'groups', 'users'] as const

/** A daemon whose first administrator is root; `create` fills it with the shared fixture. */
export class AccessWorld {
  private readonly tokens = new Map<string, string>()
  private files = 0

  private constructor(
    readonly sandbox: Sandbox,
    readonly root: Caller,
    private readonly fixture: ReturnType<typeof fixtureOf>,
  ) {}

  static readonly asRoot = { MCPD_ADMIN_USER: root }

  /** Around a daemon that runs. */
  static around(sandbox: Sandbox, wish: { idle?: boolean } = {}): AccessWorld {
    const { server, token } = sandbox.context()
    return new AccessWorld(sandbox, new Caller(server, token), fixtureOf(wish))
  }

  /** A daemon of its own. `idle`: servers are there, and nothing runs of them. */
  static async create({ idle = false, ...options }: SandboxOptions & { idle?: boolean } = {}): Promise<AccessWorld> {
    const sandbox = await Sandbox.create({ ...options, env: { ...AccessWorld.asRoot, ...options.env } })
    try {
      await sandbox.start()
      const world = AccessWorld.around(sandbox, { idle })
      await world.fill()
      return world
    } catch (error) {
      const log = await sandbox.log().catch(() => '')
      await sandbox.remove()
      throw new Error(`no world to test in: ${String(error)}\n${log.slice(-2_000)}`, { cause: error })
    }
  }

  get server(): string {
    return this.root.server
  }

  /** Applies the fixture; those who are deleted have lived and hold a token. */
  async fill(): Promise<void> {
    const gone = deletedUsers.map((name) => ({ name, type: 'human' }))
    await this.root.must(this.root.apply({ ...this.fixture, users: [...this.fixture.users, ...gone] }))
    for (const name of deletedUsers) {
      await this.tokenOf(name)
      await this.root.must(this.root.delete(`/users/${name}`))
    }
  }

  /** Makes everything as the fixture says, whatever was done to it. */
  async restore(): Promise<void> {
    await this.removeOthers()
    const again = () => this.root.apply(this.fixture)
    await until('the fixture is applied', async () => {
      const { status, text } = await again()
      // A server that was deleted keeps its name until its instances are gone.
      if (status !== 409) return status === 200 || Promise.reject(new Error(text))
      return false
    })
  }

  private async removeOthers(): Promise<void> {
    for (const plural of kinds) {
      const wanted: readonly { name: string }[] = this.fixture[plural]
      for (const name of await this.root.names(plural))
        if (!wanted.some((entry) => entry.name === name)) await this.gone(`/${plural}/${name}`)
    }
  }

  /** Deletes an object, and waits until nothing of it is left. */
  async gone(path: string): Promise<void> {
    const { status, text } = await this.root.delete(path)
    if (status === 202) await until(`${path} is gone`, async () => (await this.root.get(path)).status === 404)
    else if (status !== 200 && status !== 404) throw new Error(`${path} stays: ${text}`)
  }

  /** A token of a user, the same one each time. */
  async tokenOf(user: string): Promise<string> {
    if (user === root) return this.root.token ?? ''
    const known = this.tokens.get(user)
    if (known !== undefined) return known
    const token = await this.issue(user)
    this.tokens.set(user, token)
    return token
  }

  /** A new token, issued by root. */
  async issue(user: string, wish: TokenWish = {}): Promise<string> {
    const { token } = await this.root.must(this.root.post<{ token: string }>('/tokens', { user, ...wish }))
    return token
  }

  /** Somebody of the fixture, with a token of his own. */
  async as(user: string, headers: Record<string, string> = {}): Promise<Caller> {
    return new Caller(this.server, await this.tokenOf(user), headers)
  }

  get anonymous(): Caller {
    return new Caller(this.server, undefined)
  }

  /** mcpctl as somebody would type it who holds the token. */
  async mcpctl(token: string, args: string[], input = ''): Promise<Answer> {
    const file = join(this.sandbox.directory, `token-${String(++this.files)}`)
    await writeFile(file, token, { mode: 0o600 })
    await chmod(file, 0o600)
    return this.sandbox.type(input, '--server', this.server, '--token-file', file, ...args)
  }

  /** Makes a user who holds these entries by a binding `<name>-rights`; the next `restore` removes both. */
  async user(name: string, entries: string[] = []): Promise<Caller> {
    const rbac = entries.length > 0 ? [rbacOf(`${name}-rights`, [`u:${name}`], entries)] : []
    await this.root.must(this.root.apply({ users: [{ name, type: 'human' }], rbac }))
    return new Caller(this.server, await this.issue(name))
  }

  /** A living instance of a server. */
  instanceOf(server: string): Promise<Item> {
    return until(`${server} has an instance`, async () => {
      const path = `/instances?fieldSelector=${encodeURIComponent(`spec.server=${server}`)}`
      const { items } = await this.root.must(this.root.get<Items>(path))
      return items.find(({ metadata }) => metadata.deletionTimestamp === undefined)
    })
  }

  /** An object as a manifest holds it. */
  async manifestOf(plural: string, name: string): Promise<Record<string, unknown>> {
    const { metadata, spec } = await this.read(`/${plural}/${name}`)
    return { name, labels: metadata.labels, ...spec }
  }

  async read(path: string): Promise<Item> {
    return this.root.must(this.root.get(path))
  }

  remove(): Promise<void> {
    return this.sandbox.remove()
  }
}
