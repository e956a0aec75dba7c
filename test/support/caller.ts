/** An answer of the API, read to its end. */
export interface Reply<T = unknown> {
  status: number
  /** Of a problem. */
  reason?: string
  body: T
  text: string
  headers: Headers
}

export interface Item {
  kind: string
  metadata: {
    name: string
    uid: string
    resourceVersion: string
    labels: Record<string, string>
    deletionTimestamp?: string
  }
  spec: Record<string, unknown>
  status: Record<string, unknown>
}

export interface Items {
  metadata: { resourceVersion: string; accessFiltered?: boolean }
  items: Item[]
}

export const api = '/api/v1'

const bodyOf = (text: string, contentType: string | null): unknown =>
  contentType !== null && /[/+]json/.test(contentType) ? (JSON.parse(text) as unknown) : text

/** Somebody with a token, who asks the API over HTTP as any client would. */
export class Caller {
  constructor(
    readonly server: string,
    readonly token: string | undefined,
    private readonly headers: Record<string, string> = {},
  ) {}

  /** The same person, sending further headers. */
  with(headers: Record<string, string>): Caller {
    return new Caller(this.server, this.token, { ...this.headers, ...headers })
  }

  /** Somebody else at the same daemon. */
  withToken(token: string): Caller {
    return new Caller(this.server, token, this.headers)
  }

  /** The same person at another daemon. */
  at(server: string): Caller {
    return new Caller(server, this.token, this.headers)
  }

  async send<T = unknown>(method: string, path: string, body?: unknown): Promise<Reply<T>> {
    const answer = await this.open(method, path, { body })
    const text = await answer.text()
    const parsed = bodyOf(text, answer.headers.get('content-type')) as T
    const reason = answer.status >= 400 ? (parsed as { reason?: string }).reason : undefined
    return {
      status: answer.status,
      ...(reason !== undefined && { reason }),
      body: parsed,
      text,
      headers: answer.headers,
    }
  }

  /** The answer as soon as its headers are there, for those that have no end. */
  open(
    method: string,
    path: string,
    options: { body?: unknown; signal?: AbortSignal; accept?: string } = {},
  ): Promise<Response> {
    const { body, signal, accept = 'application/json' } = options
    return fetch(this.server + path, {
      method,
      redirect: 'manual',
      headers: {
        accept,
        ...(this.token !== undefined && { authorization: `Bearer ${this.token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...this.headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    })
  }

  get<T = Item>(path: string): Promise<Reply<T>> {
    return this.send<T>('GET', api + path)
  }

  post<T = Item>(path: string, body: unknown): Promise<Reply<T>> {
    return this.send<T>('POST', api + path, body)
  }

  delete(path: string): Promise<Reply<Item>> {
    return this.send<Item>('DELETE', api + path)
  }

  /** Writes the whole object over the version that is there; one that is not there is asked for all the same. */
  put(path: string, body: unknown, resourceVersion = '1.1'): Promise<Reply<Item>> {
    return this.with({ 'if-match': `"${resourceVersion}"` }).send<Item>('PUT', api + path, body)
  }

  apply(manifest: object, query = ''): Promise<Reply<{ results: { name: string; outcome: string }[] }>> {
    return this.post(`/apply${query}`, manifest)
  }

  /** The answer to a request that has to succeed. */
  async must<T>(asked: Promise<Reply<T>>): Promise<T> {
    const { status, body, text } = await asked
    if (status >= 200 && status < 300) return body
    throw new Error(`${String(status)}: ${text}`)
  }

  async names(plural: string): Promise<string[]> {
    const { items } = await this.must(this.get<Items>(`/${plural}?limit=1000`))
    return items.map(({ metadata }) => metadata.name)
  }
}
