import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { type DomainError } from '@mcpctl/contracts'
import { Parked } from './parked'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { Projecting } from '../testing/projecting'

describe('Parked', () => {
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

  it('retry applies what was parked in order; what still fails stays, with what is behind it', async () => {
    const stream = `${projecting.name}-bad`
    const first = await projecting.appendPoison(stream)
    const second = await projecting.appendPoison(stream)
    const projector = projecting.start()
    expect(await projecting.caughtUp(projector)).toBe(true)
    await expect(projecting.parked().retry(projecting.name, first.position)).resolves.toMatchObject({
      applied: 0,
      stoppedAt: { position: first.position, error: `cannot apply ${first.id}` },
    })
    projecting.poisonous.delete(first.id)
    expect(await projecting.parked().retry(projecting.name, first.position)).toEqual({
      applied: 5,
      stoppedAt: { position: second.position, type: 'Happened', error: `cannot apply ${second.id}` },
    })
    expect(await projecting.applied(stream)).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(await projecting.parked().list(projecting.name)).toMatchObject([
      { position: second.position, behind: 2, error: `cannot apply ${second.id}` },
    ])
    projecting.poisonous.clear()
    expect(await projecting.parked().retry(projecting.name, second.position)).toEqual({ applied: 3 })
    await projecting.log.append(to(stream, 'exists', event()))
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.applied(stream)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    expect(await projecting.parked().list(projecting.name)).toEqual([])
  })

  it('skip leaves the event out for good, in the next version of the model too', async () => {
    const stream = `${projecting.name}-bad`
    const poison = await projecting.appendPoison(stream)
    const projector = projecting.start()
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.parked().skip(projecting.name, poison.position)).toEqual({ applied: 2 })
    expect(await projecting.applied(stream)).toEqual([1, 2, 4, 5])
    expect(await projecting.parked().list(projecting.name)).toEqual([])
    await projecting.log.append(to(stream, 'exists', event()))
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.applied(stream)).toEqual([1, 2, 4, 5, 6])
    await projecting.pool.query('delete from rm.applied where projector = $1', [projecting.name])
    await projecting.pool.query('update es.checkpoint set model_version = 2, position = 0 where processor = $1', [
      projecting.name,
    ])
    await projecting.log.append(to(stream, 'exists', event()))
    await eventually(async () => (await projecting.checkpoint()).position === (await projecting.log.head()))
    expect(await projecting.applied(stream)).toEqual([1, 2, 4, 5, 6, 7])
    expect(projecting.reported).toEqual([poison.position])
  })

  it('says what is wrong with a request that names nothing parked', async () => {
    const poison = await projecting.appendPoison(`${projecting.name}-bad`)
    await expect(projecting.parked().retry(projecting.name, 1n)).rejects.toMatchObject({ code: 'NotFound' })
    const projector = projecting.start()
    expect(await projecting.caughtUp(projector)).toBe(true)
    await expect(projecting.parked().list('nobody')).rejects.toThrow(
      `there is no processor "nobody"; there are: ${projecting.name}`,
    )
    await expect(projecting.parked().retry('nobody', 1n)).rejects.toMatchObject({ code: 'NotFound' })
    await expect(projecting.parked().skip(projecting.name, poison.position - 1n)).rejects.toMatchObject({
      code: 'NotFound',
    })
    await expect(projecting.parked().skip(projecting.name, poison.position + 1n)).rejects.toThrow(
      `position ${poison.position + 1n} waits for position ${poison.position} of its stream "${projecting.name}-bad"`,
    )
    await expect(
      new Parked({
        pool: projecting.pool,
        projections: [{ name: projecting.name, project: projecting.project, fold: 'other' }],
      }).retry(projecting.name, poison.position),
    ).rejects.toMatchObject({ code: 'Conflict' })
    await projecting.parked().skip(projecting.name, poison.position)
    await expect(projecting.parked().skip(projecting.name, poison.position)).rejects.toMatchObject({ code: 'NotFound' })
  })

  it('nothing overtakes while streams are appended to, retried and skipped at once', async () => {
    const streams = Array.from({ length: 6 }, (_, i) => `${projecting.name}-${i}`)
    const projector = projecting.start({ batchSize: 10, maxAttempts: 1 })
    const rival = projecting.start({ batchSize: 7, maxAttempts: 1 })
    const skipped = new Map<string, number[]>()
    const writing = Promise.all(
      streams.map(async (stream, i) => {
        for (let n = 0; n < 30; n++) {
          const appended = event()
          if ((n + i) % 9 === 8) projecting.poisonous.add(appended.id)
          await projecting.log.append(to(stream, 'any', appended))
        }
      }),
    )
    const state = { writing: true }
    const operator = async (skips: boolean) => {
      for (;;) {
        const listed = await projecting.parked().list(projecting.name)
        if (listed.length === 0 && !state.writing) return
        for (const { position, streamId } of listed) {
          const [stored] = await projecting.log.read(position - 1n, 1)
          if (!skips) projecting.poisonous.delete(stored!.id)
          const done = await projecting
            .parked()
            [skips ? 'skip' : 'retry'](projecting.name, position)
            // The other one was faster.
            .catch((error: unknown) => expect(['NotFound', 'Conflict']).toContain((error as DomainError).code))
          if (skips && done) skipped.set(streamId, [...(skipped.get(streamId) ?? []), stored!.version])
        }
      }
    }
    const operators = Promise.all([operator(true), operator(false)])
    await writing
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.caughtUp(rival)).toBe(true)
    state.writing = false
    await operators
    for (const stream of streams) {
      const all = Array.from({ length: 30 }, (_, i) => i + 1)
      const left = new Set(skipped.get(stream))
      expect(await projecting.applied(stream)).toEqual(all.filter((version) => !left.has(version)))
    }
    expect(skipped.size).toBeGreaterThan(0)
  })
})
