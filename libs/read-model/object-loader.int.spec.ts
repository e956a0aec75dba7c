import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { ProjectedEvent } from '@mcpctl/event-store'
import { projectReferences, projectView } from '@mcpctl/kinds/project/project.view'
import { serverView } from '@mcpctl/kinds/server/server.view'
import { testDatabase, type TestDatabase } from '../../test/support/database'
import { contents, followLog } from '../../test/support/models'
import {
  appendServers,
  created,
  deleted,
  deletionRequested,
  labelled,
  reported,
  scaled,
  toServer,
} from '../../test/support/server-log'
import { createTables, tablesAt } from './model-tables'
import type { ProjectedKind } from './object-fold'
import { ObjectLoader, type LoaderOptions } from './object-loader'

const kinds = [
  { kind: 'Server', category: 'server', view: serverView },
  { kind: 'Project', category: 'project', view: projectView, references: projectReferences },
] as ProjectedKind[]

let database: TestDatabase
let log: ProjectedEvent[]
let projected: string[]

beforeAll(async () => {
  database = await testDatabase()
  const daemon = await followLog(database.pool)
  await appendServers(daemon.log, { servers: 40, changes: 20 })
  // A stream goes on after its object has ended, and one begins and ends in the same batch.
  await daemon.log.append(toServer(9, [scaled(3), reported(1)]))
  await daemon.log.append(toServer(77, [created(77), scaled(2), deleted(77)]))
  // What the versions of an object share changes, and stays, in the middle of its life.
  await daemon.log.append(toServer(0, [labelled({ nr: 'ß' }), reported(3), scaled(7), labelled({}), scaled(8)]))
  await daemon.log.append(toServer(1, [scaled(5), deletionRequested(), reported(1), scaled(6), deleted(1)]))
  await daemon.log.append(toServer(2, [deletionRequested(), scaled(6)]))
  await daemon.caughtUp()
  log = await daemon.log.read(0n, 10_000)
  projected = await contents(database.pool)
  await daemon.stop()
})
afterAll(() => database.close())

interface Loading extends Pick<LoaderOptions, 'keptSize' | 'referrers'> {
  batch: number
  perCommit: number
}

const loaded = async ({ batch, perCommit, ...options }: Loading) => {
  const tx = await database.pool.connect()
  try {
    await createTables(tx, 9)
    const tables = tablesAt(9)
    const loader = new ObjectLoader({ tables, kinds, epoch: 1, ...options })
    for (let from = 0; from < log.length; from += perCommit) {
      await tx.query('begin')
      const part = log.slice(from, from + perCommit)
      for (let at = 0; at < part.length; at += batch) await loader.load(tx, part.slice(at, at + batch))
      await loader.flush(tx)
      await tx.query('commit')
    }
    const { rows } = await tx.query<{ line: string }>(
      `(select concat_ws(' ', kind, uid, name, labels, from_position, to_position, object::text) as line
         from ${tables.object} order by uid, from_position)
       union all
       (select concat_ws(' ', from_kind, from_uid, from_name, to_kind, to_name) from ${tables.reference}
         order by from_uid, to_kind, to_name)`,
    )
    return rows.map(({ line }) => line)
  } finally {
    tx.release()
  }
}

describe('the loader', () => {
  it.each([
    { batch: 10_000, perCommit: 10_000 },
    { batch: 7, perCommit: 10_000 },
    { batch: 7, perCommit: 50 },
    { batch: 1, perCommit: 1 },
    { batch: 10, perCommit: 300, keptSize: 5_000 },
    { batch: 3, perCommit: 40, keptSize: 0 },
    { batch: 3, perCommit: 200, referrers: 0 },
  ])('C59 makes the same rows as the projector, byte by byte, with %j', async (options) => {
    expect(await loaded(options)).toEqual(projected)
  })

  it('can be cancelled in the middle, and the connection goes on', async () => {
    const tx = await database.pool.connect()
    await createTables(tx, 9)
    const loader = new ObjectLoader({ tables: tablesAt(9), kinds, epoch: 1 })
    await tx.query('begin')
    await loader.load(tx, log)
    await loader.cancel()
    await tx.query('rollback')
    expect((await tx.query(`select from ${tablesAt(9).object}`)).rowCount).toBe(0)
    await loader.cancel()
    tx.release()
  })
})
