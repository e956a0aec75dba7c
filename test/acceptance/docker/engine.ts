import Docker from 'dockerode'
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../../support/binaries'
import { type Sandbox } from '../../support/mcpd-process'
import { converged, type Running } from '../world'

export const everythingImage = 'localhost/mcpctl-test/everything:1'

/** The containers of stores on one engine. */
export class Engine {
  constructor(
    readonly docker: Docker = new Docker(),
    private readonly ownDirectory?: string,
  ) {}

  /** Where clients find this one; undefined for the usual place. */
  get host(): string | undefined {
    return this.ownDirectory === undefined ? undefined : `unix://${this.ownDirectory}/docker.sock`
  }

  /** An engine that nobody else uses, so that it may be killed. */
  static async ofItsOwn(): Promise<Engine> {
    const directory = await mkdtemp(join(tmpdir(), 'mcpctl-engine-'))
    const engine = new Engine(new Docker({ socketPath: join(directory, 'docker.sock') }), directory)
    engine.bringUp()
    const env = { ...process.env, DOCKER_HOST: engine.host }
    execFileSync(process.execPath, ['scripts/test-images.mjs', 'everything'], { env })
    return engine
  }

  /** Starts it; one that was killed finds its containers running. */
  bringUp(): void {
    const at = (name: string) => join(this.ownDirectory ?? '', name)
    const env = {
      ...process.env,
      ENGINE_SOCKET: at('docker.sock'),
      ENGINE_STATE: at('state'),
      ENGINE_RUN: at('run'),
      ENGINE_LOG: at('log'),
      ENGINE_LOCK: at('lock'),
    }
    execFileSync('bash', ['scripts/engine-up.sh'], { env })
  }

  private async pid(): Promise<number> {
    return Number(await readFile(join(this.ownDirectory ?? '', 'run.pid'), 'utf8'))
  }

  async kill(): Promise<void> {
    process.kill(await this.pid(), 'SIGKILL')
    await until('the engine is dead', () =>
      this.docker.ping().then(
        () => false as const,
        () => true,
      ),
    )
  }

  /** Ends an engine of its own and removes all of it. */
  async remove(): Promise<void> {
    const { ownDirectory } = this
    if (ownDirectory === undefined) return
    const pid = await this.pid()
    process.kill(pid, 'SIGTERM')
    await until('the engine has ended', () =>
      readFile(join(ownDirectory, 'run.pid')).then(
        () => false as const,
        () => true,
      ),
    )
    // The engine mounts its state onto itself, and leaves that.
    await until('its state is free', async () => {
      const mounts = (await readFile('/proc/mounts', 'utf8')).split('\n').flatMap((line) => line.split(' ')[1] ?? [])
      for (const each of mounts.filter((one) => one.startsWith(`${ownDirectory}/`)).reverse())
        execFileSync('/bin/umount', [each])
      return true
    })
    await rm(ownDirectory, { recursive: true, force: true, maxRetries: 5 })
  }

  async containers(storeId: string): Promise<Docker.ContainerInfo[]> {
    return this.docker.listContainers({ all: true, filters: { label: [`mcpctl.io/store-id=${storeId}`] } })
  }

  /** Ids of the store's containers, sorted. */
  async ids(storeId: string): Promise<string[]> {
    return (await this.containers(storeId)).map(({ Id }) => Id).toSorted()
  }

  readonly running: Running = async (storeId) => {
    const found = new Map<string, string[]>()
    for (const { Id, Labels } of await this.containers(storeId)) {
      const uid = Labels['mcpctl.io/instance-uid'] ?? ''
      found.set(uid, [...(found.get(uid) ?? []), Id])
    }
    return found
  }

  /** Waits until each copy has its container and there is no other. */
  converged(sandbox: Sandbox, within = 60_000): Promise<void> {
    return converged(sandbox, within, this.running)
  }

  /** Runs a program in a container; answers what it printed. */
  execute(id: string, ...command: string[]): string {
    const at = this.host === undefined ? [] : ['-H', this.host]
    return execFileSync('docker', [...at, 'exec', id, ...command], { encoding: 'utf8', stdio: 'pipe' })
  }

  /** Removes what a failed test has left of a store. Answers what that was. */
  async clear(storeId: string): Promise<string[]> {
    const left = await this.containers(storeId)
    for (const { Id } of left) await this.docker.getContainer(Id).remove({ force: true, v: true })
    const networks = await this.docker.listNetworks({ filters: { label: [`mcpctl.io/store-id=${storeId}`] } })
    for (const { Id } of networks) await this.docker.getNetwork(Id).remove()
    return [...left.map(({ Names }) => Names.join()), ...networks.map(({ Name }) => Name)]
  }
}
