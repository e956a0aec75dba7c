import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { mintToken } from '@mcpctl/access'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import { expectStatus, problemOf, startDaemon, type Sent, type TestDaemon } from '../../../../test/support/daemon'
import { bearing, bodyOf, grant, newPerson, sessionOf, setEnabled } from '../../../../test/support/people'
import { goneWithinMs } from '../../../../test/support/deadlines'

let daemon: TestDaemon
/** On the same database. */
let second: TestDaemon

beforeAll(async () => {
  daemon = await startDaemon()
  second = await startDaemon({ database: daemon.database })
})
afterAll(async () => {
  await second.close()
  await daemon.close()
})

interface Issued {
  id: string
  token: string
  user: string
  type: string
  expiresAt: string
}

interface Listed {
  items: { id: string; type: string; current: boolean; lastUsedAt: string | null; note: string | null }[]
}

const issue = (body: object, token = daemon.token) =>
  daemon.send('/api/v1/tokens', { method: 'POST', body, headers: bearing(token) })
const issued = async (body: object, token = daemon.token) => bodyOf<Issued>(expectStatus(201, await issue(body, token)))
const asked = (token: string, path: string, sent: Sent = {}) =>
  daemon.send(path, { ...sent, headers: { ...sent.headers, ...bearing(token) } })
const whoAmI = (token: string, at = daemon) => at.send('/api/v1/whoami', { headers: bearing(token) })
/** The other daemon learns of a new user a moment later. */
const knownElsewhere = (token: string) => eventually(async () => (await whoAmI(token, second)).status === 200)
const revoke = (id: string, token = daemon.token) => asked(token, `/api/v1/tokens/${id}`, { method: 'DELETE' })

describe('a token', () => {
  it('is issued to its owner, shown once, and good for 30 days unless told', async () => {
    const user = await newPerson(daemon)
    const session = await sessionOf(daemon, user)
    const mine = await issued({ note: 'laptop' }, session)
    expect(mine).toMatchObject({ user, type: 'pat', token: expect.stringMatching(/^mcp_pat_/) as unknown })
    expect((Date.parse(mine.expiresAt) - Date.now()) / 86_400_000).toBeCloseTo(30, 1)
    expectStatus(200, await whoAmI(mine.token))
    const list = expectStatus(200, await asked(mine.token, '/api/v1/tokens'))
    const { items } = bodyOf<Listed>(list)
    expect(items.find(({ id }) => id === mine.id)).toMatchObject({ type: 'pat', note: 'laptop', current: true })
    expect(items.map(({ type }) => type)).toContain('ses')
    expect(list.text).not.toContain(mine.token.slice(12))
  })

  it('of a service user is its only way in', async () => {
    expectStatus(201, await daemon.send('/api/v1/users', { body: { name: 'ci', type: 'service' } }))
    const { token, type } = await issued({ user: 'ci', ttl: '1h' })
    expect([type, token.slice(0, 8)]).toEqual(['svc', 'mcp_svc_'])
    expectStatus(200, await whoAmI(token))
    expect((await daemon.send('/api/v1/users/ci/password', { method: 'POST' })).status).toBe(409)
  })

  it.each([
    { ttl: '366d' },
    { ttl: '59s' },
    { ttl: 'soon' },
    { ttl: '' },
    { scopes: [] },
    { scopes: ['admin'] },
    { scopes: ['view:nothing'] },
    { scopes: ['op:fly'] },
    { scopes: 'view:servers' },
    { note: 'two\nlines' },
    { note: 'x'.repeat(300) },
    { owner: 'admin' },
  ])('is not issued for a wish that means nothing: %j', async (wish) => {
    expectStatus(422, await issue(wish))
  })

  it('is not issued for nobody, nor in a rehearsal', async () => {
    expectStatus(404, await issue({ user: 'no-such-user' }))
    expectStatus(400, await asked(daemon.token, '/api/v1/tokens?dryRun=All', { body: {} }))
  })

  it('with a scope allows what both allow, and issues no other', async () => {
    const user = await newPerson(daemon)
    await grant(daemon, user, { bindings: [{ role: 'view', resource: 'servers' }] })
    const session = await sessionOf(daemon, user)
    const narrow = await issued({ scopes: ['view:servers:github', 'op logs:servers'] }, session)
    const wide = await issued({ scopes: ['view:*', 'delete:*', 'op:*'] }, session)
    const other = await issued({ scopes: ['view:projects'] }, session)
    const looks = async (token: string, path: string) => (await asked(token, path)).status
    expect(await looks(narrow.token, '/api/v1/servers/github')).toBe(404)
    expect(await looks(narrow.token, '/api/v1/servers/slack')).toBe(403)
    expect(await looks(wide.token, '/api/v1/servers/slack')).toBe(404)
    expect(await looks(wide.token, '/api/v1/projects/web')).toBe(403)
    expect(await looks(other.token, '/api/v1/servers/github')).toBe(403)
    for (const { token } of [narrow, wide]) {
      expectStatus(403, await issue({}, token))
      expectStatus(403, await issue({ scopes: ['view:servers:github'] }, token))
      expectStatus(403, await asked(token, `/api/v1/users/${user}/password`, { body: { password: 'x' } }))
    }
  })

  it('of one who is disabled is not issued', async () => {
    const user = await newPerson(daemon)
    await setEnabled(daemon, user, false)
    expectStatus(409, await issue({ user }))
  })
})

describe('a token for somebody else', () => {
  it('needs the operation, and all that he holds', async () => {
    const [helper, rich, poor] = [await newPerson(daemon), await newPerson(daemon), await newPerson(daemon)]
    await grant(daemon, rich, { bindings: [{ role: 'delete', resource: 'servers' }] })
    const session = await sessionOf(daemon, helper)
    expectStatus(403, await issue({ user: poor }, session))
    await grant(daemon, helper, { operations: [{ action: 'tokens' }] })
    expectStatus(201, await issue({ user: poor }, session))
    const refused = expectStatus(403, await issue({ user: rich }, session))
    expect(problemOf(refused).reason).toBe('Escalation')
    expect(refused.text).not.toContain('delete:servers')
    expect(problemOf(await issue({ user: 'admin' }, session)).reason).toBe('Escalation')
  })

  it('may be listed by who may view him, and revoked by who may issue it', async () => {
    const [viewer, owner] = [await newPerson(daemon), await newPerson(daemon)]
    const session = await sessionOf(daemon, viewer)
    const { id, token } = await issued({ user: owner })
    expectStatus(403, await asked(session, `/api/v1/tokens?user=${owner}`))
    expectStatus(403, await asked(session, '/api/v1/tokens?user=no-such-user'))
    expectStatus(404, await revoke(id, session))
    await grant(daemon, viewer, { bindings: [{ role: 'view', resource: 'users', name: owner }] })
    expect(bodyOf<Listed>(await asked(session, `/api/v1/tokens?user=${owner}`)).items.map((item) => item.id)).toContain(
      id,
    )
    expectStatus(403, await revoke(id, session))
    expectStatus(200, await whoAmI(token))
    expectStatus(204, await revoke(id))
    expectStatus(401, await whoAmI(token))
    for (const none of [id, 'x', '018f0000-0000-7000-8000-0000000000ff']) expectStatus(404, await revoke(none))
  })
})

describe('a token that is revoked', () => {
  it('is refused on the next request here, and within a second on another daemon', async () => {
    const user = await newPerson(daemon)
    const { id, token } = await issued({ user })
    await knownElsewhere(token)
    expectStatus(200, await whoAmI(token))
    expectStatus(204, await revoke(id))
    expectStatus(401, await whoAmI(token))
    await eventually(async () => (await whoAmI(token, second)).status === 401, goneWithinMs)
  })

  it('as a session that is ended, and with one who is disabled', async () => {
    const [user, other] = [await newPerson(daemon), await newPerson(daemon)]
    const [session, others] = [await sessionOf(daemon, user), await sessionOf(daemon, other)]
    for (const token of [session, others]) await knownElsewhere(token)
    expectStatus(200, await asked(session, '/api/v1/logout', { method: 'POST' }))
    await setEnabled(daemon, other, false)
    for (const token of [session, others])
      await eventually(async () => (await whoAmI(token, second)).status === 401, goneWithinMs)
  })

  it('may end itself, whatever its scope', async () => {
    const { id, token } = await issued({ scopes: ['view:servers'] })
    expectStatus(204, await revoke(id, token))
    expectStatus(401, await whoAmI(token))
  })
})

describe('a session', () => {
  const age = (token: string, sql: string) =>
    daemon.database.pool.query(`update access.token set ${sql} where prefix = $1`, [token.slice(0, 12)])

  it('ends when nobody uses it for twelve hours, and after seven days in any case', async () => {
    const user = await newPerson(daemon)
    const [idle, old, used] = [
      await sessionOf(daemon, user),
      await sessionOf(daemon, user),
      await sessionOf(daemon, user),
    ]
    await age(idle, `issued_at = now() - interval '13 hours', last_used_at = null`)
    await age(old, `expires_at = now() - interval '1 second'`)
    await age(used, `issued_at = now() - interval '6 days', last_used_at = now() - interval '11 hours'`)
    expect([(await whoAmI(idle)).status, (await whoAmI(old)).status, (await whoAmI(used)).status]).toEqual([
      401, 401, 200,
    ])
    await eventually(async () => {
      const { items } = bodyOf<Listed>(await asked(used, '/api/v1/tokens'))
      const [mine] = items.filter(({ current }) => current)
      return Date.now() - Date.parse(mine?.lastUsedAt ?? '') < 60_000
    })
  })
})

describe('B8 what is no token of this store', () => {
  it.each([
    mintToken('pat'),
    mintToken('ses'),
    mintToken('svc'),
    `ghp_${'a'.repeat(36)}`,
    'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.',
    'mcp_pat_',
  ])('is refused, and never in the log (%#)', async (token) => {
    expectStatus(401, await whoAmI(token))
    expect(daemon.logged()).not.toContain(token)
  })
})

it('twenty revocations and twenty logins at once leave nothing half done', async () => {
  const user = await newPerson(daemon)
  const tokens = await Promise.all(Array.from({ length: 20 }, () => issued({ user })))
  const sessions = Array.from({ length: 20 }, () => sessionOf(daemon, user))
  const answers = await Promise.all(tokens.map(({ id }) => revoke(id)))
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 204))
  for (const { token } of tokens) expectStatus(401, await whoAmI(token))
  for (const token of await Promise.all(sessions)) expectStatus(200, await whoAmI(token))
})
