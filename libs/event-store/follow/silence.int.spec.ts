import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { PoolClient } from 'pg'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { faultyLine } from '../testing/faulty-line'
import { Projecting } from '../testing/projecting'
import type { ProjectedEvent } from '../types'
import { Follower } from './follower'

describe('A line that falls silent', () => {
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

  /** Stops answering, as the process of the server does when its machine is stuck; goes on at the end of the test. */
  const freezeBackend = async (tx: PoolClient) => {
    const { rows } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid')
    const pid = rows[0]?.pid ?? 0
    process.kill(pid, 'SIGSTOP')
    const thaw = async () => void process.kill(pid, 'SIGCONT')
    projecting.later(async () => thaw().catch(() => {}))
    return thaw
  }
  /** Freezes its connection once, at an event of type Freeze, and waits for an answer. */
  const freezing = () => {
    const frozen: { thaw?: () => Promise<void> } = {}
    const project = async (tx: PoolClient, batch: ProjectedEvent[]) => {
      await projecting.project(tx, batch)
      if (frozen.thaw || !batch.some(({ type }) => type === 'Freeze')) return
      frozen.thaw = await freezeBackend(tx)
      await tx.query('select 1')
    }
    return { frozen, project }
  }
  const farLine = async () => {
    const line = await faultyLine(database.url)
    projecting.later(line.close)
    return line
  }

  it('C47 in the middle of a batch: the connection is thrown away, the batch taken back, and applied by another one', async () => {
    const { frozen, project } = freezing()
    const projector = projecting.start({ pool: projecting.daemon('silent'), project, statementTimeoutMs: 200 })
    await projecting.append(5)
    await projecting.log.append(to('frozen', 'any', event({ type: 'Freeze' })))
    await projecting.append(5)
    await eventually(() => projector.status().lastError === 'connection terminated: no answer within 2200 ms')
    // Until it goes on, or PostgreSQL is told that nobody is there any more, the frozen one holds the checkpoint.
    await frozen.thaw?.()
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.seen()).toEqual(await projecting.everything())
    expect(await projecting.parked().list(projecting.name)).toEqual([])
  })

  it('C47 with all connections of a process, idle ones too: it goes on with others', async () => {
    const line = await farLine()
    const pool = projecting.daemon('far', line.url)
    const follower = await projecting.follow(pool)
    const projector = projecting.start({ pool, follower, statementTimeoutMs: 200 })
    await projecting.append(20)
    expect(await projecting.caughtUp(projector)).toBe(true)
    await Promise.all([1, 2, 3, 4].map(() => pool.query('select pg_sleep(0.05)')))
    line.freeze()
    await projecting.append(20)
    await eventually(() => projector.status().status === 'failing')
    line.mend()
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.seen()).toEqual(await projecting.everything())
    const heard: string[] = []
    follower.onCheckpoint(({ processor }) => heard.push(processor))
    await eventually(async () => {
      await projecting.append(1)
      return heard.includes(projecting.name)
    })
  })

  it('C47 does not keep a projector from being stopped, nor a follower', async () => {
    const line = await farLine()
    const pool = projecting.daemon('far', line.url)
    const follower = await projecting.follow(pool)
    const state = { began: false }
    const project = async (tx: PoolClient, batch: ProjectedEvent[]) => {
      if (!batch.some(({ type }) => type === 'Freeze')) return
      line.freeze()
      state.began = true
      await tx.query('select 1')
    }
    const projector = projecting.start({ pool, follower, project })
    await projecting.log.append(to('frozen', 'any', event({ type: 'Freeze' })))
    await eventually(() => state.began)
    const since = performance.now()
    await projector.stop()
    await follower.stop()
    expect(performance.now() - since).toBeLessThan(25_000)
    line.cut()
    expect(projector.status().status).toBe('stopped')
  })

  it('C47 does not keep a projector from being stopped that does not come back from a projection', async () => {
    const state = { began: false }
    const projector = projecting.start({
      project: async (tx) => {
        state.began = true
        for (;;) await tx.query('select pg_sleep(0.1)')
      },
    })
    await projecting.append(1)
    await eventually(() => state.began)
    await projector.stop()
    expect(projector.status()).toMatchObject({ status: 'stopped', position: 0n })
    const next = projecting.start()
    expect(await projecting.caughtUp(next)).toBe(true)
    expect(await projecting.seen()).toEqual(await projecting.everything())
  })

  it('C50 before a follower listens: it listens once somebody answers', async () => {
    const line = await farLine()
    const pool = projecting.daemon('far', line.url)
    line.freeze()
    const follower = new Follower({ pool })
    projecting.later(() => follower.stop())
    const since = performance.now()
    await follower.start()
    expect(performance.now() - since).toBeLessThan(15_000)
    line.mend()
    projecting.start()
    const heard: string[] = []
    follower.onCheckpoint(({ processor }) => heard.push(processor))
    await eventually(async () => {
      await projecting.append(1)
      return heard.includes(projecting.name)
    })
  })
})
