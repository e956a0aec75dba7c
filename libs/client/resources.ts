import type {
  AccessChangeRecord,
  DirectConfig,
  Manifest,
  ManifestEntry,
  RebuildStatus,
  ResourceList,
  ResourceObject,
} from '@mcpctl/contracts'
import { HttpClient } from './http'
import type { ApiResponse, HttpOptions } from './http'
import { linesOf } from './lines'
import { watchObjects } from './watch'
import type { WatchEvent, WatchQuery } from './watch'

export interface ListQuery {
  labelSelector?: string | undefined
  fieldSelector?: string | undefined
}

/** A wanted object with the version that its writer has seen: refused when somebody has changed it since. */
export interface VersionedEntry {
  metadata: Pick<ResourceObject['metadata'], 'name' | 'labels' | 'annotations' | 'resourceVersion'>
  spec: Record<string, unknown>
}

export type Outcome = 'created' | 'configured' | 'unchanged'

export interface ApplyResult {
  kind: string
  plural: string
  name: string
  uid: string
  outcome: Outcome
}

export interface ApplyAnswer {
  position: string
  results: ApplyResult[]
  /** What a dry run would give to users and take from them, for those who may see it. */
  access?: AccessChangeRecord[]
}

export interface Scale {
  kind: 'Scale'
  metadata: { name: string; resourceVersion?: string }
  spec: { replicas: number }
  status: { replicas: number }
}

export interface LogLine {
  instance: string
  /** RFC 3339. */
  at: string
  stream: 'stdout' | 'stderr' | 'system'
  text: string
}

export interface LogQuery {
  follow?: boolean | undefined
  tail?: number | undefined
  /** RFC 3339. */
  since?: string | undefined
  signal?: AbortSignal | undefined
}

export interface ProjectorStatus {
  name: string
  position: string
  lag: number
  status: string
  lastError?: string
  /** Streams with an event that it could not apply. */
  parked?: number
  rebuild?: RebuildStatus
}

export interface DaemonStatus {
  version: string
  store: { id: string; epoch: string | number; position: string | number }
  daemon: { pid: number; startedAt: string; address: string }
  leader: { self: boolean; address?: string | null }
  projectors: ProjectorStatus[]
  drivers: { name: string; available: boolean; isolated: boolean; message?: string }[]
  database: { embedded: boolean; version: string }
  /** Whether secrets can be opened: `ready`, or why not. Absent in answers of older daemons. */
  keys?: { state: string; kek?: string; message?: string }
}

export interface RevealedSecret {
  name: string
  uid: string
  version: number
  /** By key: text, or base64 of what is none. */
  values: Record<string, { value: string; binary?: true }>
}

const root = '/api/v1'
const pageSize = '500'

const quoted = (resourceVersion: string) => `"${resourceVersion}"`

/** The daemon's REST API in types, the same for every kind. Every method throws `ApiError` or `ConnectionError`. */
export class Client {
  readonly http: HttpClient

  constructor(options: HttpOptions) {
    this.http = new HttpClient(options)
  }

  /** All objects that match, fetched page by page as of one position. */
  async list(plural: string, query: ListQuery = {}): Promise<ResourceList> {
    const page = async (token?: string) =>
      this.body(
        this.http.request<ResourceList>({
          path: `${root}/${plural}`,
          query: {
            labelSelector: query.labelSelector,
            fieldSelector: query.fieldSelector,
            limit: pageSize,
            continue: token,
          },
        }),
      )
    const first = await page()
    const items = [...first.items]
    for (let next = first.metadata.continue; next;) {
      const more = await page(next)
      items.push(...more.items)
      next = more.metadata.continue
    }
    return { ...first, metadata: { resourceVersion: first.metadata.resourceVersion }, items }
  }

  /** See `watchObjects`. */
  watch(plural: string, query: WatchQuery): AsyncGenerator<WatchEvent> {
    return watchObjects(this.http, plural, query)
  }

  async get(plural: string, name: string): Promise<ResourceObject> {
    return this.body(this.http.request<ResourceObject>({ path: objectPath(plural, name) }))
  }

  /** Refused with `AlreadyExists` when the name is taken; with `dryRun` it is decided and nothing is written. */
  async create(plural: string, entry: ManifestEntry, options: { dryRun?: boolean } = {}): Promise<ResourceObject> {
    return this.body(
      this.http.request<ResourceObject>({
        method: 'POST',
        path: `${root}/${plural}`,
        query: { dryRun: options.dryRun ? 'All' : undefined },
        body: entry,
      }),
    )
  }

  /** Writes the whole object, provided that its spec is still the one of `resourceVersion`. */
  async replace(plural: string, entry: ManifestEntry, resourceVersion: string): Promise<ResourceObject> {
    return this.body(
      this.http.request<ResourceObject>({
        method: 'PUT',
        path: objectPath(plural, entry.name),
        body: entry,
        headers: { 'if-match': quoted(resourceVersion) },
      }),
    )
  }

  /**
   * Starts the deletion and answers the object as it is then; `status` 200 says that it is gone already. `force` also deletes what others use;
   * kinds that nothing keeps from being deleted refuse it.
   */
  async delete(plural: string, name: string, options: { force?: boolean } = {}): Promise<ApiResponse<ResourceObject>> {
    const query = { force: options.force ? 'true' : undefined }
    return this.http.request<ResourceObject>({ method: 'DELETE', path: objectPath(plural, name), query })
  }

  /** The values of a secret, of the current version unless told otherwise. It is recorded that they were seen. */
  async reveal(name: string, options: { version?: number | undefined } = {}): Promise<RevealedSecret> {
    const path = `${objectPath('secrets', name)}:reveal`
    return this.body(this.http.request<RevealedSecret>({ method: 'POST', path, body: options }))
  }

  /** Sets the number of copies; with `resourceVersion` only if the spec has not changed since. */
  async scale(name: string, replicas: number, resourceVersion?: string): Promise<Scale> {
    return this.body(
      this.http.request<Scale>({
        method: 'PUT',
        path: `${objectPath('servers', name)}/scale`,
        body: { spec: { replicas } },
        ...(resourceVersion === undefined ? {} : { headers: { 'if-match': quoted(resourceVersion) } }),
      }),
    )
  }

  /** How a client runs the server itself. */
  async directConfig(server: string): Promise<DirectConfig> {
    return this.body(this.http.request<DirectConfig>({ path: `${objectPath('servers', server)}/config` }))
  }

  /** Applies the bundle whole or not at all; with `dryRun` it is decided and nothing is written. */
  async apply(
    manifest: Manifest | Record<string, VersionedEntry[]>,
    options: { dryRun?: boolean } = {},
  ): Promise<ApplyAnswer> {
    return this.body(
      this.http.request<ApplyAnswer>({
        method: 'POST',
        path: `${root}/apply`,
        query: { dryRun: options.dryRun ? 'All' : undefined },
        body: manifest,
      }),
    )
  }

  /** Log lines of a server's or an instance's copies, oldest first. With `follow` it ends only when the connection does. */
  async *logs(plural: string, name: string, query: LogQuery = {}): AsyncGenerator<LogLine> {
    const message = await this.http.stream({
      path: `${objectPath(plural, name)}/logs`,
      query: {
        follow: query.follow ? '1' : undefined,
        tail: query.tail === undefined ? undefined : String(query.tail),
        since: query.since,
      },
      headers: { accept: 'application/x-ndjson' },
      signal: query.signal,
    })
    try {
      for await (const line of linesOf(message)) if (line !== '') yield JSON.parse(line) as LogLine
    } catch (error) {
      if (query.signal?.aborted) return
      throw this.http.unreachable(error)
    } finally {
      message.destroy()
    }
  }

  async status(): Promise<DaemonStatus> {
    return this.body(this.http.request<DaemonStatus>({ path: `${root}/status` }))
  }

  async version(): Promise<{ version: string }> {
    return this.body(this.http.request<{ version: string }>({ path: `${root}/version` }))
  }

  /** Asks the daemon to end; with `all` it stops and removes the instances' containers first. */
  async shutdown(options: { all?: boolean } = {}): Promise<void> {
    await this.http.request({
      method: 'POST',
      path: `${root}/shutdown`,
      query: { all: options.all ? '1' : undefined },
      timeoutMs: 0,
    })
  }

  close(): void {
    this.http.close()
  }

  private async body<T>(answer: Promise<ApiResponse<T>>): Promise<T> {
    return (await answer).body
  }
}

const objectPath = (plural: string, name: string) => `${root}/${plural}/${encodeURIComponent(name)}`
