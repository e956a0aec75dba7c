import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import {
  expectStatus,
  listOf,
  objectOf,
  problemOf,
  startDaemon,
  type TestDaemon,
} from '../../../../test/support/daemon'
import {
  bearing,
  bodyOf,
  codeFor,
  goodPassword,
  logIn,
  newAddress,
  newPerson,
  nobody,
  post,
  sessionOf,
  setEnabled,
} from '../../../../test/support/people'

let daemon: TestDaemon

beforeAll(async () => {
  daemon = await startDaemon()
})
afterAll(() => daemon.close())

const whoAmI = (token: string) => daemon.send('/api/v1/whoami', { headers: bearing(token) })

describe('a login', () => {
  it('opens a session that says who one is, until it is ended', async () => {
    const user = await newPerson(daemon)
    const token = await sessionOf(daemon, user)
    expect(token).toMatch(/^mcp_ses_/)
    const who = bodyOf<{ user: { name: string }; groups: string[]; token: { type: string } }>(
      expectStatus(200, await whoAmI(token)),
    )
    expect([who.user.name, who.groups, who.token.type]).toEqual([user, [], 'ses'])
    const headers = bearing(token)
    expect(bodyOf(await daemon.send('/api/v1/logout', { method: 'POST', headers }))).toEqual({ ended: 1 })
    expectStatus(401, await whoAmI(token))
  })

  it('is told of with the user, also when the session has ended', async () => {
    const [user, other] = [await newPerson(daemon), await newPerson(daemon)]
    const lastLogin = async (name: string) =>
      objectOf(await daemon.send(`/api/v1/users/${name}`)).status['lastLogin'] as string | undefined
    const { resourceVersion } = objectOf(await daemon.send(`/api/v1/users/${user}`)).metadata
    const before = (await lastLogin(user)) ?? ''
    const token = await sessionOf(daemon, user)
    const after = (await lastLogin(user)) ?? ''
    expect(after > before).toBe(true)
    await logIn(daemon, { user, password: 'not the password' })
    expectStatus(200, await daemon.send('/api/v1/logout', { method: 'POST', headers: bearing(token) }))
    expect(await lastLogin(user)).toBe(after)
    const { items } = listOf(await daemon.send('/api/v1/users'))
    const listed = new Map(items.map(({ metadata, status }) => [metadata.name, status['lastLogin']]))
    expect([listed.get(user), listed.get(other)]).toEqual([after, await lastLogin(other)])
    // A login is no change of the user: what was read before it may still be written back.
    expect(objectOf(await daemon.send(`/api/v1/users/${user}`)).metadata.resourceVersion).toBe(resourceVersion)
  })

  it('ends every session when asked to', async () => {
    const user = await newPerson(daemon)
    const [first, second] = [await sessionOf(daemon, user), await sessionOf(daemon, user)]
    expectStatus(200, await daemon.send('/api/v1/logout?all=1', { method: 'POST', headers: bearing(first) }))
    expect([(await whoAmI(first)).status, (await whoAmI(second)).status]).toEqual([401, 401])
  })

  it('answers the same to a wrong password, an unknown, a disabled and a service user', async () => {
    const [user, disabled] = [await newPerson(daemon), await newPerson(daemon)]
    expectStatus(201, await daemon.send('/api/v1/users', { body: { name: 'robot', type: 'service' } }))
    await setEnabled(daemon, disabled, false)
    const answers = [
      await logIn(daemon, { user, password: 'not the password' }),
      await logIn(daemon, { user: 'no-such-user', password: goodPassword }),
      await logIn(daemon, { user: disabled, password: goodPassword }),
      await logIn(daemon, { user: 'robot', password: goodPassword }),
      await logIn(daemon, { user, password: 'x'.repeat(300) }),
    ]
    const told = answers.map((answer) => `${String(answer.status)} ${problemOf(answer).detail}`)
    expect(new Set(told)).toEqual(new Set(['401 the name or the password is wrong']))
  })

  it('costs as much for a user whom nobody knows as for a wrong password', async () => {
    const user = await newPerson(daemon)
    const costs = { known: [] as number[], unknown: [] as number[] }
    for (let n = 0; n < 15; n++)
      for (const [who, name] of [['known', user] as const, ['unknown', `nobody-${String(n)}`] as const]) {
        const from = newAddress()
        const before = process.cpuUsage()
        await logIn(daemon, { user: name, password: 'not the password', from })
        const { user: own, system } = process.cpuUsage(before)
        costs[who].push(own + system)
      }
    // Of the processor's time, which others on the machine do not take, the least of each: what this process does besides adds to it only.
    const ratio = Math.min(...costs.known) / Math.min(...costs.unknown)
    expect(ratio).toBeGreaterThan(0.6)
    expect(ratio).toBeLessThan(1.7)
  })

  it.each([
    [{}, 422],
    [{ user: 'admin' }, 422],
    [{ user: 'admin', password: 7 }, 422],
    [{ user: 'admin', password: goodPassword, admin: true }, 422],
    [[], 400],
    [{ user: 'admin', password: 'x'.repeat(1_000_000) }, 413],
    [{ user: 'admin', password: 'x'.repeat(2_000_000) }, 413],
  ])('B52 refuses a body that is none (%#)', async (body, status) => {
    expect((await post(daemon, '/api/v1/login', { body })).status).toBe(status)
  })
})

describe('a user who is disabled', () => {
  it('is out at once, and what was open stays closed when he is enabled again', async () => {
    const user = await newPerson(daemon)
    const session = await sessionOf(daemon, user)
    const { token } = bodyOf<{ token: string }>(
      expectStatus(201, await daemon.send('/api/v1/tokens', { body: { user } })),
    )
    expectStatus(200, await whoAmI(session))
    await setEnabled(daemon, user, false)
    expect([(await whoAmI(session)).status, (await whoAmI(token)).status]).toEqual([401, 401])
    await setEnabled(daemon, user, true)
    expect([(await whoAmI(session)).status, (await whoAmI(token)).status]).toEqual([401, 401])
    expectStatus(200, await whoAmI(await sessionOf(daemon, user)))
  })

  it('who is deleted is out, and whoever bears the name later is somebody else', async () => {
    const user = await newPerson(daemon)
    const session = await sessionOf(daemon, user)
    expect((await daemon.send(`/api/v1/users/${user}`, { method: 'DELETE' })).status).toBeLessThan(300)
    expectStatus(401, await whoAmI(session))
    expectStatus(201, await daemon.send('/api/v1/users', { body: { name: user } }))
    expectStatus(401, await whoAmI(session))
    expectStatus(401, await logIn(daemon, { user, password: goodPassword }))
  })
})

describe('whoever guesses', () => {
  it('waits after five tries, while sessions and other addresses go on', async () => {
    const user = await newPerson(daemon)
    const session = await sessionOf(daemon, user)
    const from = newAddress()
    for (let n = 0; n < 5; n++) expectStatus(401, await logIn(daemon, { user, password: 'wrong', from }))
    const refused = expectStatus(429, await logIn(daemon, { user, password: goodPassword, from }))
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    expectStatus(200, await whoAmI(session))
    expectStatus(200, await logIn(daemon, { user, password: goodPassword }))
  })

  it('B52 by 200 logins at once keeps nobody else waiting', async () => {
    const user = await newPerson(daemon)
    const storm = Array.from({ length: 200 }, () => logIn(daemon, { user, password: 'wrong' }))
    const waits: number[] = []
    const storming = { isOver: false }
    const ended = Promise.all(storm).finally(() => (storming.isOver = true))
    while (!storming.isOver) {
      const started = performance.now()
      expectStatus(200, await daemon.send('/healthz', { headers: nobody }))
      waits.push(performance.now() - started)
    }
    const statuses = (await ended).map(({ status }) => status)
    expect(new Set(statuses)).toEqual(new Set([401, 429]))
    expect(Math.max(...waits)).toBeLessThan(6_000)
  })
})

describe('a password', () => {
  const change = (user: string, token: string, body: object) =>
    daemon.send(`/api/v1/users/${user}/password`, { body, headers: bearing(token) })
  const other = 'the rain in spain 19'

  it('is changed by who knows it, who may end his other sessions', async () => {
    const user = await newPerson(daemon)
    const [mine, elsewhere] = [await sessionOf(daemon, user), await sessionOf(daemon, user)]
    expectStatus(403, await change(user, mine, { current: 'not this', password: other }))
    expectStatus(422, await change(user, mine, { password: other }))
    expectStatus(200, await change(user, mine, { current: goodPassword, password: other, endSessions: true }))
    expect([(await whoAmI(mine)).status, (await whoAmI(elsewhere)).status]).toEqual([200, 401])
    expectStatus(401, await logIn(daemon, { user, password: goodPassword }))
    expectStatus(200, await logIn(daemon, { user, password: other }))
  })

  it.each(['password1', 'password1234', 'mcpctl mcpctl', '7 signs', 'x'.repeat(40), 'y'.repeat(300)])(
    'B53 that others would guess is refused (%#)',
    async (password) => {
      const user = await newPerson(daemon)
      const token = await sessionOf(daemon, user)
      const refused = expectStatus(422, await change(user, token, { current: goodPassword, password }))
      expect(problemOf(refused).errors?.[0]?.pointer).toBe('/password')
      expect(refused.text).not.toContain(password)
      expectStatus(422, await change(user, token, { current: goodPassword, password: `${user} ${user}` }))
    },
  )

  it('B53 of 64 characters with spaces and emoji is as good as any', async () => {
    const long = `${'quiet rivers run past old mills and new ones '.repeat(2).slice(0, 62)}🦀é`
    const user = await newPerson(daemon, long)
    expectStatus(200, await logIn(daemon, { user, password: long.normalize('NFD') }))
  })

  it('of somebody else is nobody’s choice: he sets it with a code, once', async () => {
    const user = await newPerson(daemon)
    const session = await sessionOf(daemon, user)
    expectStatus(400, await daemon.send(`/api/v1/users/${user}/password`, { body: { password: other } }))
    const [void1, code] = [await codeFor(daemon, user), await codeFor(daemon, user)]
    const setUp = (given: string) => post(daemon, '/api/v1/setup', { body: { user, code: given, password: other } })
    expectStatus(401, await setUp(void1))
    expectStatus(422, await post(daemon, '/api/v1/setup', { body: { user, code, password: 'password1' } }))
    const twins = await Promise.all([setUp(code), setUp(code)])
    expect(twins.map(({ status }) => status).sort()).toEqual([200, 401])
    expectStatus(401, await setUp(code))
    expectStatus(401, await whoAmI(session))
    expectStatus(200, await logIn(daemon, { user, password: other }))
  })

  it('is not set with a code that has expired', async () => {
    const user = await newPerson(daemon)
    const code = await codeFor(daemon, user)
    await daemon.database.pool.query(`update access.setup_code set expires_at = now() - interval '1 s'`)
    expectStatus(401, await post(daemon, '/api/v1/setup', { body: { user, code, password: other } }))
  })

  it('is hashed anew at the next login when the parameters have risen', async () => {
    const user = await newPerson(daemon)
    const weak = '$argon2id$v=19$m=8192,t=1,p=1$'
    const { hash } = await import('@node-rs/argon2')
    const old = await hash(goodPassword, { memoryCost: 8192, timeCost: 1, parallelism: 1 })
    expect(old.startsWith(weak)).toBe(true)
    const owner = bodyOf<{ metadata: { uid: string } }>(await daemon.send(`/api/v1/users/${user}`)).metadata.uid
    await daemon.database.pool.query('update access.password set hash = $2 where user_uid = $1', [owner, old])
    expectStatus(200, await logIn(daemon, { user, password: goodPassword }))
    const { rows } = await daemon.database.pool.query<{ hash: string }>(
      'select hash from access.password where user_uid = $1',
      [owner],
    )
    expect(rows[0]?.hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
    expectStatus(200, await logIn(daemon, { user, password: goodPassword }))
  })
})

describe('what is kept', () => {
  it('of logins is in the log: who came in, and who did not', async () => {
    const user = await newPerson(daemon)
    const session = await sessionOf(daemon, user)
    await logIn(daemon, { user, password: 'wrong' })
    await logIn(daemon, { user: 'a-password-typed-as-a-name', password: 'wrong' })
    await daemon.send('/api/v1/logout', { method: 'POST', headers: bearing(session) })
    const { uid } = bodyOf<{ metadata: { uid: string } }>(await daemon.send(`/api/v1/users/${user}`)).metadata
    const events = await daemon.parts.store.log.readStream(`audit-${uid}`)
    expect(events.map(({ type }) => type).slice(-3)).toEqual(['LoginSucceeded', 'LoginFailed', 'SessionEnded'])
    expect(events.at(-3)?.meta).toMatchObject({ actor: { name: user }, sourceAddress: expect.any(String) as unknown })
    const strangers = await daemon.parts.store.log.readStream('audit-anonymous')
    expect(JSON.stringify(strangers.map(({ data, meta }) => ({ data, meta })))).not.toContain('a-password-typed')
  })

  it('holds no password, no code and no token, neither in the log nor anywhere else', async () => {
    const password = 'seven secret swans swim'
    const user = await newPerson(daemon, password)
    const code = await codeFor(daemon, user)
    const token = await sessionOf(daemon, user, password)
    await logIn(daemon, { user: password, password })
    const secrets = [password, code, token, token.slice(12, 40)]
    const { rows: tables } = await daemon.database.pool.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
        where schemaname in ('es', 'rm', 'access') and has_table_privilege(format('%I.%I', schemaname, tablename), 'select')`,
    )
    expect(tables.map(({ name }) => name)).toEqual(expect.arrayContaining(['es.event', 'access.token']))
    for (const { name } of tables) {
      const { rows } = await daemon.database.pool.query<{ line: string }>(`select t::text as line from ${name} t`)
      for (const secret of secrets) expect(rows.filter(({ line }) => line.includes(secret))).toEqual([])
    }
    for (const secret of secrets) expect(daemon.logged()).not.toContain(secret)
  })
})
