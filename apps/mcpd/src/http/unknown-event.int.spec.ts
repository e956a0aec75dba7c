import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { expectStatus, objectOf, problemOf, startDaemon, type TestDaemon } from '../../../../test/support/daemon'

let daemon: TestDaemon

beforeAll(async () => {
  daemon = await startDaemon()
}, 60_000)
afterAll(() => daemon.close())

const create = async (name: string) =>
  objectOf(expectStatus(201, await daemon.send('/api/v1/servers', { body: { name, package: 'npm:echo@1.0.0' } })))

it('an object that a newer daemon has changed is neither guessed at nor changed, others are served, and the log tells', async () => {
  const [newer, other] = [await create('newer'), await create('other')]
  const streamId = `server-${newer.metadata.uid}`
  const meta = { actor: { uid: '00000000-0000-0000-0000-000000000000', name: 'system:test' } }
  const event = { id: '018f0000-0000-7000-8000-00000000bbbb', type: 'ServerFrozen', schemaVersion: 1, data: {}, meta }
  const { log, projector } = daemon.parts.store
  await log.append({ streams: [{ streamId, category: 'server', expected: 'exists', events: [event] }] })
  const scale = (name: string) =>
    daemon.send(`/api/v1/servers/${name}/scale`, { method: 'PUT', body: { spec: { replicas: 3 } } })
  const problem = problemOf(expectStatus(501, await scale('newer')))
  expect(problem).toMatchObject({ reason: 'UnknownEvent', status: 501 })
  expect(problem.detail).toMatch(/ServerFrozen of schema version 1.*upgrade this daemon/)
  expect(await log.readStream(streamId)).toHaveLength(2)
  expect(await projector.waitFor(await log.head(), 30_000)).toBe(true)
  expectStatus(200, await scale('other'))
  expect(objectOf(await daemon.send('/api/v1/servers/other')).metadata.uid).toBe(other.metadata.uid)
  expect(objectOf(await daemon.send('/api/v1/servers/newer')).metadata.resourceVersion).toBe(
    newer.metadata.resourceVersion,
  )
  expect(daemon.logged()).toMatch(/ServerFrozen in stream \\"server-.*is parked/)
})
