import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { Builder, modelStatus, requestRebuild, verifyModel, type RebuildableModel } from '@mcpctl/event-store'
import { createPool } from '@mcpctl/postgres'
import { eventually } from '../libs/event-store/testing/eventually'
import { serverKind } from '@mcpctl/kinds/server/server.kind'
import { testDatabase, type TestDatabase } from './support/database'
import { contents, followLog, MODEL, objects } from './support/models'
import { appendServers, created, reported, scaled, serverUid, toServer } from './support/server-log'

let database: TestDatabase
let daemon: Awaited<ReturnType<typeof followLog>>

beforeEach(async () => {
  database = await testDatabase()
  daemon = await followLog(database.pool)
})
afterEach(async () => {
  await daemon.stop()
  await database.close()
})

const request = async (model: RebuildableModel) => {
  const tx = await database.pool.connect()
  try {
    await tx.query('begin')
    const version = await requestRebuild(tx, model)
    await tx.query('commit')
    return version
  } catch (error) {
    await tx.query('rollback')
    throw error
  } finally {
    tx.release()
  }
}

/** Steps until the new version is read; what a busy reader delays is tried again. */
const build = async (model = objects()) => {
  const builder = new Builder({ pool: database.pool, model })
  for (let more = true; more;) more = await builder.step().catch(() => true)
}

const rebuild = async (model = objects()) => {
  const version = await request(model)
  await build(model)
  expect(await modelStatus(database.pool, MODEL)).toMatchObject({ version, fold: model.fold })
}

const tables = async () => {
  const { rows } = await database.pool.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'rm'::regnamespace and relkind = 'r' order by 1`,
  )
  return rows.map(({ name }) => name)
}

describe('a rebuild', () => {
  it('C59 of the same log, done twice, makes tables that are equal byte by byte, and equal to what was there', async () => {
    await appendServers(daemon.log, { servers: 30, changes: 12 })
    await daemon.caughtUp()
    const before = await contents(database.pool)
    expect(before.length).toBeGreaterThan(200)
    await rebuild()
    expect(await contents(database.pool)).toEqual(before)
    await rebuild()
    expect(await contents(database.pool)).toEqual(before)
    expect(await tables()).toEqual(['object_3', 'reference_3'])
    expect(await verifyModel(database.pool, objects())).toEqual({ model: MODEL, position: await daemon.log.head() })
  })

  it('C59 leaves tables that have every index that readers and the projector need', async () => {
    const definitions = async () => {
      const { rows } = await database.pool.query<{ definition: string }>(
        `select regexp_replace(pg_get_indexdef(indexrelid), '(INDEX) \\S+ ON (rm\\.[a-z]+)_\\d+', '\\1 ON \\2') as definition
         from pg_index i join pg_class c on c.oid = i.indrelid where c.relnamespace = 'rm'::regnamespace order by 1`,
      )
      return rows.map(({ definition }) => definition)
    }
    const before = await definitions()
    await rebuild()
    expect(await definitions()).toEqual(before)
  })

  it('C55 is not seen by readers and writers: whole the old version, then whole the new one, and no error', async () => {
    await appendServers(daemon.log, { servers: 40, changes: 6 })
    await daemon.caughtUp()
    let stop = false
    const errors: unknown[] = []
    const until = async (act: (round: number) => Promise<void>) => {
      for (let round = 0; !stop; round++) await act(round).catch((error: unknown) => errors.push(error))
    }
    let positions: bigint[] = []
    const readers = Array.from({ length: 4 }, () => {
      let last = 0n
      return until(async (round) => {
        const list = await daemon.objects.list(serverKind, {})
        const position = BigInt(list.metadata.resourceVersion.split('.')[1] ?? 0)
        if (position < last) throw new Error(`position went back from ${last} to ${position}`)
        last = position
        positions.push(position)
        if (list.items.length < 36) throw new Error(`only ${list.items.length} servers`)
        const one = await daemon.objects.findByUid(serverUid(round % 9))
        if (one === undefined) throw new Error(`server ${round % 9} is missing`)
        // What a connection has planned for the old tables must go on with the new ones.
        const { rows } = await database.pool.query<{ count: number }>({
          name: 'planned',
          text: 'select count(*)::int from rm.object where kind = $1 and to_position is null',
          values: ['Server'],
        })
        if (rows[0]?.count !== 36) throw new Error(`${rows[0]?.count} servers`)
      })
    })
    const writers = Array.from({ length: 2 }, (_, nr) =>
      until(async (round) => {
        const verdict = await daemon.log.append(toServer(nr, [round % 2 === 0 ? scaled(round) : reported(round)]))
        if (verdict.status !== 'ok') throw new Error(verdict.status)
        if (!(await daemon.projector.waitFor(verdict.last ?? 0n, 30_000))) throw new Error('not visible')
      }),
    )
    for (let time = 0; time < 3; time++) await rebuild()
    stop = true
    await Promise.all([...readers, ...writers])
    expect(errors).toEqual([])
    expect(positions.length).toBeGreaterThan(20)
    positions = []
    await daemon.caughtUp()
    expect(await tables()).toEqual(['object_4', 'reference_4'])
    expect(await verifyModel(database.pool, objects())).toEqual({ model: MODEL, position: await daemon.log.head() })
  })

  it('C55 waits for a reader that holds on for long, and the others go on meanwhile', async () => {
    await appendServers(daemon.log, { servers: 5, changes: 2 })
    await daemon.caughtUp()
    // Gives up when it is made to wait.
    const quick = await database.connect({ role: 'mcpd_app' })
    await quick.query(`set lock_timeout = '2s'`)
    const slow = await database.connect({ role: 'mcpd_app' })
    await slow.query('begin')
    await slow.query('select count(*) from rm.object')
    await request(objects())
    let done = false
    const building = build().then(() => (done = true))
    const phase = async () => (await modelStatus(database.pool, MODEL)).rebuild?.state
    const began = performance.now()
    try {
      while ((await phase()) !== 'swapping' || performance.now() - began < 2_500) {
        expect((await daemon.objects.list(serverKind, {})).items).toHaveLength(5)
        await quick.query('select count(*) from rm.reference r, rm.object o')
      }
      expect(done).toBe(false)
    } finally {
      await slow.query('commit')
      await building
    }
    expect((await modelStatus(database.pool, MODEL)).version).toBe(2)
  })

  it('C60 leaves claims alone', async () => {
    await appendServers(daemon.log, { servers: 20, changes: 2 })
    await daemon.caughtUp()
    const claims = async () => (await database.pool.query('select * from es.claim order by scope, key')).rows
    const before = await claims()
    expect(before).toHaveLength(19)
    await rebuild()
    expect(await claims()).toEqual(before)
    const verdict = await daemon.log.append(toServer(99, [{ ...created(1), id: created(99).id }]))
    expect(verdict).toMatchObject({ status: 'claim-taken', owner: `server-${serverUid(1)}` })
  })

  it('C56 goes on when its connections are cut, again and again', async () => {
    await appendServers(daemon.log, { servers: 50, changes: 30 })
    await daemon.caughtUp()
    const before = await contents(database.pool)
    const owner = await database.connect()
    const pool = createPool(database.url, { role: 'mcpd_app', max: 4, applicationName: 'cut' })
    await request(objects())
    const builder = new Builder({ pool, model: objects(), eventsPerCommit: 500 })
    let cuts = 0
    for (let more = true; more;) {
      const state = { settled: false }
      const step = builder.step().catch(() => true)
      void step.then(() => (state.settled = true))
      while (!state.settled && cuts < 12) {
        const { rowCount } = await owner.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where application_name = 'cut' and state <> 'idle' and datname = current_database()`,
        )
        cuts += rowCount ?? 0
      }
      more = await step
    }
    await pool.end()
    expect(cuts).toBeGreaterThanOrEqual(12)
    expect(await modelStatus(database.pool, MODEL)).toMatchObject({ version: 2, status: 'running' })
    expect(await contents(database.pool)).toEqual(before)
  })

  it('of a model that is being rebuilt is refused', async () => {
    await daemon.caughtUp()
    expect(await request(objects())).toBe(2)
    await expect(request(objects())).rejects.toMatchObject({ code: 'Conflict' })
    await build()
    expect(await request(objects())).toBe(3)
  })

  it('by other code starts again when it was begun by this one, and the projector of the old code stops', async () => {
    await appendServers(daemon.log, { servers: 5, changes: 2 })
    await daemon.caughtUp()
    const before = await contents(database.pool)
    await request(objects('a'))
    await new Builder({ pool: database.pool, model: objects('a') }).step()
    await build(objects('b'))
    expect(await modelStatus(database.pool, MODEL)).toMatchObject({ version: 2, fold: 'b' })
    expect(await contents(database.pool)).toEqual(before)
    await daemon.log.append(toServer(0, [scaled(9)]))
    const newer = await followLog(database.pool, 'b')
    await newer.caughtUp()
    // The newer one's checkpoint tells that the model has moved on; the older one notices when it looks next.
    await eventually(() => daemon.projector.status().status === 'waiting')
    expect((await newer.objects.findByUid(serverUid(0)))?.spec['replicas']).toBe(9)
    await newer.stop()
  })
})

describe('a rebuild that cannot be as the log says', () => {
  const twin = toServer(99, [{ ...created(1), id: created(99).id, claims: [] }, scaled(4)])

  it('C45 parks the second of two objects of one name, as the projector does, and says which two', async () => {
    await appendServers(daemon.log, { servers: 8, changes: 2 })
    await daemon.log.append(twin)
    await daemon.log.append(toServer(2, [scaled(8)]))
    await daemon.caughtUp()
    const before = await contents(database.pool)
    const parked = await daemon.parked.list()
    expect(parked).toMatchObject([{ type: 'ServerCreated', behind: 1 }])
    for (const text of ['"server-1"', serverUid(1), serverUid(99)]) expect(parked[0]?.error).toContain(text)
    await rebuild()
    expect(await contents(database.pool)).toEqual(before)
    expect(await daemon.parked.list()).toMatchObject([{ type: 'ServerCreated', behind: 1, error: parked[0]?.error }])
    expect((await verifyModel(database.pool, objects())).difference).toBeUndefined()
  })

  it('C56 fails once when its tables cannot be indexed, drops them, and waits to be asked again', async () => {
    await appendServers(daemon.log, { servers: 3, changes: 1 })
    await daemon.caughtUp()
    const sound = objects()
    const model = {
      ...sound,
      indexes: (version: number) => [`create unique index on rm.object_${version} (kind)`, ...sound.indexes(version)],
    }
    await request(model)
    const builder = new Builder({ pool: database.pool, model })
    await builder.step()
    await expect(builder.step()).rejects.toMatchObject({
      code: 'Conflict',
      message: expect.stringMatching(/model "objects".*Key \(kind\)=\(\w+\).*ask for the rebuild again/) as unknown,
    })
    expect(await builder.step()).toBe(false)
    expect(await tables()).toEqual(['object_1', 'reference_1'])
    expect(await modelStatus(database.pool, MODEL)).toMatchObject({
      version: 1,
      rebuild: { version: 2, state: 'failed', lastError: expect.stringContaining('Key (kind)') as unknown },
    })
    expect(await request(sound)).toBe(2)
    await build(sound)
    expect(await tables()).toEqual(['object_2', 'reference_2'])
    expect((await verifyModel(database.pool, sound)).difference).toBeUndefined()
  })

  it('C45 lets wait whatever waits with the processor, also when that is more than a stream', async () => {
    await appendServers(daemon.log, { servers: 8, changes: 1 })
    const model = { ...objects(), queueOf: ({ category }: { category: string }) => category }
    await daemon.log.append(toServer(4, [{ ...created(4), type: 'ServerTeleported', data: {}, claims: [] }]))
    await daemon.caughtUp()
    await request(model)
    const builder = new Builder({ pool: database.pool, model })
    await expect(builder.step()).rejects.toMatchObject({ code: expect.any(String) as unknown })
    await builder.step()
    await daemon.log.append(toServer(6, [scaled(7)]))
    await daemon.caughtUp()
    while (await builder.step());
    expect((await daemon.objects.findByUid(serverUid(6)))?.spec['replicas']).toBe(1)
    expect((await verifyModel(database.pool, model)).difference).toBeUndefined()
  })

  it('says so in the words of the contract when the database is away', async () => {
    const pool = createPool(database.url, { role: 'mcpd_app', max: 2, applicationName: 'gone' })
    const tx = await pool.connect()
    const pid = (await tx.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid
    await (await database.connect()).query('select pg_terminate_backend($1)', [pid])
    const away = { code: 'Unavailable', message: expect.stringContaining('model "objects"') as unknown }
    await expect(modelStatus(tx, MODEL)).rejects.toMatchObject(away)
    await expect(requestRebuild(tx, objects())).rejects.toMatchObject(away)
    tx.release(true)
    await pool.end()
  })
})
