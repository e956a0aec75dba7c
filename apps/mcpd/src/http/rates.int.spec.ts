import { afterEach, describe, expect, it } from '@jest/globals'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import {
  expectStatus,
  problemOf,
  startDaemon,
  type DaemonOptions,
  type Received,
  type TestDaemon,
} from '../../../../test/support/daemon'
import { bearing, goodPassword, logIn, newPerson, nobody, sessionOf } from '../../../../test/support/people'
import { defaultLimits, type Limits } from '../limits'

const open: TestDaemon[] = []
afterEach(async () => {
  for (const each of open.splice(0)) await each.close()
})
const start = async (options: DaemonOptions): Promise<TestDaemon> => {
  const daemon = await startDaemon(options)
  open.push(daemon)
  return daemon
}

const none = { perSecond: 0, burst: 0 }
const limits = (some: Partial<Limits>): Limits => ({ ...defaultLimits, requests: none, calls: none, ...some })

/** Asks until it is refused for asking too often; how many answers came before, and the refusal. */
const untilRefused = async (ask: () => Promise<Received>): Promise<{ before: number[]; refused: Received }> => {
  const before: number[] = []
  for (;;) {
    const answer = await ask()
    if (answer.status === 429) return { before, refused: answer }
    before.push(answer.status)
    if (before.length > 200) throw new Error('nobody is ever refused')
  }
}

describe('requests of one user', () => {
  it('are refused beyond the burst, those of others are not, and it passes', async () => {
    const daemon = await start({ limits: limits({ requests: { perSecond: 1, burst: 20 } }) })
    const user = await newPerson(daemon)
    const session = await sessionOf(daemon, user)
    const started = performance.now()
    const { before, refused } = await untilRefused(() => daemon.send('/api/v1/whoami', { headers: bearing(session) }))
    const refilled = Math.ceil((performance.now() - started) / 1000)
    expect(before.length).toBeGreaterThanOrEqual(20)
    expect(before.length).toBeLessThanOrEqual(20 + refilled)
    expect(problemOf(refused)).toMatchObject({
      type: 'https://mcpctl.dev/problems/too-many-requests',
      status: 429,
      reason: 'TooManyRequests',
      retryAfter: 1,
    })
    expect(refused.headers.get('retry-after')).toBe('1')
    expectStatus(200, await daemon.send('/api/v1/whoami'))
    expectStatus(200, await daemon.send('/healthz', { headers: nobody }))
    await eventually(async () => (await daemon.send('/api/v1/whoami', { headers: bearing(session) })).status === 200)
  })

  it('count once for all tokens, after it is known who asks and before anything is read', async () => {
    const daemon = await start({ limits: limits({ requests: { perSecond: 1, burst: 30 } }) })
    const user = await newPerson(daemon)
    const [one, two] = [await sessionOf(daemon, user), await sessionOf(daemon, user)]
    await untilRefused(() => daemon.send('/api/v1/whoami', { headers: bearing(one) }))
    const statuses = async (sent: { raw?: string; path: string; token: string }) =>
      untilRefused(() => daemon.send(sent.path, { ...sent, headers: bearing(sent.token) }))
    // What little was refilled meanwhile aside: a body that is none and a route that is forbidden are refused as too many.
    for (const sent of [
      { path: '/api/v1/whoami', token: two },
      { path: '/api/v1/servers', raw: '{', token: two },
      { path: '/api/v1/servers/x', token: one },
    ])
      expect((await statuses(sent)).before.length).toBeLessThan(30)
    expectStatus(401, await daemon.send('/api/v1/whoami', { headers: bearing('mcp_pat_x') }))
  })

  it('do not count as calls of MCP servers, nor these as requests', async () => {
    const daemon = await start({ leads: true, limits: limits({ calls: { perSecond: 1, burst: 5 } }) })
    const { before } = await untilRefused(() => daemon.send('/mcp/servers/x', { body: {} }))
    expect(new Set(before)).toEqual(new Set([400]))
    for (let n = 0; n < 30; n++) expectStatus(200, await daemon.send('/api/v1/whoami'))
  })
})

describe('logins', () => {
  it('are limited as told', async () => {
    const { account, address, global } = defaultLimits.logins
    const logins = { account: { ...account, attempts: 2 }, address, global }
    const daemon = await start({ limits: limits({ logins }) })
    const user = await newPerson(daemon)
    const { before } = await untilRefused(() => logIn(daemon, { user, password: 'wrong', from: '127.0.9.1' }))
    expect(before).toEqual([401, 401])
  })

  it('from one address are limited before any of them is looked at', async () => {
    const daemon = await start({ limits: limits({ requests: { perSecond: 1, burst: 4 } }) })
    const { before } = await untilRefused(() => daemon.send('/api/v1/login', { body: { user: 7 }, headers: nobody }))
    expect(new Set(before)).toEqual(new Set([422]))
  })

  const by = (daemon: TestDaemon, forwarded: string, user: string, password = 'wrong') =>
    daemon.send('/api/v1/login', { body: { user, password }, headers: { ...nobody, 'x-forwarded-for': forwarded } })

  it('through a proxy that is trusted come from whom it names: nobody shuts others out', async () => {
    const daemon = await start({ trustedProxies: ['127.0.0.1'] })
    const user = await newPerson(daemon)
    const { before } = await untilRefused(() => by(daemon, '192.0.2.1', user))
    expect(before).toHaveLength(5)
    // What he claims himself stands further left.
    expectStatus(429, await by(daemon, '198.51.100.1, 192.0.2.1', user))
    expectStatus(200, await by(daemon, '192.0.2.2', user, goodPassword))
  })

  it('of who only says so come from where they come', async () => {
    const daemon = await start({})
    const user = await newPerson(daemon)
    let n = 0
    const { before } = await untilRefused(() => by(daemon, `192.0.2.${String(++n)}`, user))
    expect(before).toHaveLength(5)
  })
})
