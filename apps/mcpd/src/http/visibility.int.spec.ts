import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { expectStatus, objectOf, problemOf, startDaemon, type TestDaemon } from '../../../../test/support/daemon'
import { position } from '../../../../test/support/log'

let daemon: TestDaemon

beforeAll(async () => {
  daemon = await startDaemon()
}, 60_000)
afterAll(() => daemon.close())

describe('a write whose view lags', () => {
  it('is told to be committed, where, and not to be sent again; then it shows', async () => {
    const { projector } = daemon.parts.store
    expect(await projector.waitFor(await position(daemon), 30_000)).toBe(true)
    await projector.stop()
    const key = randomUUID()
    const create = { body: { name: 'late' }, headers: { 'idempotency-key': key } }
    const lagging = await daemon.send('/api/v1/projects', create)
    const at = String(await position(daemon))
    expect(lagging.status).toBe(202)
    expect(lagging.headers.get('content-type')).toContain('application/problem+json')
    expect(lagging.headers.get('retry-after')).toBe('1')
    expect(problemOf(lagging)).toMatchObject({ reason: 'CommittedNotVisible', status: 202, position: at })
    expectStatus(404, await daemon.send('/api/v1/projects/late'))

    const unready = expectStatus(503, await daemon.send('/readyz'))
    expect(JSON.parse(unready.text)).toMatchObject({
      checks: { database: 'ok', objects: 'projector objects is stopped' },
    })
    const status = JSON.parse((await daemon.send('/api/v1/status')).text) as { projectors: object[] }
    expect(status.projectors).toMatchObject([{ status: 'stopped', lag: 1 }])

    projector.start()
    expect(await projector.waitFor(BigInt(at), 30_000)).toBe(true)
    expect(objectOf(await daemon.send('/api/v1/projects/late')).metadata.resourceVersion).toBe(`1.${at}`)
    expectStatus(200, await daemon.send('/readyz'))
    const again = expectStatus(201, await daemon.send('/api/v1/projects', create))
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    expect(String(await position(daemon))).toBe(at)
  })
})
