import { once } from 'node:events'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { Builder, modelStatus, requestRebuild, verifyModel } from '@mcpctl/event-store'
import { faultyLine } from '@mcpctl/event-store/testing/faulty-line'
import { createPool } from '@mcpctl/postgres'
import type { Client } from 'pg'
import { until } from './support/binaries'
import { testDatabase, type TestDatabase } from './support/database'
import { contents, followLog, MODEL, objects } from './support/models'
import { appendServers, created, reported, scaled, serverUid, toServer } from './support/server-log'

let database: TestDatabase
let owner: Client
let daemon: Awaited<ReturnType<typeof followLog>>

beforeAll(async () => {
  database = await testDatabase()
  owner = await database.connect()
  daemon = await followLog(database.pool)
  await appendServers(daemon.log, { servers: 30, changes: 10 })
})
afterAll(async () => {
  await daemon.stop()
  await database.close()
})
beforeEach(() => daemon.caughtUp())

const verify = async () => (await verifyModel(database.pool, objects())).difference

/** Changes the tables as somebody with the owner's password could, looks, and changes them back. */
const tampered = async (statement: string) => {
  const version = await modelStatus(database.pool, MODEL)
  const saved = [`rm.object_${version.version}`, `rm.reference_${version.version}`]
  for (const [nr, table] of saved.entries()) await owner.query(`create table saved_${nr} as table ${table}`)
  try {
    const { rowCount } = await owner.query(statement)
    expect(rowCount).toBeGreaterThan(0)
    return await verify()
  } finally {
    for (const [nr, table] of saved.entries())
      await owner.query(`delete from ${table}; insert into ${table} select * from saved_${nr}; drop table saved_${nr}`)
    expect(await verify()).toBeUndefined()
  }
}

const uid = serverUid(3)
const subject = { kind: 'Server', name: 'server-3', uid }
const current = `uid = '${uid}' and to_position is null`

describe('a comparison of the read model with the log', () => {
  it('finds nothing when there is nothing to find', async () => {
    expect(await verifyModel(database.pool, objects())).toEqual({ model: MODEL, position: await daemon.log.head() })
  })

  it.each<[string, string, object]>([
    [
      'a value in an object',
      `update rm.object set object = jsonb_set(object::jsonb, '{spec,replicas}', '77')::json where ${current}`,
      { subject, path: 'spec.replicas', stored: 77, expected: 7 },
    ],
    [
      'a value deep in a list',
      `update rm.object set object = jsonb_set(object::jsonb, '{spec,args,1}', '"x"')::json where ${current}`,
      { subject, path: 'spec.args.1', stored: 'x', expected: 'tab\there' },
    ],
    [
      'a member too many',
      `update rm.object set object = jsonb_set(object::jsonb, '{status,extra}', 'true')::json where ${current}`,
      { subject, path: 'status.extra', stored: true },
    ],
    ['a name', `update rm.object set name = 'stolen' where ${current}`, { subject, path: 'name', stored: 'stolen' }],
    ['labels', `update rm.object set labels = '{}' where ${current}`, { subject, path: 'labels', stored: '{}' }],
    [
      'the end of a version',
      `update rm.object set to_position = to_position + 1 where uid = '${uid}' and to_position = (
         select min(to_position) from rm.object where uid = '${uid}')`,
      { subject, path: 'to_position' },
    ],
    ['a missing version', `delete from rm.object where ${current}`, { subject, expected: expect.anything() }],
    [
      'an object too many',
      `insert into rm.object select kind, gen_random_uuid(), 'fake', labels, from_position, null, object from rm.object where ${current}`,
      { subject: { kind: 'Server', name: 'fake', uid: expect.any(String) }, stored: expect.anything() },
    ],
    [
      'the order of members, which is for people',
      `update rm.object set object = object::jsonb::json where ${current}`,
      { subject, path: 'object' },
    ],
    [
      'a reference',
      `update rm.reference set to_name = 'server-9' where to_name = 'server-1'`,
      { subject: { kind: 'Project', name: 'team', uid: expect.any(String), reference: 'Server/server-1' } },
    ],
  ])('finds a change of %s, and where it is', async (_, statement, difference) => {
    expect(await tampered(statement)).toMatchObject(difference)
  })

  it('tells the first of several by position', async () => {
    const difference = await tampered(`update rm.object set name = name || 'x' where from_position > 40`)
    expect(difference?.position).toBe('41')
  })

  it('is made as of one position while appends go on, and leaves nothing behind', async () => {
    const told = new AbortController()
    const writing = (async () => {
      for (let round = 0; !told.signal.aborted; round++)
        await daemon.log.append(toServer(round % 5, [reported(round), scaled(round)]))
    })()
    for (let time = 0; time < 5; time++) expect(await verify()).toBeUndefined()
    told.abort()
    await writing
    await until('the temporary tables are gone', async () => {
      const left = await owner.query(`select from pg_class where relname like '%scratch%'`)
      return left.rowCount === 0
    })
  })

  it('ends when it is told to, and when its connection is killed, and leaves nothing behind either way', async () => {
    const told = new AbortController()
    const ended = verifyModel(database.pool, objects(), { signal: told.signal, onProgress: () => told.abort() })
    await expect(ended).rejects.toThrow('aborted')
    // Not the owner: inside a transaction it sees the same connections all the time.
    const watcher = await database.connect()
    const { rows: held } = await owner.query<{ pid: number }>('select pg_backend_pid() as pid')
    await owner.query('begin; lock table rm.object in access exclusive mode')
    const killed = verifyModel(database.pool, objects())
    const refused = expect(killed).rejects.toMatchObject({ code: 'Unavailable' })
    await until('it waits for the table and is killed', async () => {
      const { rows } = await watcher.query<{ killed: number }>(
        `select count(pg_terminate_backend(pid))::int as killed from pg_stat_activity
         where $1 = any (pg_blocking_pids(pid))`,
        [held[0]?.pid],
      )
      return rows[0]?.killed === 1
    })
    await owner.query('rollback')
    await refused
    await until('the temporary tables are gone', async () => {
      const left = await owner.query(`select from pg_class where relname like '%scratch%'`)
      return left.rowCount === 0
    })
  })

  it('C55 does not hold up a rebuild, and goes on with what that has replaced', async () => {
    const model = objects()
    const replaced = (await modelStatus(database.pool, MODEL)).version
    const exists = async () => {
      const { rows } = await owner.query<{ exists: boolean }>(
        `select to_regclass('rm.object_${replaced}') is not null as exists`,
      )
      return rows[0]?.exists
    }
    const builder = new Builder({ pool: database.pool, model })
    const compare: typeof model.compare = async (tx, version) => {
      const asking = await database.pool.connect()
      await asking.query('begin')
      await requestRebuild(asking, model)
      await asking.query('commit')
      asking.release()
      while (await builder.step());
      await daemon.log.append(toServer(2, [scaled(17)]))
      await daemon.caughtUp()
      return model.compare(tx, version)
    }
    const { difference, position } = await verifyModel(database.pool, { ...model, compare })
    expect(difference).toBeUndefined()
    expect(position).toBeLessThan(await daemon.log.head())
    expect((await modelStatus(database.pool, MODEL)).version).toBe(replaced + 1)
    expect(await exists()).toBe(true)
    await builder.step()
    expect(await exists()).toBe(false)
  })

  it('ends in the middle of a statement when it is told to', async () => {
    const told = new AbortController()
    const waits = async () => {
      const { rows } = await owner.query<{ count: number }>(
        `select count(*)::int from pg_stat_activity where datname = current_database() and query like '%pg_sleep(600)%'
           and state = 'active' and pid <> pg_backend_pid()`,
      )
      return rows[0]?.count === 1
    }
    const compare = async (tx: { query(text: string): Promise<unknown> }) => {
      await tx.query('select pg_sleep(600)')
      return undefined
    }
    const ended = verifyModel(database.pool, { ...objects(), compare }, { signal: told.signal })
    const refused = expect(ended).rejects.toThrow('enough')
    await until('it compares', waits)
    told.abort(new Error('enough'))
    await refused
    await until('the database has ended it too', async () => !(await waits()))
  })

  it('says so when other code has folded the model', async () => {
    expect((await verifyModel(database.pool, objects('b'))).difference).toEqual({
      subject: { model: MODEL },
      path: 'fold',
      stored: 'a',
      expected: 'b',
    })
  })
})

describe('events that cannot be folded', () => {
  const unknown = { ...created(1), type: 'ServerTeleported', data: {}, claims: [] }
  const rebuild = async () => {
    const tx = await database.pool.connect()
    await tx.query('begin')
    await requestRebuild(tx, objects())
    await tx.query('commit')
    tx.release()
    const parked: string[] = []
    const builder = new Builder({
      pool: database.pool,
      model: objects(),
      onParked: ({ event }) => parked.push(event.type),
    })
    for (let more = true; more;) more = await builder.step().catch(() => true)
    return parked
  }

  it('C45 are parked in the rebuilt model too, with what is behind them, and then the model is what a fold without them is', async () => {
    await daemon.log.append(toServer(4, [unknown]))
    await daemon.log.append(toServer(4, [scaled(50), scaled(51)]))
    await daemon.caughtUp()
    const before = await contents(database.pool)
    const [waiting] = await daemon.parked.list()
    expect(waiting).toMatchObject({ type: 'ServerTeleported', behind: 2 })
    expect(await verify()).toBeUndefined()
    expect(await rebuild()).toEqual(['ServerTeleported'])
    expect(await contents(database.pool)).toEqual(before)
    expect(await daemon.parked.list()).toEqual([{ ...waiting, since: expect.any(String) }])
    expect(await verify()).toBeUndefined()
    const { rows } = await database.pool.query(`select distinct model_version from es.parked`)
    expect(rows).toEqual([{ model_version: (await modelStatus(database.pool, MODEL)).version }])
  })

  it('C45 that were skipped stay skipped in the rebuilt model', async () => {
    const [waiting] = await daemon.parked.list()
    await daemon.parked.skip(MODEL, waiting?.position ?? 0n)
    const before = await contents(database.pool)
    expect((await daemon.objects.findByUid(serverUid(4)))?.spec['replicas']).toBe(51)
    expect(await verify()).toBeUndefined()
    for (let time = 0; time < 2; time++) {
      expect(await rebuild()).toEqual([])
      expect(await contents(database.pool)).toEqual(before)
      expect(await verify()).toBeUndefined()
    }
  })
})

it('a process that freezes while it compares is ended by the builder of another one', async () => {
  const line = await faultyLine(database.url)
  const ending = new AbortController()
  let isFrozen = false
  const waiting = `select wait_event as event from pg_stat_activity
    where application_name = 'frozen' and state = 'active' and datname = current_database()`
  const far = createPool(line.url, { applicationName: 'frozen', role: 'mcpd_app', max: 4 })
  const model = objects()
  const loader: typeof model.loader = (place) => {
    const loading = model.loader(place)
    const load: typeof loading.load = async (tx, events) => {
      await loading.load(tx, events)
      await until('the database waits for rows', async () => {
        const { rows } = await owner.query<{ event: string }>(waiting)
        return rows.some(({ event }) => event === 'ClientRead')
      })
      line.freeze()
      isFrozen = true
    }
    return { ...loading, load, flush: () => once(ending.signal, 'abort').then(() => undefined) }
  }
  const verifying = verifyModel(far, { ...model, loader }, { signal: ending.signal }).catch(() => undefined)
  await until('it is frozen', () => isFrozen)
  const builder = new Builder({ pool: database.pool, model: objects(), frozenAfterMs: 200 })
  await until('it is ended', async () => {
    await builder.step()
    return (await owner.query(waiting)).rowCount === 0
  })
  line.cut()
  ending.abort()
  await verifying
  await far.end()
  await line.close()
})
