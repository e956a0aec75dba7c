import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { rbacOf } from '../support/access-fixture'
import { AccessWorld } from '../support/access-world'
import { until } from '../support/binaries'
import { Caller, type Items, type Reply } from '../support/caller'
import { twoDaemons, type Pair } from '../support/two-daemons'

const everything = ['view:*', 'create:*', 'edit:*', 'delete:*', 'run:*', 'op *']
const count = 20
const admin = (index: number) => `admin-${String(index)}`
const numbers = (amount: number) => Array.from({ length: amount }, (_, index) => index)

/** What somebody does to administrator `index`, by himself or from outside. */
type Removal = (by: Caller, index: number) => Promise<Reply>

const removals: [string, Removal][] = [
  ['disabling', (by, index) => by.apply({ users: [{ name: admin(index), type: 'human', enabled: false }] })],
  ['deleting', (by, index) => by.delete(`/users/${admin(index)}`)],
  ['emptying his group', (by, index) => by.apply({ groups: [{ name: admin(index), members: [] }] })],
  ['deleting his group', (by, index) => by.delete(`/groups/${admin(index)}`)],
  ['deleting his binding', (by, index) => by.delete(`/rbac/${admin(index)}`)],
  ['unbinding his group', (by, index) => by.apply({ rbac: [rbacOf(admin(index), ['u:taker'], ['view:servers'])] })],
  [
    'taking one role of five from his binding',
    (by, index) => by.apply({ rbac: [rbacOf(admin(index), [`g:${admin(index)}`], everything.slice(0, -2))] }),
  ],
  [
    'several of these in one bulk',
    (by, index) =>
      by.apply({
        users: [{ name: admin(index), type: 'human', enabled: false }],
        groups: [{ name: admin(index), members: ['taker'] }],
        rbac: [rbacOf(admin(index), [], ['view:servers'])],
      }),
  ],
]

/** Asks again while others were faster, as the answer says. */
const insist = async (ask: () => Promise<Reply>): Promise<Reply> => {
  for (;;) {
    const reply = await ask()
    if (reply.reason !== 'Conflict') return reply
  }
}

describe('the last administrator', () => {
  let pair: Pair
  let world: AccessWorld
  /** May take everything from everybody, and is no administrator. */
  let taker: Caller
  /** Whoever is left after a test, and puts things right for the next one. */
  let keeper: Caller

  beforeAll(async () => {
    pair = await twoDaemons({ env: AccessWorld.asRoot })
    world = AccessWorld.around(pair.first, { idle: true })
    await world.fill()
    keeper = world.root
    const verbs = ['view', 'edit', 'delete', 'create']
    taker = await world.user(
      'taker',
      ['users', 'groups', 'rbac']
        .flatMap((kind) => verbs.map((verb) => `${verb}:${kind}`))
        .concat('view:servers', 'op grant'),
    )
  }, 120_000)
  afterAll(() => pair.remove(), 90_000)

  /** Neighbours ask different daemons. */
  const spread = (caller: Caller, index: number): Caller =>
    index % 2 === 0 ? caller : caller.at(pair.second.context().server)

  const nameOf = async (caller: Caller): Promise<string> =>
    (await caller.must(caller.get<{ user: { name: string } }>('/whoami'))).user.name

  /** Administrators 0 to `amount`, each by a group and a binding of his own, who can log in; root is disabled. */
  const appoint = async (amount: number): Promise<Caller[]> => {
    const wanted = numbers(amount).map(admin)
    await keeper.must(
      keeper.apply({
        users: ['root', ...wanted].map((name) => ({ name, type: 'human', enabled: true })),
        groups: wanted.map((name) => ({ name, members: [name] })),
        rbac: wanted.map((name) => rbacOf(name, [`g:${name}`], everything)),
      }),
    )
    const tokens: Caller[] = []
    for (const name of wanted) {
      // His own stays good: he is not asked to choose another one.
      if (name !== (await nameOf(keeper))) await keeper.must(keeper.post(`/users/${name}/password`, {}))
      const { token } = await keeper.must(keeper.post<{ token: string }>('/tokens', { user: name }))
      tokens.push(new Caller(world.server, token))
    }
    const [first] = tokens
    const others = await first!.names('users')
    for (const name of others.filter((each) => /^admin-/.test(each) && !wanted.includes(each)))
      await first!.must(first!.delete(`/users/${name}`))
    await first!.must(first!.apply({ users: [{ name: 'root', type: 'human', enabled: false }] }))
    return tokens
  }

  /** Those among them who may still do everything. */
  const left = async (admins: Caller[]): Promise<Caller[]> => {
    const found: Caller[] = []
    for (const each of admins) {
      const asks = ['view', 'create', 'edit', 'delete', 'run'].map((verb) => ({ verb, kind: 'servers' }))
      const answers = await Promise.all(
        [...asks, { action: 'grant' }].map((ask) => each.post<{ allowed?: boolean }>('/authz/can-i', ask)),
      )
      if (answers.every(({ body }) => body.allowed === true)) found.push(each)
    }
    return found
  }

  /** Those who are left, as soon as each daemon knows. Throws when it is another number. */
  const remaining = async (admins: Caller[], amount: number): Promise<void> => {
    for (const parity of [1, 0])
      await until(`${String(amount)} stay`, async () => {
        const stay = await left(admins.map((each) => spread(each, parity)))
        return stay.length === amount || undefined
      })
  }

  describe.each([2, count])('%i administrators, all removed at the same time', (amount) => {
    let admins: Caller[]
    beforeEach(async () => {
      admins = await appoint(amount)
      await remaining(admins, amount)
    }, 60_000)
    afterEach(async () => {
      const [one] = await left(admins)
      keeper = one ?? keeper
    })

    it.each(removals)(
      'B55 by %s: all but one go',
      async (_, remove) => {
        const replies = await Promise.all(
          numbers(amount).map((index) => insist(() => remove(spread(taker, index), index))),
        )
        const refused = replies.filter(({ status }) => status >= 300)
        expect(refused.map(({ status, reason }) => ({ status, reason }))).toEqual([
          { status: 409, reason: 'LastAdmin' },
        ])
        await remaining(admins, 1)
      },
      120_000,
    )

    it.each(removals)(
      'B55 by %s, each by the next one: somebody stays',
      async (_, remove) => {
        const replies = await Promise.all(
          admins.map((each, index) => insist(() => remove(spread(each, index), (index + 1) % amount))),
        )
        const gone = replies.filter(({ status }) => status < 300).length
        expect(gone).toBeLessThan(amount)
        for (const { status } of replies) expect([200, 202, 401, 403, 404, 409]).toContain(status)
        await remaining(admins, amount - gone)
      },
      120_000,
    )
  })

  it('B55 removed by one request, all of them: nothing of it happens', async () => {
    const admins = await appoint(3)
    const before = await taker.get<Items>('/groups')
    const all = { groups: numbers(3).map((index) => ({ name: admin(index), members: [] })) }
    expect(await taker.apply(all)).toMatchObject({ status: 409, reason: 'LastAdmin' })
    expect(await taker.apply(all, '?dryRun=All')).toMatchObject({ status: 409, reason: 'LastAdmin' })
    expect((await taker.get<Items>('/groups')).body.items).toEqual(before.body.items)
    expect(await left(admins)).toHaveLength(3)
    keeper = admins[0]!
  }, 60_000)

  it('those who cannot log in do not count', async () => {
    const [only] = await appoint(1)
    keeper = only!
    // A service user has every right and a token, and nobody can log in as it.
    await keeper.must(
      keeper.apply({
        users: [{ name: 'robot', type: 'service' }],
        groups: [{ name: admin(0), members: [admin(0), 'robot'] }],
      }),
    )
    expect(await taker.delete(`/users/${admin(0)}`)).toMatchObject({ status: 409, reason: 'LastAdmin' })
  }, 60_000)
})
