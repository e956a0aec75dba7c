import type Docker from 'dockerode'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { join } from 'node:path'
import type { ImageFacts } from './docker-container'
import { labels, userOf } from './docker-container'
import type { DockerEngine } from './docker-engine'
import type { InstanceInputs } from './driver'
import type { SecretDirectories } from './secret-directories'

const secretRoot = '/run/secrets/'
const tarBlock = 512

/**
 * Values of secrets as files in containers: a directory in this host's memory, bound into the container where it can only be read. Nothing of them
 * is in the image, in a layer or in what the engine tells of the container.
 */
export class DockerSecrets {
  constructor(
    private readonly engine: DockerEngine,
    private readonly directories: SecretDirectories,
  ) {}

  /** Writes an instance's files and answers with what is to be mounted. */
  async place(instanceUid: string, files: InstanceInputs['files']): Promise<Docker.MountConfig> {
    if (files.length === 0) return []
    const placed = files.map(({ path, content }, index) => {
      const isBelow = path.startsWith(secretRoot)
      return {
        path,
        content,
        isBelow,
        at: isBelow ? join('run', path.slice(secretRoot.length)) : `file-${String(index)}`,
      }
    })
    const directory = await this.directories.write(instanceUid, placed)
    const whole = placed.some(({ isBelow }) => isBelow) ? [bind(join(directory, 'run'), secretRoot.slice(0, -1))] : []
    return [...whole, ...placed.flatMap(({ path, at, isBelow }) => (isBelow ? [] : [bind(join(directory, at), path)]))]
  }

  /** Gives the files to the user that the container's program runs as. */
  async give(instanceUid: string, containerId: string, facts: ImageFacts): Promise<void> {
    const reader = (await this.#mapsUsers()) ? undefined : await this.#idOf(userOf(facts), containerId)
    await this.directories.give(instanceUid, reader)
  }

  /** Every value of a secret that a container was started with, for its log to leave out. */
  async valuesOf({ Config }: Docker.ContainerInspectInfo): Promise<Buffer[]> {
    const names = new Set((Config.Labels[labels.secretEnv] ?? '').split(',').filter((name) => name !== ''))
    const env = Config.Env.filter((entry) => names.has(entry.slice(0, entry.indexOf('='))))
    const values = env.map((entry) => Buffer.from(entry.slice(entry.indexOf('=') + 1)))
    return [...values, ...(await this.directories.read(Config.Labels[labels.instance] ?? ''))]
  }

  remove(instanceUid: string): Promise<void> {
    return this.directories.remove(instanceUid)
  }

  sweep(known: ReadonlySet<string>): Promise<void> {
    return this.directories.sweep(known)
  }

  close(): Promise<void> {
    return this.directories.close()
  }

  /** Where the engine maps users, the container's ids are others than this host's. */
  async #mapsUsers(): Promise<boolean> {
    const { SecurityOptions } = (await this.engine.call((docker) => docker.info())) as { SecurityOptions?: string[] }
    return (SecurityOptions ?? []).some((option) => /^name=(userns|rootless)/.test(option))
  }

  /** The id of a user as images name him, by number or by name; undefined where the image does not know him. */
  async #idOf(user: string, containerId: string): Promise<number | undefined> {
    const [name = ''] = user.split(':')
    if (/^\d+$/.test(name)) return Number(name)
    const archive = await this.engine.find((docker) =>
      docker.getContainer(containerId).getArchive({ path: '/etc/passwd' }),
    )
    const users = archive ? contentOf(await buffer(archive as Readable)) : ''
    const id = users
      .split('\n')
      .map((line) => line.split(':'))
      .find((fields) => fields[0] === name)?.[2]
    return id === undefined ? undefined : Number(id)
  }
}

const bind = (source: string, target: string): Docker.MountSettings => ({
  Type: 'bind',
  Source: source,
  Target: target,
  ReadOnly: true,
})

/** The content of the first file of a tar archive. */
const contentOf = (archive: Buffer): string => {
  const size = Number.parseInt(archive.toString('latin1', 124, 136), 8)
  return Number.isNaN(size) ? '' : archive.toString('utf8', tarBlock, tarBlock + size)
}
