import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { Client, Pool, PoolClient } from 'pg'
import { DomainError } from '@mcpctl/contracts'
import { createPool } from '@mcpctl/postgres'
import { bundle } from '../../../test/support/bundle'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, events, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { faultyLine } from '../testing/faulty-line'
import { Follower } from './follower'
import { PostgresEventLog } from '../postgres-event-log'
import { Projector, type ProjectorOptions } from './projector'
import type { ProjectedEvent } from '../types'

describe('Projector', () => {
  let database: TestDatabase
  let log: PostgresEventLog
  let follower: Follower
  let names = 0
  let name: string
  /** What a test has opened, closed in reverse order. */
  const opened: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
    follower = new Follower({ pool: database.pool })
    await follower.start()
    // Without a unique key: an event that is applied twice is seen twice.
    await database.pool.query(
      'create table rm.seen (projector text, position bigint, nth bigint generated always as identity)',
    )
  })
  beforeEach(() => {
    name = `projector-${++names}`
  })
  afterEach(async () => {
    for (const close of opened.splice(0).reverse()) await close()
  })
  afterAll(async () => {
    await follower.stop()
    await database.close()
  })

  const store = async (tx: PoolClient, batch: ProjectedEvent[]) => {
    await tx.query('insert into rm.seen (projector, position) select $1, unnest($2::bigint[])', [
      name,
      batch.map(({ position }) => position),
    ])
  }
  const start = (options: Partial<ProjectorOptions> = {}): Projector => {
    const projector = new Projector({
      pool: database.pool,
      follower,
      name,
      modelVersion: 1,
      project: store,
      ...options,
    })
    opened.push(() => projector.stop())
    projector.start()
    return projector
  }
  const seen = async (projector = name): Promise<bigint[]> => {
    const { rows } = await database.pool.query<{ position: string }>(
      'select position::text from rm.seen where projector = $1 order by nth',
      [projector],
    )
    return rows.map(({ position }) => BigInt(position))
  }
  const everything = async () => (await log.read(0n, 100_000)).map(({ position }) => position)
  const append = (count: number) =>
    Promise.all(Array.from({ length: count }, (_, i) => log.append(to(`s-${i % 7}`, 'any', event()))))
  const daemon = (application: string, url = database.url): Pool => {
    const pool = createPool(url, { role: 'mcpd_app', max: 4, applicationName: application })
    opened.push(() => pool.end())
    return pool
  }
  const follow = async (pool: Pool): Promise<Follower> => {
    const other = new Follower({ pool })
    opened.push(() => other.stop())
    await other.start()
    return other
  }
  const killConnections = async (application: string) => {
    const owner = await database.connect()
    const text =
      'select count(pg_terminate_backend(pid))::int as killed from pg_stat_activity where application_name = $1'
    const { rows } = await owner.query<{ killed: number }>(text, [application])
    await owner.end()
    return rows[0]?.killed ?? 0
  }

  it('C43 applies every event once, in order, from the beginning, and goes on where it stopped', async () => {
    await append(50)
    const first = start({ batchSize: 7 })
    expect(await first.waitFor(await log.head(), 5_000)).toBe(true)
    await first.stop()
    expect(first.status()).toMatchObject({ name, status: 'stopped', position: await log.head() })
    await append(20)
    const second = start({ batchSize: 7 })
    expect(await second.waitFor(await log.head(), 5_000)).toBe(true)
    expect(await seen()).toEqual(await everything())
  })

  it('tells whoever waits as soon as its own append is applied', async () => {
    const projector = start()
    const verdict = await log.append(to('waited', 'any', event()))
    if (verdict.status !== 'ok') throw new Error('not stored')
    expect(await projector.waitFor(verdict.last!, 5_000)).toBe(true)
    expect(await seen()).toContain(verdict.last)
    expect(await projector.waitFor(verdict.last! + 1n, 50)).toBe(false)
  })

  it('C44 loses and doubles nothing when its connection is killed in the middle of batches', async () => {
    const application = `killed-${name}`
    const pool = daemon(application)
    let kills = 0
    const projector = start({
      pool,
      batchSize: 5,
      project: async (tx, batch) => {
        await store(tx, batch)
        // The rows are written and the checkpoint is not.
        if (kills < 5 && batch.at(-1)!.position % 2n === 0n) kills += await killConnections(application)
        await tx.query('select 1')
      },
    })
    await append(60)
    expect(await projector.waitFor(await log.head(), 10_000)).toBe(true)
    expect(kills).toBeGreaterThanOrEqual(5)
    expect(await seen()).toEqual(await everything())
  })

  it('C45 takes a batch back that throws, says so, tries again later, and goes on once it works', async () => {
    let broken = true
    const projector = start({
      project: async (tx, batch) => {
        await store(tx, batch)
        if (broken) throw new Error('cannot fold this')
      },
    })
    await append(3)
    await eventually(() => projector.status().status === 'failing')
    expect(projector.status()).toEqual({ name, position: 0n, status: 'failing', lastError: 'cannot fold this' })
    const checkpoint = async () => {
      const text = 'select position::int, status, attempts, last_error from es.checkpoint where processor = $1'
      return (await database.pool.query(text, [name])).rows[0] as { attempts: number }
    }
    await eventually(async () => (await checkpoint()).attempts >= 2)
    expect(await checkpoint()).toMatchObject({ position: 0, status: 'failing', last_error: 'cannot fold this' })
    expect(await seen()).toEqual([])
    broken = false
    expect(await projector.waitFor(await log.head(), 5_000)).toBe(true)
    await eventually(() => projector.status().status === 'running')
    expect(await checkpoint()).toMatchObject({ status: 'running', attempts: 0, last_error: null })
    expect(await seen()).toEqual(await everything())
  })

  it('C46 does not suffer from another one that cannot go on', async () => {
    const poisoned = start({
      name: `${name}-poisoned`,
      onPoison: 'stop',
      maxAttempts: 2,
      project: async (_, batch) => {
        if (batch.some(({ type }) => type === 'Poison')) throw new Error('poison')
      },
    })
    const healthy = start()
    await append(5)
    const before = await log.head()
    expect(await poisoned.waitFor(before, 5_000)).toBe(true)
    await log.append(to('poison', 'any', event({ type: 'Poison' })))
    await append(5)
    expect(await healthy.waitFor(await log.head(), 5_000)).toBe(true)
    await eventually(() => poisoned.status().status === 'stopped')
    expect(poisoned.status()).toMatchObject({ position: before, lastError: expect.stringContaining('poison') })
    expect(await seen()).toEqual(await everything())
  })

  it('C47 two daemons apply each event once, and both know when it is applied', async () => {
    const otherPool = daemon(`other-${name}`)
    const otherFollower = await follow(otherPool)
    const here = start({ batchSize: 3 })
    const there = start({ pool: otherPool, follower: otherFollower, batchSize: 3 })
    for (let round = 0; round < 10; round++) {
      await append(5)
      const head = await log.head()
      expect(await Promise.all([here.waitFor(head, 5_000), there.waitFor(head, 5_000)])).toEqual([true, true])
    }
    expect(await seen()).toEqual(await everything())
  })

  it('C47 takes over from a daemon that hangs in its transaction', async () => {
    const hung = await database.connect({ role: 'mcpd_app' })
    const projector = start()
    expect(await projector.waitFor(await log.head(), 5_000)).toBe(true)
    await hung.query(`begin; set local idle_in_transaction_session_timeout = '1s'`)
    await hung.query('select from es.checkpoint where processor = $1 for update', [name])
    await append(1)
    expect(await projector.waitFor(await log.head(), 200)).toBe(false)
    expect(await projector.waitFor(await log.head(), 4_000)).toBe(true)
  })

  it('goes on in the version of the model that is active, whichever process makes it so', async () => {
    await append(3)
    const projector = start({ batchSize: 2 })
    expect(await projector.waitFor(await log.head(), 5_000)).toBe(true)
    const swap = async (client: Client) => {
      await client.query('begin')
      const { rows } = await client.query<{ position: string }>(
        'delete from es.checkpoint where processor = $1 returning position',
        [name],
      )
      await client.query('insert into es.checkpoint (processor, model_version, position) values ($1, 2, $2)', [
        name,
        rows[0]!.position,
      ])
      await client.query('commit')
    }
    const appending = append(20)
    await swap(await database.connect({ role: 'mcpd_app' }))
    await appending
    expect(await projector.waitFor(await log.head(), 5_000)).toBe(true)
    const { rows } = await database.pool.query<{ model_version: number; position: string }>(
      'select model_version, position::text from es.checkpoint where processor = $1',
      [name],
    )
    expect(rows).toEqual([{ model_version: 2, position: String(await log.head()) }])
    expect(await seen()).toEqual(await everything())
  })

  it('leaves a model alone that other code has folded, and still tells how far it is', async () => {
    const other = start({ fold: 'theirs' })
    await append(2)
    expect(await other.waitFor(await log.head(), 5_000)).toBe(true)
    await other.stop()
    const projector = start({ fold: 'ours' })
    await eventually(() => projector.status().status === 'waiting')
    await append(1)
    expect(await projector.waitFor(await log.head(), 1_500)).toBe(false)
    expect(projector.status().position).toBe((await log.head()) - 1n)
    const heir = start({ fold: 'ours', alsoFolds: ['theirs'] })
    expect(await projector.waitFor(await log.head(), 5_000)).toBe(true)
    await eventually(() => heir.status().status === 'running')
    expect(await seen()).toEqual(await everything())
  })

  it('C51 holds one batch at a time, however far behind it is', async () => {
    await log.append(to('many', 'any', ...events(3_000)))
    const sizes: number[] = []
    const projector = start({
      batchSize: 100,
      project: async (tx, batch) => {
        sizes.push(batch.length)
        await store(tx, batch)
      },
    })
    expect(await projector.waitFor(await log.head(), 10_000)).toBe(true)
    expect(Math.max(...sizes)).toBe(100)
    expect(await seen()).toEqual(await everything())
  })

  it('C51 a slow projection keeps its process below 150 MB, whatever the size of the events', async () => {
    const crowd = await testDatabase()
    opened.push(() => crowd.close())
    const stored = new PostgresEventLog({ pool: crowd.pool })
    // Stored compressed, and not.
    const texts = ['x'.repeat(1_000_000), randomBytes(500_000).toString('hex')]
    for (let i = 0; i < 20; i++) {
      const large = event({ data: { text: texts[i % 2]! } })
      await stored.append(
        to(`s-${i}`, 'any', ...Array.from({ length: 500 }, () => event({ data: { text: 'y'.repeat(3_000) } })), large),
      )
      await stored.append(to(`l-${i}`, 'any', ...events(4).map((each) => ({ ...each, data: large.data }))))
    }
    const head = await stored.head()
    expect(head).toBeGreaterThan(10_000n)
    const script = await bundle('test/support/catching-up-process.ts', 'catching-up-process')
    opened.push(() => rm(script, { force: true }))
    const { stdout } = await promisify(execFile)(process.execPath, [script, crowd.url, String(head)])
    const report = JSON.parse(stdout) as { megabytes: number }
    expect(report).toMatchObject({ last: String(head), ordered: true })
    expect(report.megabytes).toBeLessThan(150)
  })

  it('C50 goes on when notifications are lost, and listens again', async () => {
    const application = `listener-${name}`
    const pool = daemon(application)
    const lonely = await follow(pool)
    const projector = start({ follower: lonely })
    expect(await projector.waitFor(await log.head(), 5_000)).toBe(true)
    const listening = async () => {
      const text = `select pid from pg_stat_activity where application_name = $1 and query ilike '%listen%'`
      const owner = await database.connect()
      const { rows } = await owner.query<{ pid: number }>(text, [application])
      await owner.end()
      return rows[0]?.pid
    }
    const lost = await listening()
    expect(await killConnections(application)).toBeGreaterThan(0)
    await append(100)
    expect(await projector.waitFor(await log.head(), 3_000)).toBe(true)
    expect(await seen()).toEqual(await everything())
    await eventually(async () => ![undefined, lost].includes(await listening()))
  })

  it('C50 the poll alone delivers everything when nobody can listen', async () => {
    const line = await faultyLine(database.url)
    opened.push(line.close)
    line.cut()
    const deaf = await follow(daemon('deaf', line.url))
    const projector = start({ follower: deaf })
    for (let round = 0; round < 2; round++) {
      await append(100)
      expect(await projector.waitFor(await log.head(), 3_000)).toBe(true)
    }
    expect(await seen()).toEqual(await everything())
  })

  it('C45 a log that is busy costs no attempt and parks nothing', async () => {
    await append(1)
    let refusals = 4
    const project = async (tx: PoolClient, batch: ProjectedEvent[]) => {
      if (refusals-- > 0) throw new DomainError('Unavailable', 'the log is held by somebody else', { retryAfter: 1 })
      await store(tx, batch)
    }
    const projector = start({ project, maxAttempts: 2 })
    expect(await projector.waitFor(await log.head(), 5_000)).toBe(true)
    expect(await seen()).toEqual(await everything())
    const { rows } = await database.pool.query('select from es.parked where processor = $1', [name])
    expect(rows).toEqual([])
  })

  it('sees at once what is appended while it catches up, though nothing wakes it any more', async () => {
    await append(40)
    const quiet = new Follower({ pool: database.pool, pollMs: 60_000 })
    opened.push(() => quiet.stop())
    await quiet.start()
    const head = await log.head()
    let last: bigint | undefined
    const project = async (tx: PoolClient, batch: ProjectedEvent[]) => {
      await store(tx, batch)
      if (last !== undefined || batch.at(-1)?.position !== head) return
      // Before its notification can rouse anybody, this step has read what comes next.
      const verdict = await log.append(to('late', 'any', event()))
      last = verdict.status === 'ok' ? (verdict.last ?? undefined) : undefined
    }
    const half = Math.ceil(Number(head) / 2)
    const projector = start({ follower: quiet, project, batchSize: half })
    expect(await projector.waitFor(head, 5_000)).toBe(true)
    expect(await projector.waitFor(last ?? 0n, 5_000)).toBe(true)
    expect(await seen()).toEqual(await everything())
  })

  it('the whole of it outlives the database being away', async () => {
    const line = await faultyLine(database.url)
    opened.push(line.close)
    const pool = daemon('far', line.url)
    const far = new PostgresEventLog({ pool })
    const farFollower = await follow(pool)
    const projector = start({ pool, follower: farFollower })
    const advances: number[] = []
    expect(await projector.waitFor(await log.head(), 5_000)).toBe(true)
    line.cut()
    const request = to('away', 'any', event())
    await expect(far.append(request)).rejects.toMatchObject({ code: 'Unavailable', details: { retryAfter: 1 } })
    await expect(far.read(0n, 1)).rejects.toMatchObject({ code: 'Unavailable' })
    await append(10)
    await eventually(() => projector.status().status === 'failing')
    line.mend()
    farFollower.onAdvance(() => advances.push(1))
    expect(await projector.waitFor(await log.head(), 5_000)).toBe(true)
    expect(await seen()).toEqual(await everything())
    expect((await far.append(request)).status).toBe('ok')
    await eventually(() => advances.length > 0)
  })
})
