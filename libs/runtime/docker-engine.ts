import type Docker from 'dockerode'
import type { DockerOptions } from 'dockerode'
import { RuntimeUnavailable } from './driver'

const pingMs = 5_000
const usualSocket = '/var/run/docker.sock'

/** How dockerode is to connect. Throws on an address that is neither a socket nor a host. */
export const engineAddress = (dockerHost: string | undefined): DockerOptions => {
  if (dockerHost === undefined) return { socketPath: usualSocket }
  const url = URL.canParse(dockerHost) ? new URL(dockerHost) : undefined
  if (url?.protocol === 'unix:') return { socketPath: url.pathname }
  if (url?.protocol === 'tcp:' || url?.protocol === 'http:')
    return { protocol: 'http', host: url.hostname, port: Number(url.port || '2375') }
  throw new Error(`the engine's address must begin with unix:// or tcp://, not "${dockerHost}"`)
}

/** The HTTP status with which the engine refused, or undefined when it never answered. */
export const statusOf = (error: unknown): number | undefined =>
  typeof error === 'object' && error !== null && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : undefined

/** The engine's own words, in one line. */
export const reasonOf = (error: unknown): string => {
  const body = typeof error === 'object' && error !== null && 'json' in error ? error.json : undefined
  const message = (body as { message?: unknown } | undefined)?.message
  const text = typeof message === 'string' ? message : error instanceof Error ? error.message : String(error)
  return text.replace(/\s+/g, ' ').trim().slice(0, 300)
}

/** A connection to a container engine. Calls reject with RuntimeUnavailable when it does not answer, else with the engine's refusal. */
export class DockerEngine {
  #client: Promise<Docker> | undefined

  constructor(private readonly dockerHost: string | undefined) {
    engineAddress(dockerHost)
  }

  /** Whether containers' own addresses can be reached from here: the engine runs on this very Linux host. */
  get isLocalLinux(): boolean {
    return process.platform === 'linux' && engineAddress(this.dockerHost).socketPath !== undefined
  }

  async call<T>(work: (docker: Docker) => Promise<T>, timeoutMs = 60_000): Promise<T> {
    const docker = await this.client()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new RuntimeUnavailable(`the container engine did not answer within ${String(timeoutMs / 1000)} s`))
      }, timeoutMs)
    })
    try {
      return await Promise.race([work(docker), late])
    } catch (error) {
      if (error instanceof RuntimeUnavailable || statusOf(error) !== undefined || !isNetworkError(error)) throw error
      throw new RuntimeUnavailable(`the container engine does not answer: ${reasonOf(error)}`, { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }

  /** As `call`, but undefined where the engine says that there is no such thing. */
  async find<T>(work: (docker: Docker) => Promise<T>): Promise<T | undefined> {
    try {
      return await this.call(work)
    } catch (error) {
      if (statusOf(error) === 404) return undefined
      throw error
    }
  }

  async ping(): Promise<void> {
    await this.call((docker) => docker.ping(), pingMs)
  }

  /** Loaded late: it costs a tenth of a second that a daemon without an engine does not spend. */
  client(): Promise<Docker> {
    this.#client ??= import('dockerode').then(({ default: Client }) => new Client(engineAddress(this.dockerHost)))
    return this.#client
  }
}

const networkCodes = [
  'ECONNREFUSED',
  'ENOENT',
  'ECONNRESET',
  'EPIPE',
  'EACCES',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]

const isNetworkError = (error: unknown): boolean =>
  networkCodes.includes((error as NodeJS.ErrnoException | undefined)?.code ?? '')
