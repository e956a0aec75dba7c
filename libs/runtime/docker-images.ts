import type Docker from 'dockerode'
import { createHash } from 'node:crypto'
import { PassThrough, pipeline } from 'node:stream'
import { pack } from 'tar-fs'
import type { ImageFacts } from './docker-container'
import type { DockerEngine } from './docker-engine'
import { reasonOf, statusOf } from './docker-engine'
import { RuntimeUnavailable, StartError } from './driver'
import type { InstalledPackage } from './package-store'
import type { RuntimeLog } from './runtime-log'

const pullTimeoutMs = 10 * 60_000
const buildTimeoutMs = 5 * 60_000
/** Where a package lies in its image. */
export const packageRoot = '/opt/mcpctl/package'

const dockerfile = (nodeImage: string, integrity: string) =>
  [`FROM ${nodeImage}`, `LABEL mcpctl.io/package-integrity="${integrity}"`, `COPY package ${packageRoot}`, ''].join(
    '\n',
  )

/** Without a tag the engine would pull all of them. */
const withTag = (image: string) => (/[:@][^/]*$/.test(image) ? image : `${image}:latest`)

/** Images that are there, pulled or built at most once however many starts want them. */
export class DockerImages {
  readonly #running = new Map<string, Promise<ImageFacts>>()

  constructor(
    private readonly engine: DockerEngine,
    private readonly log: RuntimeLog,
  ) {}

  /** Pulls the image unless it is there. Throws StartError ImageNotFound or ImagePullBackOff. */
  ensure(image: string): Promise<ImageFacts> {
    const name = withTag(image)
    return this.#once(name, () => this.#pull(name))
  }

  /** Builds the image of a package on top of a node image, unless it is there, and answers with its name. */
  async ensurePackage(installed: InstalledPackage, nodeImage: string): Promise<{ name: string; facts: ImageFacts }> {
    const { id } = await this.ensure(nodeImage)
    const recipe = dockerfile(withTag(nodeImage), installed.integrity)
    const hash = createHash('sha256')
      .update(JSON.stringify([installed.name, id, recipe]))
      .digest('hex')
      .slice(0, 12)
    const slug = installed.name.replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '')
    const name = `mcpctl-package/${slug}:${installed.version.replace('+', '_')}-${hash}`
    return { name, facts: await this.#once(name, () => this.#build(name, recipe, installed)) }
  }

  async #once(name: string, make: () => Promise<void>): Promise<ImageFacts> {
    const running = this.#running.get(name)
    if (running) return running
    const work = this.#findOrMake(name, make).finally(() => this.#running.delete(name))
    this.#running.set(name, work)
    return work
  }

  async #findOrMake(name: string, make: () => Promise<void>): Promise<ImageFacts> {
    const found = await this.#find(name)
    if (found) return found
    await make()
    const made = await this.#find(name)
    if (made) return made
    throw new StartError('ImageNotFound', `image ${name} is gone again`)
  }

  async #find(name: string): Promise<ImageFacts | undefined> {
    const image = await this.engine.find((docker) => docker.getImage(name).inspect())
    if (!image) return undefined
    const { User, Env, WorkingDir } = image.Config
    return { id: image.Id, user: User, env: Env, workingDirectory: WorkingDir }
  }

  async #pull(name: string): Promise<void> {
    this.log.info({ image: name }, 'pulling image')
    try {
      await this.engine.call(async (docker) => finished(docker, await docker.pull(name)), pullTimeoutMs)
    } catch (error) {
      if (error instanceof RuntimeUnavailable) throw error
      const reason = reasonOf(error)
      const isAbsent =
        statusOf(error) === 404 || /manifest unknown|not found|repository does not exist|name unknown/i.test(reason)
      throw new StartError(isAbsent ? 'ImageNotFound' : 'ImagePullBackOff', `image ${name}: ${reason}`, {
        cause: error,
      })
    }
  }

  async #build(name: string, recipe: string, installed: InstalledPackage): Promise<void> {
    this.log.info({ image: name }, 'building image of package')
    try {
      const context = contextOf(recipe, installed)
      await this.engine.call(
        async (docker) => finished(docker, await docker.buildImage(context, { t: name, forcerm: true })),
        buildTimeoutMs,
      )
    } catch (error) {
      if (error instanceof RuntimeUnavailable) throw error
      throw new StartError('PackageInstallFailed', `image of package ${installed.name}: ${reasonOf(error)}`, {
        cause: error,
      })
    }
  }
}

/** Waits for the end of a pull or build, whose failures come as lines of the stream. */
const finished = (docker: Docker, stream: NodeJS.ReadableStream): Promise<void> =>
  new Promise((resolve, reject) => {
    docker.modem.followProgress(stream, (error: Error | null, lines: ({ error?: string } | undefined)[] | null) => {
      const failed = lines?.find((line) => line?.error !== undefined)?.error
      if (error) reject(error)
      else if (failed !== undefined) reject(new Error(failed))
      else resolve()
    })
  })

/** The installed package and a Dockerfile as a tar archive, readable by any user whatever the umask here is. */
const contextOf = (recipe: string, installed: InstalledPackage): PassThrough => {
  const archive = pack(installed.root, {
    map: (header) => {
      header.name = header.name === '.' ? 'package' : `package/${header.name}`
      header.mode |= header.type === 'directory' ? 0o755 : 0o444
      header.uid = header.gid = 0
      return header
    },
    finalize: false,
    finish: (rest) => {
      rest.entry({ name: 'Dockerfile' }, recipe, () => {
        rest.finalize()
      })
    },
  })
  return pipeline(archive, new PassThrough(), () => undefined)
}
