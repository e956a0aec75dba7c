import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { PoolClient } from 'pg'
import type { DomainError } from '@mcpctl/contracts'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { EventCatalogue } from '../decide/catalogue'
import { PostgresEventLog } from '../postgres-event-log'
import { event, events, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import type { NewEvent, ProjectedEvent } from '../types'
import { Follower } from './follower'
import { Parked } from './parked'
import { Projector, type ProjectorOptions } from './projector'

describe('Parking', () => {
  let database: TestDatabase
  let log: PostgresEventLog
  let follower: Follower
  let runs = 0
  let name: string
  /** Ids of events that cannot be applied as long as they are in here. */
  const poisonous = new Set<string>()
  const reported: bigint[] = []
  const opened: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
    follower = new Follower({ pool: database.pool })
    await follower.start()
    await database.pool.query(
      `create table rm.applied (projector text, stream text, version bigint, position bigint,
         nth bigint generated always as identity)`,
    )
  })
  beforeEach(() => {
    name = `parking-${++runs}`
    poisonous.clear()
    reported.length = 0
  })
  afterEach(async () => {
    for (const close of opened.splice(0).reverse()) await close()
  })
  afterAll(async () => {
    await follower.stop()
    await database.close()
  })

  const project = async (tx: PoolClient, batch: ProjectedEvent[]) => {
    const columns = [batch.map((e) => e.streamId), batch.map((e) => e.version), batch.map((e) => e.position)]
    await tx.query(
      'insert into rm.applied (projector, stream, version, position) select $1, * from unnest($2::text[], $3::bigint[], $4::bigint[])',
      [name, ...columns],
    )
    const bad = batch.find(({ id }) => poisonous.has(id))
    if (bad) throw new Error(`cannot apply ${bad.id}`)
  }
  const projection = () => ({ name, project })
  const start = (options: Partial<ProjectorOptions> = {}) => {
    const projector = new Projector({
      pool: database.pool,
      follower,
      ...projection(),
      maxAttempts: 2,
      onParked: (poison) => reported.push(poison.event.position),
      ...options,
    })
    opened.push(() => projector.stop())
    projector.start()
    return projector
  }
  const parked = () => new Parked({ pool: database.pool, projections: [projection()] })
  /** One poisonous event, the third of a stream of five, among the events of other streams. */
  const appendPoison = async (stream: string) => {
    const [poison, ...rest] = events(5) as [NewEvent, ...NewEvent[]]
    poisonous.add(poison.id)
    await log.append(to(stream, 'any', ...rest.slice(0, 2), poison, ...rest.slice(2)))
    return (await log.readStream(stream)).find(({ id }) => id === poison.id)!
  }
  const applied = async (stream: string) => {
    const { rows } = await database.pool.query<{ version: number }>(
      'select version::int from rm.applied where projector = $1 and stream = $2 order by nth',
      [name, stream],
    )
    return rows.map(({ version }) => version)
  }
  const checkpoint = async () => {
    const { rows } = await database.pool.query<{ position: string; status: string; last_error: string | null }>(
      'select position::text, status, last_error from es.checkpoint where processor = $1',
      [name],
    )
    return { ...rows[0]!, position: BigInt(rows[0]!.position) }
  }
  /** Lets the projector leave out what earlier tests have appended. */
  const beginAt = (position: bigint) =>
    database.pool.query('insert into es.checkpoint (processor, model_version, position) values ($1, 1, $2)', [
      name,
      String(position),
    ])
  const caughtUp = async (projector: Projector) => expect(await projector.waitFor(await log.head(), 10_000)).toBe(true)

  it('C45 parks the event that keeps throwing and what follows it in its stream, and applies everything else', async () => {
    await log.append(to(`${name}-before`, 'any', ...events(30)))
    const poison = await appendPoison(`${name}-bad`)
    const other = await appendPoison(`${name}-worse`)
    await log.append(to(`${name}-after`, 'any', ...events(30)))
    const projector = start()
    await caughtUp(projector)
    await eventually(() => projector.status().status === 'running')
    expect(projector.status()).toEqual({ name, status: 'running', position: await log.head() })
    expect(await checkpoint()).toMatchObject({ position: await log.head(), status: 'running', last_error: null })
    for (const healthy of ['before', 'after']) expect(await applied(`${name}-${healthy}`)).toHaveLength(30)
    for (const broken of ['bad', 'worse']) expect(await applied(`${name}-${broken}`)).toEqual([1, 2])
    await eventually(() => reported.length === 2)
    expect(reported).toEqual([poison.position, other.position])
    const listed = await parked().list(name)
    expect(listed).toEqual(
      [poison, other].map(({ position, streamId, id }) => ({
        processor: name,
        position,
        streamId,
        type: 'Happened',
        error: `cannot apply ${id}`,
        since: expect.stringMatching(/^20\d\d-.*Z$/),
        behind: 2,
      })),
    )
    expect(await parked().list()).toEqual(listed)
  })

  it('C45 lets later events of a parked stream wait, also when they come in batches and processes to come', async () => {
    const stream = `${name}-bad`
    const poison = await appendPoison(stream)
    const first = start({ batchSize: 3 })
    await caughtUp(first)
    await log.append(to(stream, 'exists', ...events(4)))
    await caughtUp(first)
    await first.stop()
    const second = start()
    await log.append(to(stream, 'exists', ...events(3)))
    await log.append(to(`${name}-good`, 'any', event()))
    await caughtUp(second)
    expect(await applied(stream)).toEqual([1, 2])
    expect(await applied(`${name}-good`)).toEqual([1])
    expect(await parked().list(name)).toMatchObject([{ position: poison.position, behind: 9 }])
  })

  it('C45 tries a batch so often before it looks for the event, waiting longer each time', async () => {
    const poison = await appendPoison(`${name}-bad`)
    const tries: number[] = []
    const projector = start({
      maxAttempts: 4,
      project: (tx, batch) => {
        if (batch.some(({ id }) => id === poison.id)) tries.push(performance.now())
        return project(tx, batch)
      },
    })
    await caughtUp(projector)
    expect(tries.length).toBeGreaterThan(4)
    const waits = tries.slice(1, 5).map((time, i) => time - tries[i]!)
    ;[50, 100, 200, 400].forEach((least, i) => expect(waits[i]).toBeGreaterThanOrEqual(least - 5))
  })

  it('C45 parks nothing for a fault that passes', async () => {
    const poison = await appendPoison(`${name}-bad`)
    const projector = start({ maxAttempts: 5 })
    await eventually(() => projector.status().status === 'failing')
    poisonous.delete(poison.id)
    await caughtUp(projector)
    expect(await applied(`${name}-bad`)).toEqual([1, 2, 3, 4, 5])
    expect(await parked().list(name)).toEqual([])
    expect(reported).toEqual([])
  })

  it('C45 parks nothing while the database is what fails, however often it is tried', async () => {
    await beginAt(await log.head())
    const poison = await appendPoison(`${name}-bad`)
    const blocker = await database.connect()
    await blocker.query('create table rm.busy (); grant all on rm.busy to mcpd_app')
    await blocker.query('begin; lock table rm.busy')
    let tries = 0
    const projector = start({
      maxAttempts: 1,
      project: async (tx, batch) => {
        await project(tx, batch)
        // Once the poison has been looked for and found, what is left over meets a lock.
        if (batch.every(({ id }) => !poisonous.has(id))) {
          tries++
          await tx.query(`set local lock_timeout = '20ms'; lock table rm.busy`)
        }
      },
    })
    await eventually(() => tries >= 3)
    expect(projector.status()).toMatchObject({ status: 'failing' })
    expect(await parked().list(name)).toEqual([])
    await blocker.query('rollback')
    await caughtUp(projector)
    expect(await applied(`${name}-bad`)).toEqual([1, 2])
    expect(await parked().list(name)).toMatchObject([{ position: poison.position, behind: 2 }])
    await blocker.query('drop table rm.busy')
  })

  it('C45 finds the event also when a statement of its own made the database refuse, and writes down any error', async () => {
    const poison = await appendPoison(`${name}-bad`)
    const projector = start({
      project: async (tx, batch) => {
        await project(
          tx,
          batch.filter(({ id }) => id !== poison.id),
        )
        // Nobody looks at the answer: the transaction is spoilt all the same.
        if (batch.some(({ id }) => id === poison.id)) await tx.query('select 1 / 0').catch(() => undefined)
      },
    })
    await caughtUp(projector)
    expect(await parked().list(name)).toMatchObject([{ position: poison.position, behind: 2 }])
    const hostile = await appendPoison(`${name}-hostile`)
    const other = start({
      name: `${name}-other`,
      project: async (_, batch) => {
        if (batch.some(({ id }) => id === hostile.id)) throw new Error(`\u0000 ${'x'.repeat(100_000)}`)
      },
    })
    await caughtUp(other)
    const { rows } = await database.pool.query('select status from es.parked where processor = $1', [`${name}-other`])
    expect(rows).toHaveLength(3)
  })

  it('C45 stops at the event where the policy says so: nothing later is applied until it is let go on', async () => {
    await log.append(to(`${name}-before`, 'any', ...events(3)))
    const poison = await appendPoison(`${name}-bad`)
    await log.append(to(`${name}-after`, 'any', ...events(3)))
    const projector = start({ onPoison: 'stop' })
    await eventually(() => projector.status().status === 'stopped')
    const error = `stopped at position ${poison.position} (Happened in stream "${name}-bad"): cannot apply ${poison.id}`
    expect(projector.status()).toEqual({ name, status: 'stopped', position: poison.position - 1n, lastError: error })
    expect(await checkpoint()).toEqual({ position: poison.position - 1n, status: 'stopped', last_error: error })
    const witness = start({ onPoison: 'stop', maxAttempts: 1 })
    await eventually(() => witness.status().status === 'stopped')
    await log.append(to(`${name}-after`, 'any', event()))
    expect(await projector.waitFor(poison.position, 300)).toBe(false)
    expect(await applied(`${name}-bad`)).toEqual([1, 2])
    expect(await applied(`${name}-after`)).toEqual([])
    expect(await parked().list(name)).toMatchObject([{ position: poison.position, behind: 0 }])
    poisonous.clear()
    await parked().retry(name, poison.position)
    await caughtUp(projector)
    expect(await applied(`${name}-bad`)).toEqual([1, 2, 3, 4, 5])
    expect(await applied(`${name}-after`)).toEqual([1, 2, 3, 4])
    expect(await parked().list(name)).toEqual([])
  })

  it('C45 a processor that stopped tries again when it is started anew, and can be made to skip', async () => {
    const poison = await appendPoison(`${name}-bad`)
    const projector = start({ onPoison: 'stop' })
    await eventually(() => projector.status().status === 'stopped')
    await projector.stop()
    projector.start()
    await eventually(() => projector.status().status === 'failing')
    await eventually(() => projector.status().status === 'stopped')
    expect(reported).toEqual([poison.position, poison.position])
    await parked().skip(name, poison.position)
    await caughtUp(projector)
    expect(await applied(`${name}-bad`)).toEqual([1, 2, 4, 5])
    await eventually(() => projector.status().status === 'running')
  })

  it('retry applies what was parked in order; what still fails stays, with what is behind it', async () => {
    const stream = `${name}-bad`
    const first = await appendPoison(stream)
    const second = await appendPoison(stream)
    const projector = start()
    await caughtUp(projector)
    await expect(parked().retry(name, first.position)).resolves.toMatchObject({
      applied: 0,
      stoppedAt: { position: first.position, error: `cannot apply ${first.id}` },
    })
    poisonous.delete(first.id)
    expect(await parked().retry(name, first.position)).toEqual({
      applied: 5,
      stoppedAt: { position: second.position, type: 'Happened', error: `cannot apply ${second.id}` },
    })
    expect(await applied(stream)).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(await parked().list(name)).toMatchObject([
      { position: second.position, behind: 2, error: `cannot apply ${second.id}` },
    ])
    poisonous.clear()
    expect(await parked().retry(name, second.position)).toEqual({ applied: 3 })
    await log.append(to(stream, 'exists', event()))
    await caughtUp(projector)
    expect(await applied(stream)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    expect(await parked().list(name)).toEqual([])
  })

  it('skip leaves the event out for good, in the next version of the model too', async () => {
    const stream = `${name}-bad`
    const poison = await appendPoison(stream)
    const projector = start()
    await caughtUp(projector)
    expect(await parked().skip(name, poison.position)).toEqual({ applied: 2 })
    expect(await applied(stream)).toEqual([1, 2, 4, 5])
    expect(await parked().list(name)).toEqual([])
    await log.append(to(stream, 'exists', event()))
    await caughtUp(projector)
    expect(await applied(stream)).toEqual([1, 2, 4, 5, 6])
    await database.pool.query('delete from rm.applied where projector = $1', [name])
    await database.pool.query('update es.checkpoint set model_version = 2, position = 0 where processor = $1', [name])
    await log.append(to(stream, 'exists', event()))
    await eventually(async () => (await checkpoint()).position === (await log.head()))
    expect(await applied(stream)).toEqual([1, 2, 4, 5, 6, 7])
    expect(reported).toEqual([poison.position])
  })

  it('says what is wrong with a request that names nothing parked', async () => {
    const poison = await appendPoison(`${name}-bad`)
    await expect(parked().retry(name, 1n)).rejects.toMatchObject({ code: 'NotFound' })
    const projector = start()
    await caughtUp(projector)
    await expect(parked().list('nobody')).rejects.toThrow(`there is no processor "nobody"; there are: ${name}`)
    await expect(parked().retry('nobody', 1n)).rejects.toMatchObject({ code: 'NotFound' })
    await expect(parked().skip(name, poison.position - 1n)).rejects.toMatchObject({ code: 'NotFound' })
    await expect(parked().skip(name, poison.position + 1n)).rejects.toThrow(
      `position ${poison.position + 1n} waits for position ${poison.position} of its stream "${name}-bad"`,
    )
    await expect(
      new Parked({ pool: database.pool, projections: [{ ...projection(), fold: 'other' }] }).retry(
        name,
        poison.position,
      ),
    ).rejects.toMatchObject({ code: 'Conflict' })
    await parked().skip(name, poison.position)
    await expect(parked().skip(name, poison.position)).rejects.toMatchObject({ code: 'NotFound' })
  })

  it('nothing overtakes while streams are appended to, retried and skipped at once', async () => {
    const streams = Array.from({ length: 6 }, (_, i) => `${name}-${i}`)
    const projector = start({ batchSize: 10, maxAttempts: 1 })
    const rival = start({ batchSize: 7, maxAttempts: 1 })
    const skipped = new Map<string, number[]>()
    const writing = Promise.all(
      streams.map(async (stream, i) => {
        for (let n = 0; n < 30; n++) {
          const appended = event()
          if ((n + i) % 9 === 8) poisonous.add(appended.id)
          await log.append(to(stream, 'any', appended))
        }
      }),
    )
    const state = { writing: true }
    const operator = async (skips: boolean) => {
      for (;;) {
        const listed = await parked().list(name)
        if (listed.length === 0 && !state.writing) return
        for (const { position, streamId } of listed) {
          const [stored] = await log.read(position - 1n, 1)
          if (!skips) poisonous.delete(stored!.id)
          const done = await parked()
            [skips ? 'skip' : 'retry'](name, position)
            // The other one was faster.
            .catch((error: unknown) => expect(['NotFound', 'Conflict']).toContain((error as DomainError).code))
          if (skips && done) skipped.set(streamId, [...(skipped.get(streamId) ?? []), stored!.version])
        }
      }
    }
    const operators = Promise.all([operator(true), operator(false)])
    await writing
    await caughtUp(projector)
    await caughtUp(rival)
    state.writing = false
    await operators
    for (const stream of streams) {
      const all = Array.from({ length: 30 }, (_, i) => i + 1)
      const left = new Set(skipped.get(stream))
      expect(await applied(stream)).toEqual(all.filter((version) => !left.has(version)))
    }
    expect(skipped.size).toBeGreaterThan(0)
  })

  it('C46 a poisoned projector does not hold up a healthy one, and catches up itself', async () => {
    const poison = await appendPoison(`${name}-bad`)
    await log.append(to(`${name}-good`, 'any', ...events(20)))
    const healthy = start({ name: `${name}-healthy`, project: async () => {} })
    const parking = start({ maxAttempts: 3 })
    await caughtUp(healthy)
    await caughtUp(parking)
    expect(await applied(`${name}-good`)).toHaveLength(20)
    const { rows } = await database.pool.query<{ processor: string; position: string }>(
      'select processor, min(position)::text as position from es.parked where position >= $1 group by processor',
      [String(poison.position)],
    )
    expect(rows).toEqual([{ processor: name, position: String(poison.position) }])
  })

  describe('of events that a newer version has stored', () => {
    const catalogue = new EventCatalogue([
      { category: 'test', events: { Happened: [({ old }) => ({ renamed: old! })] } },
    ])
    const newer = new EventCatalogue([
      { category: 'test', events: { Happened: [({ old }) => ({ renamed: old! })], Invented: [] } },
    ])
    const seen: ProjectedEvent[] = []
    const collect = async (_: PoolClient, batch: ProjectedEvent[]) => void seen.push(...batch)
    const ofStream = (stream: string) => seen.filter(({ streamId }) => streamId === stream)

    it('C45 an unknown type is parked with what is behind it, never passed over, and applied after the upgrade', async () => {
      seen.length = 0
      const stream = `${name}-new`
      await log.append(
        to(stream, 'any', event({ data: { old: 1 } }), event({ type: 'Invented' }), event({ data: { old: 2 } })),
      )
      await log.append(to(`${name}-good`, 'any', event({ data: { old: 3 } })))
      const projector = start({ catalogue, project: collect })
      await caughtUp(projector)
      expect(ofStream(stream).map(({ data }) => data)).toEqual([{ renamed: 1 }])
      expect(ofStream(`${name}-good`).map(({ data }) => data)).toEqual([{ renamed: 3 }])
      const listed = (await parked().list(name)).filter(({ streamId }) => streamId === stream)
      expect(listed).toMatchObject([
        { type: 'Invented', behind: 1, error: expect.stringMatching(/upgrade this daemon/) },
      ])
      const upgraded = new Parked({ pool: database.pool, projections: [{ name, catalogue: newer, project: collect }] })
      expect(await upgraded.retry(name, listed[0]!.position)).toEqual({ applied: 2 })
      expect(ofStream(stream).map(({ type, data }) => [type, data])).toEqual([
        ['Happened', { renamed: 1 }],
        ['Invented', {}],
        ['Happened', { renamed: 2 }],
      ])
    })

    it('C45 it stops the processor where the policy says so', async () => {
      const stream = `${name}-new`
      await log.append(to(stream, 'any', event({ type: 'Invented' })))
      const [stored] = await log.readStream(stream)
      await beginAt(stored!.position - 1n)
      const projector = start({ catalogue, project: collect, onPoison: 'stop' })
      await eventually(() => projector.status().status === 'stopped')
      expect(projector.status()).toMatchObject({
        position: stored!.position - 1n,
        lastError: expect.stringMatching(/Invented.*upgrade this daemon/),
      })
    })
  })
})
