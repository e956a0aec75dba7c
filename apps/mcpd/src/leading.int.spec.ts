import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import { expectStatus, objectOf, startDaemon, type TestDaemon } from '../../../test/support/daemon'
import { appended } from '../../../test/support/log'

let daemon: TestDaemon

beforeAll(async () => {
  daemon = await startDaemon({ leads: true })
  await eventually(() => daemon.parts.daemon.leads())
}, 60_000)
afterAll(() => daemon.close())

const source = 'npm:echo@1.0.0'
const create = async (name: string) =>
  objectOf(expectStatus(201, await daemon.send('/api/v1/servers', { body: { name, package: source, replicas: 0 } })))
const get = (name: string) => daemon.send(`/api/v1/servers/${name}`)

describe('a daemon that leads', () => {
  it('says so', async () => {
    const status = JSON.parse((await daemon.send('/api/v1/status')).text) as { leader: object; projectors: object[] }
    expect(status.leader).toEqual({ self: true, address: daemon.address })
    expect(status.projectors).toMatchObject([{ name: 'objects', status: 'running' }])
  })

  it('reports what it sees of a server, and does not repeat itself', async () => {
    const { metadata } = await create('quiet')
    await eventually(async () => objectOf(await get('quiet')).status['phase'] === 'Running')
    const types = await appended(daemon, metadata.uid)
    expect(types.filter((type) => type === 'ServerStatusReported')).toHaveLength(1)
    const headers = { 'if-match': `"${metadata.resourceVersion}"` }
    const body = { package: source, replicas: 0, labels: { a: 'b' } }
    expectStatus(200, await daemon.send('/api/v1/servers/quiet', { method: 'PUT', body, headers }))
  })

  it('ends a deletion: then the name is free for another server', async () => {
    const { metadata } = await create('mortal')
    expectStatus(202, await daemon.send('/api/v1/servers/mortal', { method: 'DELETE' }))
    await eventually(async () => (await get('mortal')).status === 404)
    expect((await appended(daemon, metadata.uid)).at(-1)).toBe('ServerDeleted')
    expect((await create('mortal')).metadata.uid).not.toBe(metadata.uid)
  })

  it('answers for logs, and checks what it is asked', async () => {
    await create('logged')
    const logs = (query: string, name = 'logged') => daemon.send(`/api/v1/servers/${name}/logs?${query}`)
    for (const query of ['tail=-5', 'tail=1e308', 'tail=1.5', 'since=1e308', 'since=yesterday', 'tail=1&tail=2'])
      expect([query, (await logs(query)).status]).toEqual([query, 400])
    const empty = expectStatus(200, await logs('tail=5&since=2026-01-01T00:00:00Z'))
    expect([empty.headers.get('content-type'), empty.text]).toEqual(['application/x-ndjson', ''])
    expectStatus(404, await logs('', 'none'))
    expectStatus(404, await daemon.send('/api/v1/instances/none/logs'))
  })
})
