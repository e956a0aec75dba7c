import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { ModelStatus } from '@mcpctl/contracts'
import { Builder } from '@mcpctl/event-store'
import { until } from '../../../../test/support/binaries'
import { expectStatus, listOf, problemOf, startDaemon, type TestDaemon } from '../../../../test/support/daemon'
import { events, position } from '../../../../test/support/log'

let daemon: TestDaemon

beforeAll(async () => {
  daemon = await startDaemon({ leads: true })
  for (const name of ['one', 'two', 'three']) {
    const sent = { body: { name, description: name } }
    expectStatus(201, await daemon.send('/api/v1/projects', sent))
  }
}, 60_000)
afterAll(() => daemon.close())

const model = async (): Promise<ModelStatus> =>
  JSON.parse(expectStatus(200, await daemon.send('/api/v1/admin/models/objects')).text) as ModelStatus

const rebuild = (headers: Record<string, string> = {}) =>
  daemon.send('/api/v1/admin/models/objects/rebuild', { method: 'POST', headers })

const rebuilt = (version: number) =>
  until('readers see the new version', async () => {
    const found = await model()
    return found.version === version && found.rebuild === undefined
  })

const requests = async () => (await events(daemon)).filter(({ type }) => type === 'RebuildRequested')

describe('a rebuild over HTTP', () => {
  it('C59 is done in the background, shows the same objects, and is recorded with who asked', async () => {
    const before = listOf(await daemon.send('/api/v1/projects')).items
    const answer = expectStatus(202, await rebuild({ 'x-mcpctl-reason': 'it%20was%20forged' }))
    expect(JSON.parse(answer.text)).toEqual({ name: 'objects', version: 2 })
    await rebuilt(2)
    expect(listOf(await daemon.send('/api/v1/projects')).items).toEqual(before)
    const [request] = await requests()
    expect(request).toMatchObject({
      streamId: 'processor-objects',
      data: { processor: 'objects', version: 2 },
      meta: { actor: { name: 'admin' }, reason: 'it was forged' },
    })
    expect(await model()).toMatchObject({ name: 'objects', version: 2, status: 'running' })
    expect((await model()).eventsPerSecond).toBeGreaterThan(0)
  })

  it('C55 is asked for once: a second request is refused meanwhile, a repeated one answered again', async () => {
    const key = { 'idempotency-key': randomUUID() }
    const answers = await Promise.all([rebuild(key), rebuild(key), rebuild(key)])
    expect(answers.map(({ status, text }) => [status, JSON.parse(text)])).toEqual(
      Array(3).fill([202, { name: 'objects', version: 3 }]),
    )
    await rebuilt(3)
    const owner = await daemon.database.connect()
    // Holds the build where it stands.
    await owner.query('begin; lock table rm.object_3 in access share mode')
    expectStatus(202, await rebuild())
    const head = await position(daemon)
    expect(problemOf(expectStatus(409, await rebuild()))).toMatchObject({
      reason: 'Conflict',
      detail: expect.stringContaining('is being rebuilt already') as unknown,
    })
    expect(await position(daemon)).toBe(head)
    const status = JSON.parse((await daemon.send('/api/v1/status')).text) as { projectors: object[] }
    expect(status.projectors).toMatchObject([
      { name: 'objects', status: 'running', parked: 0, rebuild: { version: 4 } },
    ])
    await owner.query('rollback')
    await rebuilt(4)
    expect(await requests()).toHaveLength(3)
  })

  it('tells everybody how far it is', async () => {
    const idle = await startDaemon()
    try {
      const { pool, log, models } = idle.parts.store
      const ask = async (path: string) => JSON.parse(expectStatus(200, await idle.send(path)).text) as object
      expectStatus(202, await idle.send('/api/v1/admin/models/objects/rebuild', { method: 'POST' }))
      const head = await log.head()
      for (let done = 0n; done <= head; done++) {
        // As a builder does with each of its steps.
        await pool.query('update es.checkpoint set position = $1, events_per_second = 7 where not active', [done])
        const rebuild = { version: 2, state: 'building', position: String(done), eventsPerSecond: 7 }
        expect(await ask('/api/v1/admin/models/objects')).toMatchObject({ version: 1, head: String(head), rebuild })
        expect(await ask('/api/v1/status')).toMatchObject({
          store: { position: String(head) },
          projectors: [{ name: 'objects', status: 'running', rebuild }],
        })
      }
      // Most of it at 7 events/s, and the last event as quickly as may be: that is less than 11 in all.
      await pool.query('update es.checkpoint set position = position - 1 where not active')
      await new Builder({ pool, model: models[0]! }).step()
      const { rebuild } = (await ask('/api/v1/admin/models/objects')) as ModelStatus
      expect(rebuild).toMatchObject({ state: 'indexing', position: String(head) })
      expect(rebuild?.eventsPerSecond).toBeGreaterThan(0)
      expect(rebuild?.eventsPerSecond).toBeLessThan(11)
      const builder = new Builder({ pool, model: models[0]! })
      while (await builder.step()) continue
      expect(await ask('/api/v1/admin/models/objects')).toMatchObject({
        version: 2,
        eventsPerSecond: rebuild?.eventsPerSecond,
      })
    } finally {
      await idle.close()
    }
  })

  it('is not begun when it cannot be recorded', async () => {
    const owner = await daemon.database.connect()
    await owner.query(`alter table es.event add constraint unrecordable check (category <> 'processor') not valid`)
    expect((await rebuild()).status).toBeGreaterThanOrEqual(400)
    await owner.query('alter table es.event drop constraint unrecordable')
    const { version, rebuild: begun } = await model()
    expect([version, begun]).toEqual([4, undefined])
    const { rows } = await owner.query(`select from pg_class where oid = to_regclass('rm.object_5')`)
    expect(rows).toEqual([])
  })

  it.each<[string, string]>([
    ['GET', '/api/v1/admin/models/objekts'],
    ['POST', '/api/v1/admin/models/objekts/rebuild'],
    ['POST', '/api/v1/admin/models/constructor/rebuild'],
  ])('%s %s says which models there are', async (method, path) => {
    const head = await position(daemon)
    expect(problemOf(expectStatus(404, await daemon.send(path, { method }))).detail).toMatch(/objects/)
    expect(await position(daemon)).toBe(head)
  })

  it('lists every model', async () => {
    const { text } = await daemon.send('/api/v1/admin/models')
    expect(JSON.parse(text)).toMatchObject({ models: [{ name: 'objects', version: 4 }] })
  })
})
