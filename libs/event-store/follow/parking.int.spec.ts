import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { PoolClient } from 'pg'
import { EventCatalogue } from '../decide/catalogue'
import { Parked } from './parked'
import type { ProjectedEvent } from '../types'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, events, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { Projecting } from '../testing/projecting'

describe('An event that a projection cannot apply', () => {
  let database: TestDatabase
  let projecting: Projecting

  beforeAll(async () => {
    database = await testDatabase()
    projecting = await Projecting.open(database)
  })
  beforeEach(() => projecting.begin())
  afterEach(() => projecting.end())
  afterAll(async () => {
    await projecting.close()
    await database.close()
  })

  it('C45 parks the event that keeps throwing and what follows it in its stream, and applies everything else', async () => {
    await projecting.log.append(to(`${projecting.name}-before`, 'any', ...events(30)))
    const poison = await projecting.appendPoison(`${projecting.name}-bad`)
    const other = await projecting.appendPoison(`${projecting.name}-worse`)
    await projecting.log.append(to(`${projecting.name}-after`, 'any', ...events(30)))
    const projector = projecting.start()
    expect(await projecting.caughtUp(projector)).toBe(true)
    await eventually(() => projector.status().status === 'running')
    expect(projector.status()).toEqual({
      name: projecting.name,
      status: 'running',
      position: await projecting.log.head(),
    })
    expect(await projecting.checkpoint()).toMatchObject({
      position: await projecting.log.head(),
      status: 'running',
      last_error: null,
    })
    for (const healthy of ['before', 'after'])
      expect(await projecting.applied(`${projecting.name}-${healthy}`)).toHaveLength(30)
    for (const broken of ['bad', 'worse'])
      expect(await projecting.applied(`${projecting.name}-${broken}`)).toEqual([1, 2])
    await eventually(() => projecting.reported.length === 2)
    expect(projecting.reported).toEqual([poison.position, other.position])
    const listed = await projecting.parked().list(projecting.name)
    expect(listed).toEqual(
      [poison, other].map(({ position, streamId, id }) => ({
        processor: projecting.name,
        position,
        streamId,
        type: 'Happened',
        error: `cannot apply ${id}`,
        since: expect.stringMatching(/^20\d\d-.*Z$/),
        behind: 2,
      })),
    )
    expect(await projecting.parked().list()).toEqual(listed)
  })

  it('C45 lets later events of a parked stream wait, also when they come in batches and processes to come', async () => {
    const stream = `${projecting.name}-bad`
    const poison = await projecting.appendPoison(stream)
    const first = projecting.start({ batchSize: 3 })
    expect(await projecting.caughtUp(first)).toBe(true)
    await projecting.log.append(to(stream, 'exists', ...events(4)))
    expect(await projecting.caughtUp(first)).toBe(true)
    await first.stop()
    const second = projecting.start()
    await projecting.log.append(to(stream, 'exists', ...events(3)))
    await projecting.log.append(to(`${projecting.name}-good`, 'any', event()))
    expect(await projecting.caughtUp(second)).toBe(true)
    expect(await projecting.applied(stream)).toEqual([1, 2])
    expect(await projecting.applied(`${projecting.name}-good`)).toEqual([1])
    expect(await projecting.parked().list(projecting.name)).toMatchObject([{ position: poison.position, behind: 9 }])
  })

  it('C45 tries a batch so often before it looks for the event, waiting longer each time', async () => {
    const poison = await projecting.appendPoison(`${projecting.name}-bad`)
    const tries: number[] = []
    const projector = projecting.start({
      maxAttempts: 4,
      project: (tx, batch) => {
        if (batch.some(({ id }) => id === poison.id)) tries.push(performance.now())
        return projecting.project(tx, batch)
      },
    })
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(tries.length).toBeGreaterThan(4)
    const waits = tries.slice(1, 5).map((time, i) => time - tries[i]!)
    ;[50, 100, 200, 400].forEach((least, i) => expect(waits[i]).toBeGreaterThanOrEqual(least - 5))
  })

  it('C45 parks nothing for a fault that passes', async () => {
    const poison = await projecting.appendPoison(`${projecting.name}-bad`)
    const projector = projecting.start({ maxAttempts: 5 })
    await eventually(() => projector.status().status === 'failing')
    projecting.poisonous.delete(poison.id)
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.applied(`${projecting.name}-bad`)).toEqual([1, 2, 3, 4, 5])
    expect(await projecting.parked().list(projecting.name)).toEqual([])
    expect(projecting.reported).toEqual([])
  })

  it('C45 parks nothing while the database is what fails, however often it is tried', async () => {
    await projecting.beginAt(await projecting.log.head())
    const poison = await projecting.appendPoison(`${projecting.name}-bad`)
    const blocker = await database.connect()
    await blocker.query('create table rm.busy (); grant all on rm.busy to mcpd_app')
    await blocker.query('begin; lock table rm.busy')
    let tries = 0
    const projector = projecting.start({
      maxAttempts: 1,
      project: async (tx, batch) => {
        await projecting.project(tx, batch)
        // Once the poison has been looked for and found, what is left over meets a lock.
        if (batch.every(({ id }) => !projecting.poisonous.has(id))) {
          tries++
          await tx.query(`set local lock_timeout = '20ms'; lock table rm.busy`)
        }
      },
    })
    await eventually(() => tries >= 3)
    expect(projector.status()).toMatchObject({ status: 'failing' })
    expect(await projecting.parked().list(projecting.name)).toEqual([])
    await blocker.query('rollback')
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.applied(`${projecting.name}-bad`)).toEqual([1, 2])
    expect(await projecting.parked().list(projecting.name)).toMatchObject([{ position: poison.position, behind: 2 }])
    await blocker.query('drop table rm.busy')
  })

  it('C45 finds the event also when a statement of its own made the database refuse, and writes down any error', async () => {
    const poison = await projecting.appendPoison(`${projecting.name}-bad`)
    const projector = projecting.start({
      project: async (tx, batch) => {
        await projecting.project(
          tx,
          batch.filter(({ id }) => id !== poison.id),
        )
        // Nobody looks at the answer: the transaction is spoilt all the same.
        if (batch.some(({ id }) => id === poison.id)) await tx.query('select 1 / 0').catch(() => undefined)
      },
    })
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.parked().list(projecting.name)).toMatchObject([{ position: poison.position, behind: 2 }])
    const hostile = await projecting.appendPoison(`${projecting.name}-hostile`)
    const other = projecting.start({
      name: `${projecting.name}-other`,
      project: async (_, batch) => {
        if (batch.some(({ id }) => id === hostile.id)) throw new Error(`\u0000 ${'x'.repeat(100_000)}`)
      },
    })
    expect(await projecting.caughtUp(other)).toBe(true)
    const { rows } = await projecting.pool.query('select status from es.parked where processor = $1', [
      `${projecting.name}-other`,
    ])
    expect(rows).toHaveLength(3)
  })

  it('C45 stops at the event where the policy says so: nothing later is applied until it is let go on', async () => {
    await projecting.log.append(to(`${projecting.name}-before`, 'any', ...events(3)))
    const poison = await projecting.appendPoison(`${projecting.name}-bad`)
    await projecting.log.append(to(`${projecting.name}-after`, 'any', ...events(3)))
    const projector = projecting.start({ onPoison: 'stop' })
    await eventually(() => projector.status().status === 'stopped')
    const error = `stopped at position ${poison.position} (Happened in stream "${projecting.name}-bad"): cannot apply ${poison.id}`
    expect(projector.status()).toEqual({
      name: projecting.name,
      status: 'stopped',
      position: poison.position - 1n,
      lastError: error,
    })
    expect(await projecting.checkpoint()).toMatchObject({
      position: poison.position - 1n,
      status: 'stopped',
      last_error: error,
    })
    const witness = projecting.start({ onPoison: 'stop', maxAttempts: 1 })
    await eventually(() => witness.status().status === 'stopped')
    await projecting.log.append(to(`${projecting.name}-after`, 'any', event()))
    expect(await projector.waitFor(poison.position, 300)).toBe(false)
    expect(await projecting.applied(`${projecting.name}-bad`)).toEqual([1, 2])
    expect(await projecting.applied(`${projecting.name}-after`)).toEqual([])
    expect(await projecting.parked().list(projecting.name)).toMatchObject([{ position: poison.position, behind: 0 }])
    projecting.poisonous.clear()
    await projecting.parked().retry(projecting.name, poison.position)
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.applied(`${projecting.name}-bad`)).toEqual([1, 2, 3, 4, 5])
    expect(await projecting.applied(`${projecting.name}-after`)).toEqual([1, 2, 3, 4])
    expect(await projecting.parked().list(projecting.name)).toEqual([])
  })

  it('C45 a processor that stopped tries again when it is started anew, and can be made to skip', async () => {
    const poison = await projecting.appendPoison(`${projecting.name}-bad`)
    const projector = projecting.start({ onPoison: 'stop' })
    await eventually(() => projector.status().status === 'stopped')
    await projector.stop()
    projector.start()
    await eventually(() => projector.status().status === 'failing')
    await eventually(() => projector.status().status === 'stopped')
    expect(projecting.reported).toEqual([poison.position, poison.position])
    await projecting.parked().skip(projecting.name, poison.position)
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.applied(`${projecting.name}-bad`)).toEqual([1, 2, 4, 5])
    await eventually(() => projector.status().status === 'running')
  })

  it('C46 a poisoned projector does not hold up a healthy one, and catches up itself', async () => {
    const poison = await projecting.appendPoison(`${projecting.name}-bad`)
    await projecting.log.append(to(`${projecting.name}-good`, 'any', ...events(20)))
    const healthy = projecting.start({ name: `${projecting.name}-healthy`, project: async () => {} })
    const parking = projecting.start({ maxAttempts: 3 })
    expect(await projecting.caughtUp(healthy)).toBe(true)
    expect(await projecting.caughtUp(parking)).toBe(true)
    expect(await projecting.applied(`${projecting.name}-good`)).toHaveLength(20)
    const { rows } = await projecting.pool.query<{ processor: string; position: string }>(
      'select processor, min(position)::text as position from es.parked where position >= $1 group by processor',
      [String(poison.position)],
    )
    expect(rows).toEqual([{ processor: projecting.name, position: String(poison.position) }])
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
      const stream = `${projecting.name}-new`
      await projecting.log.append(
        to(stream, 'any', event({ data: { old: 1 } }), event({ type: 'Invented' }), event({ data: { old: 2 } })),
      )
      await projecting.log.append(to(`${projecting.name}-good`, 'any', event({ data: { old: 3 } })))
      const projector = projecting.start({ catalogue, project: collect })
      expect(await projecting.caughtUp(projector)).toBe(true)
      expect(ofStream(stream).map(({ data }) => data)).toEqual([{ renamed: 1 }])
      expect(ofStream(`${projecting.name}-good`).map(({ data }) => data)).toEqual([{ renamed: 3 }])
      const listed = (await projecting.parked().list(projecting.name)).filter(({ streamId }) => streamId === stream)
      expect(listed).toMatchObject([
        { type: 'Invented', behind: 1, error: expect.stringMatching(/upgrade this daemon/) },
      ])
      const upgraded = new Parked({
        pool: projecting.pool,
        projections: [{ name: projecting.name, catalogue: newer, project: collect }],
      })
      expect(await upgraded.retry(projecting.name, listed[0]!.position)).toEqual({ applied: 2 })
      expect(ofStream(stream).map(({ type, data }) => [type, data])).toEqual([
        ['Happened', { renamed: 1 }],
        ['Invented', {}],
        ['Happened', { renamed: 2 }],
      ])
    })

    it('C45 it stops the processor where the policy says so', async () => {
      const stream = `${projecting.name}-new`
      await projecting.log.append(to(stream, 'any', event({ type: 'Invented' })))
      const [stored] = await projecting.log.readStream(stream)
      await projecting.beginAt(stored!.position - 1n)
      const projector = projecting.start({ catalogue, project: collect, onPoison: 'stop' })
      await eventually(() => projector.status().status === 'stopped')
      expect(projector.status()).toMatchObject({
        position: stored!.position - 1n,
        lastError: expect.stringMatching(/Invented.*upgrade this daemon/),
      })
    })
  })
})
