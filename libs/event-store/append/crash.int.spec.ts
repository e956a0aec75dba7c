import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Pool, PoolClient } from 'pg'
import { createClient, createPool, EmbeddedPostgres, runMigrations } from '@mcpctl/postgres'
import { testDatabase } from '../../../test/support/database'
import { Follower } from '../follow/follower'
import { Projector } from '../follow/projector'
import { chained, genesis } from '../testing/chain'
import { event, events, take, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { openWriters } from '../testing/writers'
import { PostgresEventLog } from '../postgres-event-log'
import type { AppendRequest, ProjectedEvent, RecordedEvent } from '../types'

const oneTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

/** Adds up the events of each stream, so that one applied twice or not at all shows. */
const countStreams = async (tx: PoolClient, batch: ProjectedEvent[]) => {
  await tx.query(
    `insert into rm.counted select stream, count(*) from unnest($1::text[]) stream group by stream
     on conflict (stream) do update set events = counted.events + excluded.events`,
    [batch.map(({ streamId }) => streamId)],
  )
}

describe('A server of its own', () => {
  let directory: string
  let server: EmbeddedPostgres
  let url: string
  let pool: Pool
  let log: PostgresEventLog
  let follower: Follower
  let projector: Projector
  let writers: Awaited<ReturnType<typeof openWriters>>

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mcpctl-crash-'))
    await chmod(directory, 0o711)
    const settings = { max_prepared_transactions: '5', wal_writer_delay: '10000', fsync: 'off' }
    server = new EmbeddedPostgres({ dataDirectory: directory, settings })
    url = (await server.start()).url
    await runMigrations(url, 'migrations')
    const owner = await createClient(url, { applicationName: 'owner' })
    await owner.query('alter database mcpctl set synchronous_commit = off')
    await owner.end()
    pool = createPool(url, { role: 'mcpd_app', max: 20, applicationName: 'test' })
    log = new PostgresEventLog({ pool })
    await pool.query('create table rm.counted (stream text primary key, events bigint not null)')
    follower = new Follower({ pool, pollMs: 100 })
    await follower.start()
    projector = new Projector({ pool, follower, name: 'counting', modelVersion: 1, project: countStreams })
    projector.start()
    writers = await openWriters(url, 8)
  }, 120_000)
  afterAll(async () => {
    await projector.stop()
    await follower.stop()
    await pool.end()
    await writers.close()
    await server.stop()
    await rm(directory, { recursive: true, force: true })
  })

  const everything = () => log.read(0n, 1_000_000)
  const counted = async () => {
    const { rows } = await pool.query<{ stream: string; events: string }>('select stream, events from rm.counted')
    return new Map(rows.map(({ stream, events }) => [stream, Number(events)]))
  }
  const folded = (all: RecordedEvent[]) => {
    const counts = new Map<string, number>()
    for (const { streamId } of all) counts.set(streamId, (counts.get(streamId) ?? 0) + 1)
    return counts
  }
  const asApplication = (database = 'mcpctl') => {
    const there = new URL(url)
    there.pathname = `/${database}`
    return createClient(there.href, { applicationName: 'test', ...(database === 'mcpctl' && { role: 'mcpd_app' }) })
  }

  it('C37 a prepared transaction that everybody forgot stalls neither writers nor readers nor projectors', async () => {
    const forgetful = await asApplication()
    await forgetful.query(`begin; create table rm.forgotten (n int); prepare transaction 'forgotten here'`)
    await forgetful.end()
    const elsewhere = await asApplication('postgres')
    await elsewhere.query(`begin; create table forgotten (n int); prepare transaction 'forgotten elsewhere'`)
    const head = await log.head()
    const verdicts = await Promise.all(oneTo(20).map((n) => log.append(to(`c37-${n}`, 'none', ...events(2)))))
    expect(verdicts.every(({ status }) => status === 'ok')).toBe(true)
    expect((await log.read(head, 100)).map(({ position }) => position)).toEqual(oneTo(40).map((n) => head + BigInt(n)))
    expect(await projector.waitFor(head + 40n, 30_000)).toBe(true)
    expect(await counted()).toEqual(folded(await everything()))
    await elsewhere.query(`rollback prepared 'forgotten elsewhere'`)
    await elsewhere.end()
    const tidy = await asApplication()
    const { rows } = await tidy.query('select gid from pg_prepared_xacts')
    expect(rows).toEqual([{ gid: 'forgotten here' }])
    await tidy.query(`rollback prepared 'forgotten here'`)
    await tidy.end()
  })

  it('C37 a transaction that has appended cannot be prepared, so its lock cannot be forgotten', async () => {
    const forgetful = await asApplication()
    await forgetful.query('begin')
    await log.appendWithin(forgetful, to('c37-prepared', 'any', event()))
    await expect(forgetful.query(`prepare transaction 'with the lock'`)).rejects.toMatchObject({ code: '0A000' })
    await forgetful.end()
    expect(await log.append(to('c37-prepared', 'none', event()))).toMatchObject({ status: 'ok' })
  })

  /** Appends until the database is gone, and notes what was acknowledged. */
  const appendUntilGone = async (writer: number, acknowledged: Map<bigint, string>) => {
    for (let n = 0; ; n++) {
      const given = events(1 + (n % 3))
      const request: AppendRequest = {
        ...to(`c87-${writer}`, 'any', ...given, event({ claims: [take(given[0]!.id)] })),
        command: { id: given[0]!.id, requestHash: 'aa', result: { n } },
      }
      try {
        const verdict = await writers.logs[writer]!.append(n % 2 ? request : to(`c87-${writer}`, 'any', ...given))
        if (verdict.status !== 'ok') throw new Error(verdict.status)
        given.forEach(({ id }, i) => acknowledged.set(verdict.first! + BigInt(i), id))
      } catch (error) {
        expect(error).toMatchObject({ code: 'Unavailable' })
        return
      }
    }
  }
  /** The postmaster and all that it has started, at once, as when the machine stops. */
  const killServer = async () => {
    const restarted = new Promise<void>((resolve) => server.onRestart(resolve))
    const { rows } = await pool.query<{ pid: number }>('select pid from pg_stat_activity')
    for (const pid of [server.pid!, ...rows.map(({ pid }) => pid)]) process.kill(pid, 'SIGKILL')
    await restarted
  }
  const checkChain = async (all: RecordedEvent[]) => {
    let hash = genesis((await log.store()).id)
    for (const one of all) expect((hash = chained(hash, one))).toBe(one.hash)
  }

  it.each([1, 2, 3])(
    'C87 kill -9 of the server, synchronous_commit off: nothing acknowledged is lost, checkpoints are not ahead (%i)',
    async () => {
      const acknowledged = new Map<bigint, string>()
      const writing = writers.logs.map((_, writer) => appendUntilGone(writer, acknowledged))
      await eventually(() => acknowledged.size > 300)
      await killServer()
      await Promise.all(writing)
      await eventually(() =>
        log.head().then(
          () => true,
          () => false,
        ),
      )
      const all = await everything()
      expect(all.map(({ position }) => position)).toEqual(oneTo(all.length).map(BigInt))
      const lost = [...acknowledged].filter(([position, id]) => all[Number(position) - 1]?.id !== id)
      expect(lost).toEqual([])
      await checkChain(all)
      const { rows } = await pool.query<{ position: string }>('select position from es.checkpoint')
      for (const { position } of rows) expect(BigInt(position)).toBeLessThanOrEqual(await log.head())
      for (const one of all.filter(({ claims }) => claims))
        expect(await log.claimOwner('name', one.claims![0]!.key)).toBe(one.streamId)
      expect(await projector.waitFor(await log.head(), 30_000)).toBe(true)
      expect(await counted()).toEqual(folded(all))
    },
    120_000,
  )
})

describe('An append', () => {
  it('C87 is durable when it is acknowledged, whatever the session and the transaction say', async () => {
    const database = await testDatabase()
    const log = new PostgresEventLog({ pool: database.pool })
    const tx = await database.connect({ role: 'mcpd_app' })
    await tx.query('set synchronous_commit = off')
    await tx.query('begin; set local synchronous_commit = off')
    await log.appendWithin(tx, to('durable', 'any', event()))
    expect((await tx.query('show synchronous_commit')).rows).toEqual([{ synchronous_commit: 'on' }])
    await tx.query('commit')
    expect((await tx.query('show synchronous_commit')).rows).toEqual([{ synchronous_commit: 'off' }])
    await database.close()
  })
})
