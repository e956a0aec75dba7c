import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, events, to } from '../testing/event-fixtures'
import { PostgresEventLog } from '../postgres-event-log'
import { Follower } from './follower'
import { Projector } from './projector'

describe('Where a projector begins', () => {
  let database: TestDatabase
  let log: PostgresEventLog
  let follower: Follower
  let projectors: Projector[]
  let seen: { position: bigint; version: number }[]

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
    follower = new Follower({ pool: database.pool })
    await follower.start()
    await log.append(to('before', 'none', ...events(20)))
  })
  afterAll(async () => {
    await follower.stop()
    await database.close()
  })
  beforeEach(() => {
    projectors = []
    seen = []
  })
  afterEach(async () => {
    for (const projector of projectors) await projector.stop()
  })

  const start = (name: string) => {
    const projector = new Projector({
      pool: database.pool,
      follower,
      name,
      batchSize: 7,
      project: async (_, batch) => void seen.push(...batch),
    })
    projectors.push(projector)
    projector.start()
    return projector
  }
  /** A checkpoint that is there before its projector is where the projector begins. */
  const placeAt = (name: string, position: bigint) =>
    database.pool.query('insert into es.checkpoint (processor, model_version, position) values ($1, 1, $2)', [
      name,
      String(position),
    ])
  const positions = () => seen.map(({ position }) => position)
  const between = (after: bigint, head: bigint) =>
    Array.from({ length: Number(head - after) }, (_, i) => after + BigInt(i) + 1n)

  it('C43 without a checkpoint at the first event', async () => {
    const projector = start('from-beginning')
    expect(await projector.waitFor(await log.head(), 30_000)).toBe(true)
    expect(positions()).toEqual(between(0n, await log.head()))
  })

  it('C43 at a position with the event that follows it', async () => {
    await placeAt('from-position', 13n)
    const projector = start('from-position')
    expect(await projector.waitFor(await log.head(), 30_000)).toBe(true)
    expect(positions()).toEqual(between(13n, await log.head()))
  })

  it('C43 at the end with what is appended from then on', async () => {
    const head = await log.head()
    await placeAt('from-end', head)
    const projector = start('from-end')
    expect(await projector.waitFor(head, 30_000)).toBe(true)
    expect(seen).toEqual([])
    await log.append(to('later', 'any', ...events(3)))
    expect(await projector.waitFor(head + 3n, 30_000)).toBe(true)
    expect(positions()).toEqual(between(head, head + 3n))
  })

  it('C43 where it stopped, any number of times', async () => {
    const after = await log.head()
    await placeAt('restarted', after)
    for (const _ of Array.from({ length: 5 })) {
      const projector = start('restarted')
      await log.append(to('restarts', 'any', ...events(10)))
      expect(await projector.waitFor(await log.head(), 30_000)).toBe(true)
      await projector.stop()
      await log.append(to('restarts', 'any', ...events(4)))
    }
    const last = start('restarted')
    expect(await last.waitFor(await log.head(), 30_000)).toBe(true)
    expect(positions()).toEqual(between(after, await log.head()))
  })

  it('C15 versions beyond 2^31 arrive as they are', async () => {
    const owner = await database.connect()
    await log.append(to('c15', 'none', event()))
    await owner.query('begin; set local session_replication_role = replica')
    await owner.query(`update es.event set version = 2147483647 where stream_id = 'c15'`)
    await owner.query('commit')
    const head = await log.head()
    await placeAt('large-versions', head - 1n)
    const projector = start('large-versions')
    await log.append(to('c15', 2147483647, ...events(2)))
    expect(await projector.waitFor(head + 2n, 30_000)).toBe(true)
    expect(seen.map(({ version }) => version)).toEqual([2147483647, 2147483648, 2147483649])
    expect(await log.readStream('c15', { from: 2147483648 })).toHaveLength(2)
    expect(await log.readStream('c15', { from: 2147483648, backwards: true })).toHaveLength(2)
  })
})
