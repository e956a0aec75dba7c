import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { JsonObject } from '@mcpctl/event-store'
import { v7 as uuidv7 } from 'uuid'
import { until } from '../../../../test/support/binaries'
import { expectStatus, objectOf, problemOf, startDaemon, type TestDaemon } from '../../../../test/support/daemon'
import { events, position } from '../../../../test/support/log'

interface Listed {
  processor: string
  position: string
  type: string
  streamId: string
  error: string
  behind: number
}

let daemon: TestDaemon

beforeAll(async () => {
  daemon = await startDaemon()
}, 60_000)
afterAll(() => daemon.close())

const parked = async (query = ''): Promise<Listed[]> => {
  const { text } = expectStatus(200, await daemon.send(`/api/v1/admin/parked${query}`))
  return (JSON.parse(text) as { parked: Listed[] }).parked
}

const parkedAt = (streamId: string) =>
  until('the event is parked', async () => (await parked()).find((event) => event.streamId === streamId))

const project = async (name: string, description = 'first') => {
  const sent = { method: 'PUT', body: { name, description }, headers: { 'if-none-match': '*' } }
  return objectOf(expectStatus(201, await daemon.send(`/api/v1/projects/${name}`, sent))).metadata.uid
}

/** As a newer version of the daemon would. */
const append = async (streamId: string, type: string, data: JsonObject): Promise<string> => {
  const meta = { actor: { uid: randomUUID(), name: 'from the future' } }
  const verdict = await daemon.parts.store.log.append({
    streams: [
      {
        streamId,
        category: 'project',
        expected: 'exists',
        events: [{ id: uuidv7(), type, schemaVersion: 1, data, meta }],
      },
    ],
  })
  return 'last' in verdict ? String(verdict.last) : ''
}

const described = async (name: string) =>
  objectOf(expectStatus(200, await daemon.send(`/api/v1/projects/${name}`))).spec['description']

const act = (verb: 'retry' | 'skip', { processor, position: at }: Listed, sent = {}) =>
  daemon.send(`/api/v1/admin/parked/${processor}/${at}/${verb}`, { method: 'POST', ...sent })

const recorded = async () =>
  (await events(daemon))
    .filter(({ category }) => category === 'processor')
    .map(({ streamId, type, data, meta }) => ({ streamId, type, data, actor: meta.actor.name, reason: meta.reason }))

describe('an event that the read model cannot hold', () => {
  it('C45 is listed with what waits behind it, while other objects go on', async () => {
    expect(await parked()).toEqual([])
    const streamId = `project-${await project('ahead')}`
    const at = await append(streamId, 'ProjectTeleported', {})
    await append(streamId, 'ProjectDescribed', { description: 'behind' })
    expect(await parkedAt(streamId)).toMatchObject({ processor: 'objects', position: at, type: 'ProjectTeleported' })
    await until('the later event waits', async () => (await parked('?processor=objects'))[0]?.behind === 1)
    expect((await parked())[0]?.error).toContain('ProjectTeleported')
    expect(await described('ahead')).toBe('first')
    await project('beside')
  })

  it('C45 stays parked when it is tried again in vain, which the log keeps nothing of, however often', async () => {
    const [first] = await parked()
    const head = await position(daemon)
    for (let time = 0; time < 2; time++) {
      const { text } = expectStatus(200, await act('retry', first!))
      expect(JSON.parse(text)).toMatchObject({ applied: 0, stoppedAt: { position: first!.position } })
    }
    expect(await parked()).toEqual([first])
    expect(await position(daemon)).toBe(head)
    expect(await recorded()).toEqual([])
  })

  it('C45 stays parked when the skip cannot be recorded', async () => {
    const [first] = await parked()
    const owner = await daemon.database.connect()
    await owner.query(`alter table es.event add constraint unrecordable check (category <> 'processor') not valid`)
    expect((await act('skip', first!)).status).toBeGreaterThanOrEqual(400)
    await owner.query('alter table es.event drop constraint unrecordable')
    expect(await parked()).toEqual([first])
    expect(await described('ahead')).toBe('first')
  })

  it('C45 is left out when it is skipped, for the reason that is recorded, and what waited is applied', async () => {
    const [first] = await parked()
    const reason = 'written by a test — ünïcode'
    const headers = { 'idempotency-key': randomUUID(), 'x-mcpctl-reason': encodeURIComponent(reason) }
    const skip = { headers }
    const answer = expectStatus(200, await act('skip', first!, skip))
    expect(JSON.parse(answer.text)).toEqual({ applied: 1 })
    expect(await parked()).toEqual([])
    expect(await described('ahead')).toBe('behind')
    expect((await recorded()).at(-1)).toEqual({
      streamId: 'processor-objects',
      type: 'ParkedEventSkipped',
      data: { processor: 'objects', position: first!.position, applied: 1 },
      actor: 'admin',
      reason,
    })

    const head = await position(daemon)
    expect(expectStatus(200, await act('skip', first!, skip)).text).toBe(answer.text)
    const other = { ...skip, body: {} }
    expect(problemOf(expectStatus(422, await act('skip', first!, other))).reason).toBe('IdempotencyKeyReused')
    expect(problemOf(expectStatus(404, await act('skip', first!))).detail).toContain('no event parked')
    expect(await position(daemon)).toBe(head)
  })

  it('C45 is applied once what stood in its way is gone, by one of two who ask at once', async () => {
    const streamId = `project-${await project('held')}`
    const owner = await daemon.database.connect()
    await owner.query(
      `alter table rm.object_1 add constraint held check (object #>> '{spec,description}' <> 'held') not valid`,
    )
    await append(streamId, 'ProjectDescribed', { description: 'held' })
    const first = await parkedAt(streamId)
    await owner.query('alter table rm.object_1 drop constraint held')
    const key = { headers: { 'idempotency-key': randomUUID() } }
    const twins = await Promise.all([act('retry', first, key), act('retry', first, key)])
    expect(twins.map(({ status, text }) => [status, text])).toEqual(Array(2).fill([200, '{"applied":1}']))
    expect(await described('held')).toBe('held')
    const retries = (await recorded()).filter(({ data }) => data['position'] === first.position)
    expect(retries).toHaveLength(1)
  })
})

describe('a request that makes no sense', () => {
  it.each<[string, number, object | undefined]>([
    ['/api/v1/admin/parked?processor=objekts', 404, undefined],
    ['/api/v1/admin/parked?processor=a&processor=b', 400, undefined],
    ['/api/v1/admin/parked/objekts/1/retry', 404, {}],
    ['/api/v1/admin/parked/objects/0/retry', 400, {}],
    ['/api/v1/admin/parked/objects/-1/skip', 400, {}],
    ['/api/v1/admin/parked/objects/1e3/skip', 400, {}],
    ['/api/v1/admin/parked/objects/9999999999999999999/skip', 400, {}],
    ['/api/v1/admin/parked/objects/99999/skip', 404, {}],
    ['/api/v1/admin/parked/objects/1/skip', 400, { reason: 'x' }],
    ['/api/v1/admin/parked/objects/1/retry', 400, ['x']],
    ['/api/v1/admin/models/objects/rebuild', 400, { reason: 'x' }],
    ['/api/v1/admin/parked/objects/1/skip?dryRun=All', 400, {}],
  ])('%s is answered with %i and appends nothing', async (path, status, body) => {
    const head = await position(daemon)
    const answer = await daemon.send(path, body && { method: 'POST', body })
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toContain('application/problem+json')
    expect(await position(daemon)).toBe(head)
  })

  it.each([
    ['of 1025 characters', 'x'.repeat(1025)],
    ['of two lines', 'two%0Alines'],
    ['with NUL', 'nul%00'],
  ])('with a reason %s is refused', async (_, reason) => {
    const sent = { method: 'POST', headers: { 'x-mcpctl-reason': reason } }
    const head = await position(daemon)
    for (const path of ['/api/v1/admin/models/objects/rebuild', '/api/v1/projects'])
      expect(problemOf(expectStatus(400, await daemon.send(path, sent))).detail).toContain('X-Mcpctl-Reason')
    expect(await position(daemon)).toBe(head)
  })

  it('names the processors that there are', async () => {
    expect(problemOf(await daemon.send('/api/v1/admin/parked?processor=objekts')).detail).toContain('objects')
  })
})
