import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { PoolClient } from 'pg'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, events, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { Projecting } from '../testing/projecting'
import type { ProjectedEvent } from '../types'

describe('A projection that throws at every event', () => {
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

  const broken = { broken: true }
  const project = async (tx: PoolClient, batch: ProjectedEvent[]) => {
    await projecting.project(tx, batch)
    if (broken.broken) throw new Error('the table is gone')
  }
  beforeEach(() => {
    broken.broken = true
  })
  const appendTo = (count: number, what: string) =>
    projecting.log.append({
      streams: Array.from({ length: count }, (_, i) => ({
        streamId: `${projecting.name}-${what}-${i}`,
        category: 'test',
        expected: 'any',
        events: events(2),
      })),
    })
  const parkedStreams = async () =>
    (await projecting.parked().list(projecting.name)).map(({ streamId }) => streamId.slice(projecting.name.length + 1))

  it('C45 parks nothing of what has piled up, says that it is failing, and catches up once it works', async () => {
    await appendTo(30, 'piled')
    const head = await projecting.log.head()
    const projector = projecting.start({ maxAttempts: 2, systemicAfter: 5, project })
    await eventually(() => projector.status().lastError?.startsWith('5 streams in a row failed') === true)
    expect(projector.status()).toMatchObject({ status: 'failing', position: head - 60n })
    expect(projector.status().lastError).toMatch(
      new RegExp(`the last failed at position ${head - 51n} \\(Happened in stream ".*-4"\\): the table is gone$`),
    )
    expect(await projecting.checkpoint()).toMatchObject({ status: 'failing', position: head - 60n })
    expect(await parkedStreams()).toEqual([])
    expect(projecting.reported).toEqual([])
    broken.broken = false
    expect(await projecting.caughtUp(projector)).toBe(true)
    await eventually(() => projector.status().status === 'running')
    expect(await projecting.seen()).toHaveLength(60)
    expect(await parkedStreams()).toEqual([])
  })

  it('C45 parks no more than so many streams of those that come one by one; what was parked stays', async () => {
    const projector = projecting.start({ maxAttempts: 1, systemicAfter: 3, project })
    for (const stream of ['first', 'second']) {
      await projecting.log.append(to(`${projecting.name}-${stream}`, 'none', event()))
      expect(await projecting.caughtUp(projector)).toBe(true)
    }
    const third = event()
    projecting.poisonous.add(third.id)
    await projecting.log.append(to(`${projecting.name}-third`, 'none', third))
    await eventually(() => projector.status().lastError?.startsWith('3 streams in a row failed') === true)
    // What waits behind a parked event is no success.
    await projecting.log.append(to(`${projecting.name}-first`, 'any', event()))
    const attempts = async () => (await projecting.checkpoint()).attempts
    const before = await attempts()
    await eventually(async () => (await attempts()) > before + 2)
    expect(await parkedStreams()).toEqual(['first', 'second'])
    broken.broken = false
    await projecting.log.append(to(`${projecting.name}-fourth`, 'none', event()))
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.applied(`${projecting.name}-fourth`)).toEqual([1])
    const listed = await projecting.parked().list(projecting.name)
    expect(listed).toMatchObject([{ behind: 1 }, { behind: 0 }, { error: `cannot apply ${third.id}` }])
    projecting.poisonous.clear()
    for (const { position } of listed) await projecting.parked().retry(projecting.name, position)
    for (const [stream, versions] of Object.entries({ first: [1, 2], second: [1], third: [1] }))
      expect(await projecting.applied(`${projecting.name}-${stream}`)).toEqual(versions)
  })

  it('C45 and then only at one of them parks that one and goes on', async () => {
    const poison = await projecting.appendPoison(`${projecting.name}-bad`)
    await appendTo(10, 'good')
    const projector = projecting.start({ maxAttempts: 1, systemicAfter: 3, project })
    await eventually(() => projector.status().lastError?.startsWith('3 streams in a row failed') === true)
    broken.broken = false
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.parked().list(projecting.name)).toMatchObject([{ position: poison.position, behind: 2 }])
    expect(await projecting.seen()).toHaveLength(22)
  })

  it('C45 of many streams, and applies those in between, has its events to blame: they are parked', async () => {
    broken.broken = false
    const poisons: bigint[] = []
    for (let i = 0; i < 8; i++) poisons.push((await projecting.appendPoison(`${projecting.name}-${i}`)).position)
    const projector = projecting.start({ maxAttempts: 1, systemicAfter: 3, project })
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect((await projecting.parked().list(projecting.name)).map(({ position }) => position)).toEqual(poisons)
  })
})
