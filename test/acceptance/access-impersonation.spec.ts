import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { AccessWorld } from '../support/access-world'
import type { Caller } from '../support/caller'
import { statusOfRaw } from '../support/raw-http'
import { rows } from './world'

const forbidden = { status: 403, reason: 'Forbidden' }
const scaled = { spec: { replicas: 0 } }

describe('acting as somebody else', () => {
  let world: AccessWorld
  /** May act as alice. */
  let ivan: Caller
  /** May act as anybody. */
  let zoe: Caller
  let bob: Caller

  beforeAll(async () => {
    world = await AccessWorld.create({ idle: true })
    ;[ivan, zoe, bob] = [await world.as('ivan'), await world.as('zoe'), await world.as('bob')]
  }, 120_000)
  beforeEach(() => world.restore())
  afterAll(() => world.remove(), 60_000)

  const as = (caller: Caller, user: string) => caller.with({ 'impersonate-user': user })

  it('B10 is refused to those who may not, whoever is meant', async () => {
    for (const user of ['alice', 'bob', 'carol', 'nobody-here', 'root'])
      expect(await as(bob, user).get('/servers')).toMatchObject(forbidden)
    expect(await as(ivan, 'root').get('/users')).toMatchObject(forbidden)
    const group = bob.with({ 'impersonate-group': 'admins' })
    expect((await group.get('/users')).status).toBeGreaterThanOrEqual(400)
  })

  it('B10 is malformed when sent twice, empty, or broken over two lines', async () => {
    expect(await as(zoe, '').get('/servers')).toMatchObject({ status: 400 })
    const lines = (...headers: string[]) => [
      'GET /api/v1/servers HTTP/1.1',
      `authorization: Bearer ${zoe.token ?? ''}`,
      ...headers,
    ]
    const status = (...headers: string[]) => statusOfRaw(world.server, lines(...headers))
    expect(await status('impersonate-user: alice')).toBe(200)
    expect(await status('impersonate-user: alice', 'impersonate-user: alice')).toBe(400)
    expect(await status('impersonate-user: alice', 'Impersonate-User: root')).toBe(400)
    expect(await status('impersonate-user: alice\r\n root')).toBe(400)
    expect(await status('impersonate-user: alice\rroot')).toBe(400)
  })

  it('gives the other’s rights and not one’s own', async () => {
    expect(await as(zoe, 'root').get('/users')).toMatchObject({ status: 200 })
    expect(await as(ivan, 'alice').send('PUT', '/api/v1/servers/github/scale', scaled)).toMatchObject({ status: 200 })
    expect(await as(ivan, 'alice').send('PUT', '/api/v1/servers/slack/scale', scaled)).toMatchObject(forbidden)
    expect(await as(zoe, 'bob').get('/servers')).toMatchObject(forbidden)
    // Root's own rights are of no use to root as bob.
    expect(await as(world.root, 'bob').get('/servers')).toMatchObject(forbidden)
  })

  it('ends with the other: disabled, deleted or never there', async () => {
    const target = await world.user('target', ['view:servers'])
    expect(target.token).toBeDefined()
    expect(await as(zoe, 'target').get('/servers')).toMatchObject({ status: 200 })
    await world.root.must(world.root.apply({ users: [{ name: 'target', type: 'human', enabled: false }] }))
    expect(await as(zoe, 'target').get('/servers')).toMatchObject(forbidden)
    await world.root.must(world.root.delete('/users/target'))
    expect(await as(zoe, 'target').get('/servers')).toMatchObject(forbidden)
    expect(await as(zoe, 'nobody-here').get('/servers')).toMatchObject(forbidden)
  })

  it('is not passed on: nobody acts as one who may act as another', async () => {
    // zoe as ivan is ivan, who may act as alice: but two headers are none.
    expect(await as(zoe, 'ivan').get('/servers')).toMatchObject(forbidden)
    expect((await as(zoe, 'ivan, alice').get('/servers')).status).toBeGreaterThanOrEqual(400)
  })

  it('hands out no credentials', async () => {
    for (const caller of [as(zoe, 'root'), as(world.root, 'alice'), as(ivan, 'alice')]) {
      expect(await caller.post('/tokens', {})).toMatchObject({ status: 403 })
      expect(await caller.post('/users/alice/password', {})).toMatchObject({ status: 403 })
      expect(await caller.post('/users/root/password', { current: 'x', password: 'a long pass phrase' })).toMatchObject(
        {
          status: 403,
        },
      )
    }
  })

  it('cannot be granted further than it is held', async () => {
    // zoe as rita may write bindings, and still only what rita holds.
    const rbac = (action: string) => ({
      name: 'imp',
      subjects: [{ kind: 'User', name: 'zoe' }],
      bindings: [],
      operations: [{ action }],
    })
    expect(await as(zoe, 'rita').post('/rbac', rbac('grant'))).toMatchObject({ status: 403, reason: 'Escalation' })
    expect(await as(zoe, 'rita').post('/rbac', rbac('impersonate'))).toMatchObject({
      status: 403,
      reason: 'Escalation',
    })
  })

  it('is recorded with both names, allowed or denied', async () => {
    const reply = await as(ivan, 'alice').apply({
      servers: [{ name: 'github', package: 'npm:semver@7.8.1', replicas: 0 }],
    })
    expect(reply).toMatchObject({ status: 200 })
    const [last] = await rows<{ meta: { actor: { name: string }; impersonator?: { name: string } } }>(
      world.sandbox,
      `select meta from es.event where type = 'ServerTemplateChanged' order by position desc limit 1`,
    )
    expect(last?.meta).toMatchObject({ actor: { name: 'alice' }, impersonator: { name: 'ivan' } })
    await as(bob, 'alice').get('/servers')
    const denied = await rows<{ text: string }>(
      world.sandbox,
      `select data::text || meta::text as text from es.event where type = 'AccessDenied'`,
    )
    expect(denied.some(({ text }) => text.includes('"bob"') && text.includes('alice'))).toBe(true)
  })

  it('shows in whoami', async () => {
    const { text } = await as(ivan, 'alice').get('/whoami')
    expect(text).toContain('alice')
    expect(text).toContain('ivan')
    const typed = await world.mcpctl(ivan.token ?? '', ['--as', 'alice', 'auth', 'whoami'])
    expect(typed).toMatchObject({ code: 0 })
    expect(typed.out).toContain('alice')
  })
})
