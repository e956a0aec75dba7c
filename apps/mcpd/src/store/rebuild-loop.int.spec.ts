import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import { modelStatus } from '@mcpctl/event-store'
import { until } from '../../../../test/support/binaries'
import { testDatabase, type TestDatabase } from '../../../../test/support/database'
import { expectStatus, objectOf, startDaemon, type TestDaemon } from '../../../../test/support/daemon'
import { events } from '../../../../test/support/log'
import { objectFold } from './fold'

let database: TestDatabase
let daemon: TestDaemon | undefined

beforeAll(async () => {
  database = await testDatabase()
})
afterEach(async () => {
  await daemon?.close()
  daemon = undefined
})
afterAll(() => database.close())

const start = async (options: { leads: boolean }) => {
  daemon = await startDaemon({ ...options, database })
  return daemon
}

const create = async (name: string, at: TestDaemon) =>
  objectOf(expectStatus(201, await at.send('/api/v1/projects', { body: { name, description: 'x' } })))

const status = () => modelStatus(database.pool, 'objects')
const rebuilt = (version: number) =>
  until('the model is rebuilt', async () => {
    const { version: current, rebuild } = await status()
    return current === version && rebuild === undefined
  })
const requests = async (at: TestDaemon) =>
  (await events(at)).filter(({ type }) => type === 'RebuildRequested').map(({ data, meta }) => [data, meta.actor.name])

describe('a model that other code has folded', () => {
  it('is gone on with by a daemon that does not lead', async () => {
    await create('before', await start({ leads: false }))
    expect(await status()).toMatchObject({ version: 1, fold: objectFold })
    await daemon?.close()
    await database.pool.query(`update es.checkpoint set fold = 'older' where processor = 'objects'`)
    await create('meanwhile', await start({ leads: false }))
    expect(await status()).toMatchObject({ version: 1, fold: 'older', status: 'running' })
  })

  it('is rebuilt by the one that leads, on the record, while it serves', async () => {
    const leader = await start({ leads: true })
    await create('at-once', leader)
    await rebuilt(2)
    expect(await status()).toMatchObject({ fold: objectFold })
    await create('after', leader)
    const names = ['before', 'meanwhile', 'at-once', 'after']
    for (const name of names) expectStatus(200, await leader.send(`/api/v1/projects/${name}`))
    expect(await requests(leader)).toEqual([[{ processor: 'objects', version: 2 }, 'system:leader']])
  })

  it('is not rebuilt again once it is ours', async () => {
    const leader = await start({ leads: true })
    await create('later', leader)
    await until('it leads', () => leader.parts.daemon.leads())
    expect(await status()).toMatchObject({ version: 2 })
    expect((await status()).rebuild).toBeUndefined()
  })

  it('is rebuilt on request, by the next leader when the one who took the request has gone', async () => {
    const idle = await start({ leads: false })
    expectStatus(202, await idle.send('/api/v1/admin/models/objects/rebuild', { method: 'POST' }))
    expect((await status()).rebuild).toMatchObject({ version: 3, state: 'building' })
    await idle.close()
    const leader = await start({ leads: true })
    await rebuilt(3)
    await create('last', leader)
  })
})
