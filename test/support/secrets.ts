import type { ResourceObject } from '@mcpctl/contracts'
import type { RecordedEvent } from '@mcpctl/event-store'
import { entryOf } from './access-fixture'
import { Canary } from './canary'
import { events } from './log'
import { expectStatus, objectOf, type Received, type Sent, type TestDaemon } from './daemon'

export interface Revealed {
  name: string
  uid: string
  version: number
  values: Record<string, { value: string; binary?: true }>
}

export const valuesOf = ({ text }: Received): Record<string, string> =>
  Object.fromEntries(Object.entries((JSON.parse(text) as Revealed).values).map(([key, { value }]) => [key, value]))

/** Secrets of a daemon, as its administrator handles them over HTTP. Every value it makes up is told apart from all others. */
export class Secrets {
  /** Values that were given to the daemon. */
  readonly given: string[] = []
  private count = 0

  constructor(readonly daemon: TestDaemon) {}

  unusedName(): string {
    return `secret-${String(++this.count)}`
  }

  value(): string {
    const { value } = Canary.plain()
    this.given.push(value)
    return value
  }

  /** Makes one; its data by key. */
  async create(data: Record<string, unknown>, more: Record<string, unknown> = {}): Promise<ResourceObject> {
    const body = { name: this.unusedName(), data, ...more }
    return objectOf(expectStatus(201, await this.daemon.send('/api/v1/secrets', { body })))
  }

  /** Writes the whole secret anew. */
  replace(name: string, data: unknown, more: Record<string, unknown> = {}, sent: Sent = {}): Promise<Received> {
    const headers = { 'if-match': '*', ...sent.headers }
    return this.daemon.send(`/api/v1/secrets/${name}`, { method: 'PUT', body: { name, data, ...more }, headers })
  }

  apply(name: string, data: unknown, more: Record<string, unknown> = {}): Promise<Received> {
    return this.daemon.send('/api/v1/apply', { body: { secrets: [{ name, data, ...more }] } })
  }

  async get(name: string): Promise<ResourceObject> {
    return objectOf(expectStatus(200, await this.daemon.send(`/api/v1/secrets/${name}`)))
  }

  delete(name: string, query = ''): Promise<Received> {
    return this.daemon.send(`/api/v1/secrets/${name}${query}`, { method: 'DELETE' })
  }

  reveal(name: string, body: unknown = {}, sent: Sent = {}): Promise<Received> {
    return this.daemon.send(`/api/v1/secrets/${name}:reveal`, { ...sent, method: 'POST', body })
  }

  /** Its values by key: text, or base64. */
  async values(name: string, version?: number): Promise<Record<string, string>> {
    return valuesOf(expectStatus(200, await this.reveal(name, version === undefined ? {} : { version })))
  }

  /** What the log says of one, in order. */
  async events(uid: string): Promise<RecordedEvent[]> {
    return (await events(this.daemon)).filter(({ streamId }) => streamId === `secret-${uid}`)
  }

  /** Versions whose data key is there, and those of which a tombstone is left. */
  async keys(uid: string): Promise<{ live: number[]; destroyed: number[] }> {
    const { rows } = await this.daemon.database.pool.query<{ version: number; is_live: boolean }>(
      `select split_part(subject, '/', 2)::int as version, wrapped is not null as is_live from es.subject_key
       where split_part(subject, '/', 1) = $1 order by 1`,
      [uid],
    )
    const numbers = (isLive: boolean) => rows.filter((row) => row.is_live === isLive).map(({ version }) => version)
    return { live: numbers(true), destroyed: numbers(false) }
  }

  /** Somebody who holds these entries, as `view:secrets` or `op reveal:secrets/x`: a function that sends as he would. */
  async user(name: string, entries: string[]): Promise<(path: string, sent?: Sent) => Promise<Received>> {
    const bindings = entries.filter((text) => !text.startsWith('op ')).map(entryOf)
    const operations = entries.filter((text) => text.startsWith('op ')).map(entryOf)
    const rbac = [{ name: `rights-of-${name}`, subjects: [{ kind: 'User', name }], bindings, operations }]
    expectStatus(200, await this.daemon.send('/api/v1/apply', { body: { users: [{ name }], rbac } }))
    const issued = expectStatus(201, await this.daemon.send('/api/v1/tokens', { body: { user: name } }))
    const { token } = JSON.parse(issued.text) as { token: string }
    return (path, sent = {}) =>
      this.daemon.send(path, { ...sent, headers: { authorization: `Bearer ${token}`, ...sent.headers } })
  }

  /** Where in the database or the log of the daemon a value that was given has been left. */
  async leaks(): Promise<string[]> {
    const { rows } = await this.daemon.database.pool.query<{ at: string; text: string }>(
      `select 'event ' || position as at, data::text || coalesce(meta::text, '') as text from es.event
       union all select 'command ' || command_id, coalesce(result::text, '') from es.command
       union all select 'object ' || name, object::text from rm.object`,
    )
    const places = [...rows, { at: 'log', text: this.daemon.logged() }]
    return places.filter(({ text }) => this.given.some((value) => isIn(text, value))).map(({ at }) => at)
  }
}

/** The canary matrix searches more places, in more forms. */
const isIn = (text: string, value: string): boolean =>
  [value.slice(0, 8), value.slice(-8), Buffer.from(value).toString('base64').slice(0, 40)].some((part) =>
    text.includes(part),
  )
