import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { Client } from 'pg'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { Projecting } from '../testing/projecting'

describe('Projector', () => {
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

  it('C43 applies every event once, in order, from the beginning, and goes on where it stopped', async () => {
    await projecting.append(50)
    const first = projecting.start({ batchSize: 7 })
    expect(await first.waitFor(await projecting.log.head(), 30_000)).toBe(true)
    await first.stop()
    expect(first.status()).toMatchObject({
      name: projecting.name,
      status: 'stopped',
      position: await projecting.log.head(),
    })
    await projecting.append(20)
    const second = projecting.start({ batchSize: 7 })
    expect(await second.waitFor(await projecting.log.head(), 30_000)).toBe(true)
    expect(await projecting.seen()).toEqual(await projecting.everything())
  })

  it('tells whoever waits as soon as its own append is applied', async () => {
    const projector = projecting.start()
    const verdict = await projecting.log.append(to('waited', 'any', event()))
    if (verdict.status !== 'ok') throw new Error('not stored')
    expect(await projector.waitFor(verdict.last!, 30_000)).toBe(true)
    expect(await projecting.seen()).toContain(verdict.last)
    expect(await projector.waitFor(verdict.last! + 1n, 50)).toBe(false)
  })

  it('C45 takes a batch back that throws, says so, tries again later, and goes on once it works', async () => {
    let broken = true
    const projector = projecting.start({
      maxAttempts: 1_000,
      project: async (tx, batch) => {
        await projecting.project(tx, batch)
        if (broken) throw new Error('cannot fold this')
      },
    })
    await projecting.append(3)
    await eventually(() => projector.status().status === 'failing')
    expect(projector.status()).toEqual({
      name: projecting.name,
      position: 0n,
      status: 'failing',
      lastError: 'cannot fold this',
    })
    await eventually(async () => (await projecting.checkpoint()).attempts >= 2)
    expect(await projecting.checkpoint()).toMatchObject({
      position: 0n,
      status: 'failing',
      last_error: 'cannot fold this',
    })
    expect(await projecting.seen()).toEqual([])
    broken = false
    expect(await projector.waitFor(await projecting.log.head(), 30_000)).toBe(true)
    await eventually(() => projector.status().status === 'running')
    expect(await projecting.checkpoint()).toMatchObject({ status: 'running', attempts: 0, last_error: null })
    expect(await projecting.seen()).toEqual(await projecting.everything())
  })

  it('C46 does not suffer from another one that cannot go on', async () => {
    const poisoned = projecting.start({
      name: `${projecting.name}-poisoned`,
      onPoison: 'stop',
      maxAttempts: 2,
      project: async (_, batch) => {
        if (batch.some(({ type }) => type === 'Poison')) throw new Error('poison')
      },
    })
    const healthy = projecting.start()
    await projecting.append(5)
    const before = await projecting.log.head()
    expect(await poisoned.waitFor(before, 30_000)).toBe(true)
    await projecting.log.append(to('poison', 'any', event({ type: 'Poison' })))
    await projecting.append(5)
    expect(await healthy.waitFor(await projecting.log.head(), 30_000)).toBe(true)
    await eventually(() => poisoned.status().status === 'stopped')
    expect(poisoned.status()).toMatchObject({ position: before, lastError: expect.stringContaining('poison') })
    expect(await projecting.seen()).toEqual(await projecting.everything())
  })

  it('C47 two daemons apply each event once, and both know when it is applied', async () => {
    const otherPool = projecting.daemon(`other-${projecting.name}`)
    const otherFollower = await projecting.follow(otherPool)
    const here = projecting.start({ batchSize: 3 })
    const there = projecting.start({ pool: otherPool, follower: otherFollower, batchSize: 3 })
    for (let round = 0; round < 10; round++) {
      await projecting.append(5)
      const head = await projecting.log.head()
      expect(await Promise.all([here.waitFor(head, 30_000), there.waitFor(head, 30_000)])).toEqual([true, true])
    }
    expect(await projecting.seen()).toEqual(await projecting.everything())
  })

  it('C47 takes over from a daemon that hangs in its transaction', async () => {
    const hung = await database.connect({ role: 'mcpd_app' })
    const projector = projecting.start()
    expect(await projector.waitFor(await projecting.log.head(), 30_000)).toBe(true)
    await hung.query(`begin; set local idle_in_transaction_session_timeout = '4s'`)
    await hung.query('select from es.checkpoint where processor = $1 for update', [projecting.name])
    await projecting.append(1)
    expect(await projector.waitFor(await projecting.log.head(), 200)).toBe(false)
    expect(await projector.waitFor(await projecting.log.head(), 30_000)).toBe(true)
  })

  it('goes on in the version of the model that is active, whichever process makes it so', async () => {
    await projecting.append(3)
    const projector = projecting.start({ batchSize: 2 })
    expect(await projector.waitFor(await projecting.log.head(), 30_000)).toBe(true)
    const swap = async (client: Client) => {
      await client.query('begin')
      const { rows } = await client.query<{ position: string }>(
        'delete from es.checkpoint where processor = $1 returning position',
        [projecting.name],
      )
      await client.query('insert into es.checkpoint (processor, model_version, position) values ($1, 2, $2)', [
        projecting.name,
        rows[0]!.position,
      ])
      await client.query('commit')
    }
    const appending = projecting.append(20)
    await swap(await database.connect({ role: 'mcpd_app' }))
    await appending
    expect(await projector.waitFor(await projecting.log.head(), 30_000)).toBe(true)
    const { rows } = await projecting.pool.query<{ model_version: number; position: string }>(
      'select model_version, position::text from es.checkpoint where processor = $1',
      [projecting.name],
    )
    expect(rows).toEqual([{ model_version: 2, position: String(await projecting.log.head()) }])
    expect(await projecting.seen()).toEqual(await projecting.everything())
  })

  it('leaves a model alone that other code has folded, and still tells how far it is', async () => {
    const other = projecting.start({ fold: 'theirs' })
    await projecting.append(2)
    expect(await other.waitFor(await projecting.log.head(), 30_000)).toBe(true)
    await other.stop()
    const projector = projecting.start({ fold: 'ours' })
    await eventually(() => projector.status().status === 'waiting')
    await projecting.append(1)
    expect(await projector.waitFor(await projecting.log.head(), 1_500)).toBe(false)
    expect(projector.status().position).toBe((await projecting.log.head()) - 1n)
    const heir = projecting.start({ fold: 'ours', alsoFolds: ['theirs'] })
    expect(await projector.waitFor(await projecting.log.head(), 30_000)).toBe(true)
    await eventually(() => heir.status().status === 'running')
    expect(await projecting.seen()).toEqual(await projecting.everything())
  })
})
