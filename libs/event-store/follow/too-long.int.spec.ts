import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { PoolClient } from 'pg'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { events, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { Projecting } from '../testing/projecting'
import type { ProjectedEvent } from '../types'

describe('A projection that takes too long', () => {
  let database: TestDatabase
  let projecting: Projecting

  beforeAll(async () => {
    database = await testDatabase()
    projecting = await Projecting.open(database)
  })
  beforeEach(async () => {
    projecting.begin()
    await projecting.beginAt(await projecting.log.head())
  })
  afterEach(() => projecting.end())
  afterAll(async () => {
    await projecting.close()
    await database.close()
  })

  /** As slow as told about the poisonous events. */
  const slowly = (spend: (tx: PoolClient) => Promise<unknown>) => async (tx: PoolClient, batch: ProjectedEvent[]) => {
    const healthy = batch.filter(({ id }) => !projecting.poisonous.has(id))
    await projecting.project(tx, healthy)
    if (healthy.length < batch.length) await spend(tx)
  }
  const inAStatement = (tx: PoolClient) => tx.query('select pg_sleep(10)')
  // Longer than a transaction may idle.
  const outsideOfTheDatabase = () => delay(1_500)
  const healthyToo = async () => {
    const poison = await projecting.appendPoison(`${projecting.name}-slow`)
    await projecting.log.append(to(`${projecting.name}-quick`, 'any', ...events(3)))
    return poison
  }
  const expectOnlySlowParked = async (position: bigint, error: RegExp) => {
    expect(await projecting.parked().list(projecting.name)).toMatchObject([
      { position, behind: 2, error: expect.stringMatching(error) },
    ])
    expect(await projecting.applied(`${projecting.name}-slow`)).toEqual([1, 2])
    expect(await projecting.applied(`${projecting.name}-quick`)).toEqual([1, 2, 3])
  }

  it('C45 with a batch gets half of it, and again half, and more again when it is quick enough', async () => {
    const from = await projecting.log.head()
    await projecting.log.append(to(`${projecting.name}-many`, 'any', ...events(64)))
    const sizes: number[] = []
    const state = { slow: true }
    const projector = projecting.start({
      batchSize: 32,
      maxAttempts: 2,
      statementTimeoutMs: 500,
      project: async (tx, batch) => {
        sizes.push(batch.length)
        await projecting.project(tx, batch)
        if (state.slow && batch.length > 6) await tx.query('select pg_sleep(10)')
      },
    })
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(sizes.slice(0, 4)).toEqual([32, 16, 8, 4])
    state.slow = false
    await projecting.log.append(to(`${projecting.name}-many`, 'any', ...events(100)))
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(sizes).toContain(32)
    expect(sizes.slice(4)).toContain(32)
    expect(await projecting.seen()).toEqual((await projecting.everything()).filter((position) => position > from))
    expect(await projecting.parked().list(projecting.name)).toEqual([])
  })

  it('C45 outside of the database, too', async () => {
    await projecting.log.append(to(`${projecting.name}-many`, 'any', ...events(6)))
    const sizes: number[] = []
    const projector = projecting.start({
      batchSize: 4,
      maxAttempts: 2,
      project: async (tx, batch) => {
        sizes.push(batch.length)
        await projecting.project(tx, batch)
        if (batch.length > 2) await outsideOfTheDatabase()
      },
    })
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(sizes.slice(0, 2)).toEqual([4, 2])
    expect(await projecting.applied(`${projecting.name}-many`)).toEqual([1, 2, 3, 4, 5, 6])
    expect(await projecting.parked().list(projecting.name)).toEqual([])
  })

  it('C45 with one event parks that, and says why a retry has not helped', async () => {
    const poison = await healthyToo()
    const projector = projecting.start({ maxAttempts: 2, statementTimeoutMs: 500, project: slowly(inAStatement) })
    expect(await projecting.caughtUp(projector)).toBe(true)
    await expectOnlySlowParked(poison.position, /statement timeout/)
    expect(projecting.reported).toEqual([poison.position])
    const blocker = await database.connect()
    await blocker.query('begin; lock table rm.applied')
    const retried = projecting.parked().retry(projecting.name, poison.position)
    await expect(retried).rejects.toMatchObject({ code: 'Unavailable', message: expect.stringContaining('the retry') })
    await blocker.query('rollback')
    projecting.poisonous.clear()
    expect(await projecting.parked().retry(projecting.name, poison.position)).toEqual({ applied: 3 })
  })

  it('C45 with one event outside of the database parks that as well', async () => {
    const poison = await healthyToo()
    const project = slowly(outsideOfTheDatabase)
    const projector = projecting.start({ maxAttempts: 2, batchSize: 4, project })
    expect(await projecting.caughtUp(projector)).toBe(true)
    await expectOnlySlowParked(poison.position, /idle-in-transaction timeout/)
  })

  it('C45 with one event stops there where the policy says so', async () => {
    const poison = await healthyToo()
    const projector = projecting.start({
      maxAttempts: 2,
      statementTimeoutMs: 500,
      onPoison: 'stop',
      project: slowly(inAStatement),
    })
    await eventually(() => projector.status().status === 'stopped')
    expect(projector.status()).toMatchObject({ position: poison.position - 1n })
    expect(await projecting.applied(`${projecting.name}-quick`)).toEqual([])
  })

  it('C45 because a lock holds it up is tried until it gets the lock', async () => {
    const blocker = await database.connect()
    await blocker.query('begin; lock table rm.applied')
    await projecting.append(3)
    const projector = projecting.start({ maxAttempts: 1 })
    await eventually(() => projector.status().status === 'failing')
    expect(projector.status().lastError).toMatch(/lock timeout/)
    await blocker.query('rollback')
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.parked().list(projecting.name)).toEqual([])
  })
})
