import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import type { PoolClient } from 'pg'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { Projecting } from '../testing/projecting'
import { faultyLine } from '../testing/faulty-line'
import { Follower } from './follower'
import { PostgresEventLog } from '../postgres-event-log'
import type { ProjectedEvent } from '../types'

describe('A projector that is disturbed', () => {
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

  const killConnections = async (application: string) => {
    const owner = await database.connect()
    const text =
      'select count(pg_terminate_backend(pid))::int as killed from pg_stat_activity where application_name = $1'
    const { rows } = await owner.query<{ killed: number }>(text, [application])
    await owner.end()
    return rows[0]?.killed ?? 0
  }

  it('C44 loses and doubles nothing when its connection is killed in the middle of batches', async () => {
    const application = `killed-${projecting.name}`
    const pool = projecting.daemon(application)
    let kills = 0
    const projector = projecting.start({
      pool,
      batchSize: 5,
      project: async (tx, batch) => {
        await projecting.project(tx, batch)
        // The rows are written and the checkpoint is not.
        if (kills < 5 && batch.at(-1)!.position % 2n === 0n) kills += await killConnections(application)
        await tx.query('select 1')
      },
    })
    await projecting.append(60)
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(kills).toBeGreaterThanOrEqual(5)
    expect(await projecting.seen()).toEqual(await projecting.everything())
  })

  it('C50 goes on when notifications are lost, and listens again', async () => {
    const application = `listener-${projecting.name}`
    const pool = projecting.daemon(application)
    const lonely = await projecting.follow(pool)
    const projector = projecting.start({ follower: lonely })
    expect(await projecting.caughtUp(projector)).toBe(true)
    const listening = async () => {
      const text = `select pid from pg_stat_activity where application_name = $1 and query ilike '%listen%'`
      const owner = await database.connect()
      const { rows } = await owner.query<{ pid: number }>(text, [application])
      await owner.end()
      return rows[0]?.pid
    }
    const lost = await listening()
    expect(await killConnections(application)).toBeGreaterThan(0)
    await projecting.append(100)
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.seen()).toEqual(await projecting.everything())
    await eventually(async () => ![undefined, lost].includes(await listening()))
  })

  it('C50 the poll alone delivers everything when nobody can listen', async () => {
    const line = await faultyLine(database.url)
    projecting.later(line.close)
    line.cut()
    const deaf = await projecting.follow(projecting.daemon('deaf', line.url))
    const projector = projecting.start({ follower: deaf })
    for (let round = 0; round < 2; round++) {
      await projecting.append(100)
      expect(await projecting.caughtUp(projector)).toBe(true)
    }
    expect(await projecting.seen()).toEqual(await projecting.everything())
  })

  it('C45 a log that is busy costs no attempt and parks nothing', async () => {
    await projecting.append(1)
    let refusals = 4
    const project = async (tx: PoolClient, batch: ProjectedEvent[]) => {
      if (refusals-- > 0) throw new DomainError('Unavailable', 'the log is held by somebody else', { retryAfter: 1 })
      await projecting.project(tx, batch)
    }
    const projector = projecting.start({ project, maxAttempts: 2 })
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.seen()).toEqual(await projecting.everything())
    const { rows } = await projecting.pool.query('select from es.parked where processor = $1', [projecting.name])
    expect(rows).toEqual([])
  })

  it('sees at once what is appended while it catches up, though nothing wakes it any more', async () => {
    await projecting.append(40)
    const quiet = new Follower({ pool: projecting.pool, pollMs: 60_000 })
    projecting.later(() => quiet.stop())
    await quiet.start()
    const head = await projecting.log.head()
    let last: bigint | undefined
    const project = async (tx: PoolClient, batch: ProjectedEvent[]) => {
      await projecting.project(tx, batch)
      if (last !== undefined || batch.at(-1)?.position !== head) return
      // Before its notification can rouse anybody, this step has read what comes next.
      const verdict = await projecting.log.append(to('late', 'any', event()))
      last = verdict.status === 'ok' ? (verdict.last ?? undefined) : undefined
    }
    const half = Math.ceil(Number(head) / 2)
    const projector = projecting.start({ follower: quiet, project, batchSize: half })
    expect(await projector.waitFor(head, 30_000)).toBe(true)
    expect(await projector.waitFor(last ?? 0n, 30_000)).toBe(true)
    expect(await projecting.seen()).toEqual(await projecting.everything())
  })

  it('the whole of it outlives the database being away', async () => {
    const line = await faultyLine(database.url)
    projecting.later(line.close)
    const pool = projecting.daemon('far', line.url)
    const far = new PostgresEventLog({ pool })
    const farFollower = await projecting.follow(pool)
    const projector = projecting.start({ pool, follower: farFollower })
    const advances: number[] = []
    expect(await projecting.caughtUp(projector)).toBe(true)
    line.cut()
    const request = to('away', 'any', event())
    await expect(far.append(request)).rejects.toMatchObject({ code: 'Unavailable', details: { retryAfter: 1 } })
    await expect(far.read(0n, 1)).rejects.toMatchObject({ code: 'Unavailable' })
    await projecting.append(10)
    await eventually(() => projector.status().status === 'failing')
    line.mend()
    farFollower.onAdvance(() => advances.push(1))
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.seen()).toEqual(await projecting.everything())
    expect((await far.append(request)).status).toBe('ok')
    await eventually(() => advances.length > 0)
  })
})
