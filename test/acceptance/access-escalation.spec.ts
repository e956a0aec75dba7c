import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { idleServer, rbacOf } from '../support/access-fixture'
import { AccessWorld } from '../support/access-world'
import type { Caller, Items, Reply } from '../support/caller'
import { rows } from './world'

const escalation = { status: 403, reason: 'Escalation' }
const forbidden = { status: 403, reason: 'Forbidden' }
const human = (name: string) => ({ name, type: 'human' })

describe('rights that nobody can give himself', () => {
  let world: AccessWorld
  /** Writes users, groups and bindings, and holds little else: view of servers. */
  let rita: Caller
  let bob: Caller

  beforeAll(async () => {
    world = await AccessWorld.create({ idle: true })
    rita = await world.as('rita')
    bob = await world.as('bob')
  }, 120_000)
  beforeEach(() => world.restore())
  afterAll(() => world.remove(), 60_000)

  /** Everything that rights follow from, as the administrator sees it. */
  const state = async () => {
    const lists = ['users', 'groups', 'rbac'].map((plural) => world.root.must(world.root.get<Items>(`/${plural}`)))
    return (await Promise.all(lists)).map(({ items }) => items)
  }

  const log = async (): Promise<string[]> => {
    const found = await rows<{ line: string }>(
      world.sandbox,
      `select position || ' ' || type as line from es.event where category in ('user', 'group', 'rbac') order by position`,
    )
    return found.map(({ line }) => line)
  }

  /** Refused with that, and nothing of it has happened; the dry run says the same. */
  const refused = async (ask: (query: string) => Promise<Reply>, as: object = escalation) => {
    const [before, logged] = [await state(), await log()]
    expect(await ask('?dryRun=All')).toMatchObject(as)
    expect(await ask('')).toMatchObject(as)
    expect(await state()).toEqual(before)
    expect(await log()).toEqual(logged)
  }

  describe('B49 by groups and bindings', () => {
    it('adding oneself to a group that holds more', () =>
      refused((query) => rita.apply({ groups: [{ name: 'admins', members: ['root', 'carol', 'rita'] }] }, query)))
    it('adding somebody else to it', () =>
      refused((query) => rita.apply({ groups: [{ name: 'dev', members: ['alice', 'erin', 'bob'] }] }, query)))
    it('a new group and its binding in one request', () =>
      refused((query) =>
        rita.apply(
          { groups: [{ name: 'mine', members: ['rita'] }], rbac: [rbacOf('mine', ['g:mine'], ['edit:servers'])] },
          query,
        ),
      ))
    it('a binding first, for a group without members, and the members with the same request', () =>
      refused((query) =>
        rita.apply(
          {
            rbac: [rbacOf('mine', ['g:empty'], ['run:servers:github'])],
            groups: [{ name: 'empty', members: ['rita'] }],
          },
          query,
        ),
      ))
    it('a binding that gives the right to grant, and its use, in one request', () =>
      refused((query) =>
        rita.apply(
          { rbac: [rbacOf('first', ['u:rita'], ['op grant']), rbacOf('second', ['u:rita'], ['edit:*'])] },
          query,
        ),
      ))
    it('a new user with the groups of his choice', () =>
      refused((query) =>
        rita.apply({ users: [human('sock')], groups: [{ name: 'dev', members: ['alice', 'erin', 'sock'] }] }, query),
      ))
    it('one entry more in a binding of one’s own', () =>
      refused((query) =>
        rita.apply({ rbac: [rbacOf('rbac-mgr', ['u:rita'], ['view:rbac', 'edit:rbac', 'delete:users'])] }, query),
      ))
    it('a wider place: all of a kind for one of it', async () => {
      const nora = await world.user('nora-2', ['create:rbac', 'view:servers:team-a'])
      const create = (entry: string) => (query: string) =>
        nora.post(`/rbac${query}`, rbacOf('wide', ['u:bob'], [entry]))
      await refused(create('view:servers'))
      await refused(create('view:servers:github'))
      await refused(create('edit:servers:team-a'))
      expect(await create('view:servers:team-a')('')).toMatchObject({ status: 201 })
    })
    it('everybody at once', () =>
      refused((query) => rita.post(`/rbac${query}`, rbacOf('all', ['g:system:authenticated'], ['edit:servers']))))
    it.each(['grant', '*', 'impersonate', 'tokens'])('operation %s', (action) =>
      refused((query) => rita.post(`/rbac${query}`, rbacOf('op', ['u:rita'], [`op ${action}`]))),
    )
    it('two halves at the same time: a group for a binding, a binding for the group', async () => {
      for (let round = 0; round < 10; round++) {
        const name = `pair-${String(round)}`
        await world.root.must(world.root.apply({ groups: [{ name, members: [] }] }))
        const replies = await Promise.all([
          rita.apply({ groups: [{ name, members: ['rita'] }] }),
          world.root.post('/rbac', rbacOf(name, [`g:${name}`], ['edit:servers'])),
        ])
        // Whichever comes first: the group may be joined while it gives nothing, and not after.
        const [joined, bound] = replies.map(({ status }) => status < 300)
        const { body } = await rita.post<{ allowed: boolean }>('/authz/can-i', { verb: 'edit', kind: 'servers' })
        expect(bound).toBe(true)
        expect(body.allowed).toBe(joined)
        if (!joined) expect(replies[0]).toMatchObject(escalation)
        await world.root.must(world.root.delete(`/rbac/${name}`))
      }
    })
    it('two of her own at the same time pave no way for each other', async () => {
      for (let round = 0; round < 10; round++) {
        const name = `race-${String(round)}`
        await Promise.all([
          rita.apply({ groups: [{ name, members: ['rita'] }] }),
          rita.post('/rbac', rbacOf(name, ['g:empty'], ['edit:servers'])),
          rita.post('/rbac', rbacOf(`${name}-g`, ['u:rita'], ['op grant'])),
          rita.apply({ groups: [{ name: 'empty', members: ['rita'] }] }),
        ])
      }
      const { body } = await rita.post<{ allowed: boolean }>('/authz/can-i', { verb: 'edit', kind: 'servers' })
      expect(body.allowed).toBe(false)
    })
  })

  describe('B49 by names that somebody had before', () => {
    it('a user made anew under a name that rights were given to gets none of them', async () => {
      const first = await world.user('heir', ['view:servers', 'edit:servers'])
      expect(await first.get('/servers/github')).toMatchObject({ status: 200 })
      await world.root.must(world.root.delete('/users/heir'))
      expect(await first.get('/servers/github')).toMatchObject({ status: 401 })
      await rita.must(rita.post('/users', human('heir')))
      const second = await world.issue('heir')
      expect(await bob.at(world.server).get('/servers')).toMatchObject(forbidden)
      const heir = (await world.as('bob')).withToken(second)
      expect(await heir.get('/servers/github')).toMatchObject(forbidden)
      expect(await first.get('/servers/github')).toMatchObject({ status: 401 })
    })
    it('a group made anew gives nothing, and binding the name again is a grant', async () => {
      await world.root.must(world.root.apply({ groups: [{ name: 'old', members: [] }] }))
      await world.root.must(world.root.post('/rbac', rbacOf('old', ['g:old'], ['edit:servers'])))
      await world.root.must(world.root.delete('/groups/old'))
      await rita.must(rita.post('/groups', { name: 'old', members: ['rita'] }))
      const { body } = await rita.post<{ allowed: boolean }>('/authz/can-i', { verb: 'edit', kind: 'servers' })
      expect(body.allowed).toBe(false)
      await refused((query) => rita.apply({ rbac: [rbacOf('old', ['g:old'], ['edit:servers'])] }, query))
    })
    it('applying what was printed does not bind the name again', async () => {
      await world.user('heir', ['edit:servers'])
      await world.root.must(world.root.delete('/users/heir'))
      const printed = await world.mcpctl(world.root.token ?? '', ['get', 'rbac', 'heir-rights', '-o', 'yaml'])
      await world.root.must(world.root.post('/users', human('heir')))
      const applied = await world.mcpctl(world.root.token ?? '', ['apply', '-f', '-'], printed.out)
      expect(applied).toMatchObject({ code: 0, out: 'rbac/heir-rights unchanged\n' })
      const heir = bob.withToken(await world.issue('heir'))
      expect(await heir.get('/servers/github')).toMatchObject(forbidden)
    })
  })

  describe('by credentials', () => {
    it('a token for somebody who holds more', async () => {
      const issuer = await world.user('issuer', ['op tokens', 'view:users'])
      for (const user of ['root', 'alice']) expect(await issuer.post('/tokens', { user })).toMatchObject(escalation)
      expect(await issuer.post('/tokens', { user: 'bob' })).toMatchObject({ status: 201 })
      expect(await bob.post('/tokens', { user: 'alice' })).toMatchObject({ status: 403 })
    })
    it('a password of somebody who holds more', async () => {
      expect(await rita.post('/users/root/password', {})).toMatchObject(escalation)
      expect(await rita.post('/users/alice/password', {})).toMatchObject(escalation)
      expect(await bob.post('/users/alice/password', {})).toMatchObject({ status: 403 })
    })
    it('enabling somebody who held more', () =>
      refused((query) => rita.apply({ users: [{ ...human('carol'), enabled: true }] }, query)))
    it('a token within a token: the scope narrows, and a scoped token issues none', async () => {
      const narrow = bob.withToken(await world.issue('alice', { scopes: ['view:servers'] }))
      expect(await narrow.get('/servers/github')).toMatchObject({ status: 200 })
      expect(await narrow.send('PUT', '/api/v1/servers/github/scale', { spec: { replicas: 0 } })).toMatchObject(
        forbidden,
      )
      expect(await narrow.post('/tokens', {})).toMatchObject({ status: 403 })
      const wide = bob.withToken(await world.issue('alice', { scopes: ['view:*', 'edit:*', 'delete:*', 'op *'] }))
      expect(await wide.get('/users')).toMatchObject(forbidden)
      expect(await wide.delete('/servers/github')).toMatchObject(forbidden)
      expect(await wide.post('/rbac', rbacOf('x', ['u:alice'], ['view:*']))).toMatchObject({ status: 403 })
    })
    it('B8 tokens of others’ making are refused, and are in no log', async () => {
      const strange = [`ghp_${'a'.repeat(36)}`, 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.', `mcp_pat_${'0'.repeat(49)}`]
      for (const token of strange) expect(await bob.withToken(token).get('/servers')).toMatchObject({ status: 401 })
      const logged = await world.sandbox.log()
      for (const token of strange) expect(logged).not.toContain(token.slice(8))
    })
  })

  describe('by asking', () => {
    it('what may not be seen answers the same as what is not there', async () => {
      const text = async (method: string, path: string, name: string, body?: unknown) => {
        const { status, text } = await bob.send(method, path.replace('NAME', name), body)
        return { status, text: text.replaceAll(name, 'NAME').replace(/urn:request:[\w-]+/, 'urn:request:ID') }
      }
      const asked: [string, string, unknown?][] = [
        ['GET', '/api/v1/servers/NAME'],
        ['DELETE', '/api/v1/servers/NAME'],
        ['GET', '/api/v1/servers/NAME/scale'],
        ['PUT', '/api/v1/servers/NAME/scale', { spec: { replicas: 1 } }],
        ['GET', '/api/v1/servers/NAME/logs'],
        ['GET', '/api/v1/users/NAME'],
        ['GET', '/api/v1/groups/NAME'],
        ['POST', '/api/v1/users/NAME/password', {}],
        ['GET', '/api/v1/authz/effective?user=NAME'],
        ['POST', '/mcp/servers/NAME', { jsonrpc: '2.0', id: 1, method: 'ping' }],
      ]
      for (const [method, path, body] of asked) {
        const there =
          path.includes('users') || path.includes('user=') ? 'alice' : path.includes('groups') ? 'admins' : 'github'
        const [seen, unseen] = [await text(method, path, there, body), await text(method, path, 'nothing-here', body)]
        expect({ method, path, ...seen }).toEqual({ method, path, ...unseen })
        expect(seen.status).toBe(403)
      }
    })
    it('dry runs tell those alone who may write', async () => {
      const before = await log()
      expect(await bob.post('/servers?dryRun=All', idleServer('x'))).toMatchObject(forbidden)
      expect(await bob.post('/servers?dryRun=All', { name: 'x', nonsense: 1 })).toMatchObject(forbidden)
      expect(await bob.apply({ servers: [idleServer('github'), idleServer('x')] }, '?dryRun=All')).toMatchObject(
        forbidden,
      )
      expect(await bob.post('/rbac?dryRun=All', rbacOf('x', ['u:nobody-here'], ['view:servers']))).toMatchObject(
        forbidden,
      )
      expect(await log()).toEqual(before)
    })
  })

  describe('B59 by the key of another’s request', () => {
    const once = (caller: Caller, key: string, name = 'keyed') =>
      caller.with({ 'idempotency-key': key }).post('/servers', idleServer(name))

    it('a key that another has used is independent', async () => {
      const [key, alice, sam] = [randomUUID(), await world.as('alice'), await world.as('sam')]
      expect(await once(alice, key)).toMatchObject({ status: 201 })
      expect(await once(bob, key)).toMatchObject(forbidden)
      expect(await once(sam, key, 'other')).toMatchObject({ status: 201 })
      expect(await once(alice, key)).toMatchObject({ status: 201 })
      expect(await once(alice, key, 'another')).toMatchObject({ status: 422 })
    })
    it('an answer is not given again to somebody who has lost the right', async () => {
      const [key, one] = [randomUUID(), await world.user('once', ['create:servers', 'view:servers'])]
      expect(await once(one, key)).toMatchObject({ status: 201 })
      await world.root.must(world.root.delete('/rbac/once-rights'))
      expect(await once(one, key)).toMatchObject(forbidden)
    })
    it('is 400 when it is long or empty', async () => {
      for (const key of ['', 'k'.repeat(1024)]) expect(await once(world.root, key)).toMatchObject({ status: 400 })
    })
    it('the same under another’s name', async () => {
      const [key, ivan] = [randomUUID(), await world.as('ivan')]
      const asAlice = ivan.with({ 'impersonate-user': 'alice' })
      expect(await once(asAlice, key)).toMatchObject({ status: 201 })
      expect(await once(ivan, key)).toMatchObject(forbidden)
    })
  })
})
