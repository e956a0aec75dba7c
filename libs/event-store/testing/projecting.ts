import { createPool } from '@mcpctl/postgres'
import type { Pool, PoolClient } from 'pg'
import { Follower } from '../follow/follower'
import { Parked } from '../follow/parked'
import { Projector, type ProjectorOptions } from '../follow/projector'
import { PostgresEventLog } from '../postgres-event-log'
import type { NewEvent, ProjectedEvent } from '../types'
import { event, events, to } from './event-fixtures'

/**
 * Projectors that write down each event that they apply and each time that they do, in the order in which they do it. One name of a
 * projector per test, so that the tests of a file may share a database. For tests.
 */
export class Projecting {
  readonly log: PostgresEventLog
  readonly follower: Follower
  /** Of the present test's projector. */
  name = ''
  /** Ids of events that cannot be applied as long as they are in here. */
  readonly poisonous = new Set<string>()
  /** Positions that were parked, as they were told. */
  readonly reported: bigint[] = []
  private runs = 0
  private readonly opened: (() => Promise<unknown>)[] = []

  private constructor(
    readonly pool: Pool,
    private readonly url: string,
  ) {
    this.log = new PostgresEventLog({ pool })
    this.follower = new Follower({ pool })
  }

  static async open({ pool, url }: { pool: Pool; url: string }): Promise<Projecting> {
    const projecting = new Projecting(pool, url)
    await projecting.follower.start()
    // Without a unique key: an event that is applied twice is seen twice.
    await pool.query(
      `create table rm.applied (projector text, stream text, version bigint, position bigint,
         nth bigint generated always as identity)`,
    )
    return projecting
  }

  close(): Promise<void> {
    return this.follower.stop()
  }

  /** Begins a test. */
  begin(): void {
    this.name = `projector-${++this.runs}`
    this.poisonous.clear()
    this.reported.length = 0
  }

  /** Has something closed at the end of the test, in reverse order. */
  later(close: () => Promise<unknown>): void {
    this.opened.push(close)
  }

  async end(): Promise<void> {
    for (const close of this.opened.splice(0).reverse()) await close()
  }

  readonly project = async (tx: PoolClient, batch: ProjectedEvent[]): Promise<void> => {
    const columns = [batch.map((e) => e.streamId), batch.map((e) => e.version), batch.map((e) => e.position)]
    await tx.query(
      `insert into rm.applied (projector, stream, version, position)
       select $1, * from unnest($2::text[], $3::bigint[], $4::bigint[])`,
      [this.name, ...columns],
    )
    const bad = batch.find(({ id }) => this.poisonous.has(id))
    if (bad) throw new Error(`cannot apply ${bad.id}`)
  }

  start(options: Partial<ProjectorOptions> = {}): Projector {
    const { pool, follower, name, project, reported } = this
    const onParked: ProjectorOptions['onParked'] = ({ event: { position } }) => reported.push(position)
    const projector = new Projector({ pool, follower, name, project, onParked, ...options })
    this.later(() => projector.stop())
    projector.start()
    return projector
  }

  parked(): Parked {
    return new Parked({ pool: this.pool, projections: [{ name: this.name, project: this.project }] })
  }

  /** A pool as another daemon has it. */
  daemon(application: string, url = this.url): Pool {
    const pool = createPool(url, { role: 'mcpd_app', max: 4, applicationName: application })
    this.later(() => pool.end())
    return pool
  }

  async follow(pool: Pool): Promise<Follower> {
    const follower = new Follower({ pool })
    this.later(() => follower.stop())
    await follower.start()
    return follower
  }

  append(count: number): Promise<unknown> {
    return Promise.all(Array.from({ length: count }, (_, i) => this.log.append(to(`s-${i % 7}`, 'any', event()))))
  }

  /** One poisonous event, the third of a stream of five. */
  async appendPoison(stream: string) {
    const [poison, ...rest] = events(5) as [NewEvent, ...NewEvent[]]
    this.poisonous.add(poison.id)
    await this.log.append(to(stream, 'any', ...rest.slice(0, 2), poison, ...rest.slice(2)))
    const stored = (await this.log.readStream(stream)).find(({ id }) => id === poison.id)
    if (!stored) throw new Error('not stored')
    return stored
  }

  /** Lets the projector leave out what earlier tests have appended. */
  async beginAt(position: bigint): Promise<void> {
    const text = 'insert into es.checkpoint (processor, model_version, position) values ($1, 1, $2)'
    await this.pool.query(text, [this.name, String(position)])
  }

  async checkpoint() {
    const { rows } = await this.pool.query<{
      position: string
      status: string
      attempts: number
      last_error: string | null
    }>('select position::text, status, attempts, last_error from es.checkpoint where processor = $1', [this.name])
    const [row] = rows
    if (!row) throw new Error(`"${this.name}" has no checkpoint`)
    return { ...row, position: BigInt(row.position) }
  }

  /** Whether the projector knows, within half a minute, that everything is applied that is in the log now. */
  async caughtUp(projector: Projector): Promise<boolean> {
    return projector.waitFor(await this.log.head(), 30_000)
  }

  /** The positions that were applied, in that order. */
  async seen(): Promise<bigint[]> {
    const text = 'select position::text from rm.applied where projector = $1 order by nth'
    const { rows } = await this.pool.query<{ position: string }>(text, [this.name])
    return rows.map(({ position }) => BigInt(position))
  }

  /** The versions of a stream that were applied, in that order. */
  async applied(stream: string): Promise<number[]> {
    const text = 'select version::int from rm.applied where projector = $1 and stream = $2 order by nth'
    const { rows } = await this.pool.query<{ version: number }>(text, [this.name, stream])
    return rows.map(({ version }) => version)
  }

  /** The positions of the log. */
  async everything(): Promise<bigint[]> {
    return (await this.log.read(0n, 100_000)).map(({ position }) => position)
  }
}
