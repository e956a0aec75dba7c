import { createHash } from 'node:crypto'
import { hash } from '@node-rs/argon2'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { purgePasswords } from '@mcpctl/access'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import { expectStatus, startDaemon, type TestDaemon } from '../../../../test/support/daemon'
import type { TestDatabase } from '../../../../test/support/database'
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
import { statusOfRaw } from '../../../../test/support/raw-http'

const other = 'the rain in spain 19'

let daemon: TestDaemon
/** Sees what others wait for. */
let owner: Awaited<ReturnType<TestDatabase['connect']>>

beforeAll(async () => {
  daemon = await startDaemon()
  owner = await daemon.database.connect()
})
afterAll(() => daemon.close())

const whoAmI = (token: string) => daemon.send('/api/v1/whoami', { headers: bearing(token) })
const uidOf = async (user: string) =>
  bodyOf<{ metadata: { uid: string } }>(expectStatus(200, await daemon.send(`/api/v1/users/${user}`))).metadata.uid
const setUp = (user: string, code: string, from = newAddress()) =>
  post(daemon, '/api/v1/setup', { body: { user, code, password: other }, from })

describe('a one-time code', () => {
  it('lets one of twenty in who try it at once', async () => {
    const user = await newPerson(daemon)
    const code = await codeFor(daemon, user)
    const answers = await Promise.all(Array.from({ length: 20 }, () => setUp(user, code)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 19 }, () => 401)])
  })

  it('that is right is taken however many were wrong before: nobody is kept out by who guesses', async () => {
    const user = await newPerson(daemon)
    const from = newAddress()
    const code = await codeFor(daemon, user)
    for (let n = 0; n < 5; n++) expectStatus(401, await setUp(user, 'AAAA-BBBB-CCCC-DDDD-EEEE', from))
    expectStatus(429, await setUp(user, 'AAAA-BBBB-CCCC-DDDD-EEEE', from))
    expectStatus(200, await setUp(user, code, from))
  })
})

describe('a password that is being replaced', () => {
  let replacing: string
  beforeAll(async () => {
    replacing = await hash(other)
  })
  /** Replaces the hash in a transaction that is open until the login is over or waits for it. */
  const replaceDuring = async (user: string, stored: string | undefined) => {
    const uid = await uidOf(user)
    const { pool } = daemon.database
    if (stored !== undefined)
      await pool.query('update access.password set hash = $2 where user_uid = $1', [uid, stored])
    const client = await pool.connect()
    try {
      await client.query('begin')
      await client.query(`update access.password set hash = $2 where user_uid = $1`, [uid, replacing])
      const login = { isOver: false }
      const answer = logIn(daemon, { user, password: goodPassword }).finally(() => (login.isOver = true))
      await eventually(async () => login.isOver || (await isSomebodyWaiting()))
      await client.query('commit')
      const { status } = await answer
      const { rows } = await pool.query<{ hash: string }>('select hash from access.password where user_uid = $1', [uid])
      return { status, hash: rows[0]?.hash }
    } finally {
      // Whatever has failed, nothing of it goes on.
      client.release(true)
    }
  }
  const isSomebodyWaiting = async () => {
    const { rowCount } = await owner.query(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    return rowCount !== 0
  }

  it('opens nothing any more', async () => {
    expect((await replaceDuring(await newPerson(daemon), undefined)).status).toBe(401)
  })

  it('is not put back by a login that would hash it anew', async () => {
    const old = await hash(goodPassword, { memoryCost: 8192, timeCost: 1, parallelism: 1 })
    expect(await replaceDuring(await newPerson(daemon), old)).toEqual({ status: 401, hash: replacing })
  })
})

describe('what was open', () => {
  it('of one who was disabled is neither good nor listed when he is enabled again', async () => {
    const user = await newPerson(daemon)
    await sessionOf(daemon, user)
    expectStatus(201, await daemon.send('/api/v1/tokens', { body: { user } }))
    const listed = async () =>
      bodyOf<{ items: object[] }>(expectStatus(200, await daemon.send(`/api/v1/tokens?user=${user}`))).items.length
    expect(await listed()).toBeGreaterThanOrEqual(2)
    await setEnabled(daemon, user, false)
    expect(await listed()).toBe(0)
    await setEnabled(daemon, user, true)
    expect(await listed()).toBe(0)
  })

  it('ends at the instant that was said, not half a second later', async () => {
    const user = await newPerson(daemon)
    const token = await sessionOf(daemon, user)
    const { rows } = await daemon.database.pool.query<{ until: number }>(
      `update access.token set expires_at = now() + interval '700 ms' where user_uid = $1
       returning extract(epoch from expires_at)::float8 * 1000 as until`,
      [await uidOf(user)],
    )
    const until = Math.max(...rows.map((row) => row.until))
    let latest = 0
    for (;;) {
      const sent = Date.now()
      if ((await whoAmI(token)).status === 401) break
      latest = sent
    }
    expect(latest).toBeGreaterThan(0)
    expect(latest).toBeLessThanOrEqual(until)
  })

  it('of one who is gone leaves no hash behind', async () => {
    const [gone, stays] = [await newPerson(daemon), await newPerson(daemon)]
    const [goneUid, staysUid] = [await uidOf(gone), await uidOf(stays)]
    expect((await daemon.send(`/api/v1/users/${gone}`, { method: 'DELETE' })).status).toBeLessThan(300)
    const { pool } = daemon.database
    const left = async () => {
      const { facts } = await daemon.parts.store.directory.current()
      const present = facts.allUsers().map(({ uid }) => uid)
      await purgePasswords(pool, present)
      const { rows } = await pool.query<{ uid: string }>(
        'select user_uid as uid from access.password where user_uid = any($1) order by 1',
        [[goneUid, staysUid]],
      )
      return rows.map(({ uid }) => uid)
    }
    // Somebody may have come whom this daemon does not know yet.
    expect(await left()).toHaveLength(2)
    await pool.query(`update access.password set set_at = now() - interval '2 hours'`)
    expect(await left()).toEqual([staysUid])
  })

  it('is not ended by a logout that is only tried', async () => {
    const token = await sessionOf(daemon, await newPerson(daemon))
    expectStatus(400, await daemon.send('/api/v1/logout?dryRun=All', { method: 'POST', headers: bearing(token) }))
    expectStatus(200, await whoAmI(token))
  })
})

describe('who is not let in', () => {
  it('costs no time and no room, whatever name is sent', async () => {
    const name = 'a1b '.repeat(200_000)
    const started = performance.now()
    expectStatus(422, await post(daemon, '/api/v1/setup', { body: { user: name, code: 'x', password: other } }))
    expectStatus(422, await post(daemon, '/api/v1/login', { body: { user: name, password: other } }))
    expect(performance.now() - started).toBeLessThan(15_000)
  })

  it('leaves nothing behind for each name that is tried when there were too many', async () => {
    const from = newAddress()
    const statuses: number[] = []
    for (let n = 0; n < 40; n++)
      statuses.push((await logIn(daemon, { user: `guess-${String(n)}`, password: 'wrong', from })).status)
    expect(statuses.filter((status) => status === 401)).toHaveLength(20)
    const keys = Array.from({ length: 40 }, (_, n) => `account/${hashed(`guess-${String(n)}`)}/${from}`)
    const { rowCount } = await daemon.database.pool.query('select from access.attempt where key = any($1)', [keys])
    expect(rowCount).toBe(20)
  })

  it.each([
    '/healthz/',
    '//healthz',
    '/healthz;x',
    '/healthz%3fx',
    '/HEALTHZ',
    '/healthz%2f..%2fapi%2fv1%2fservers',
    '/healthz/../api/v1/servers',
    '/api/v1/login/../servers',
    '/api/v1/login%2f..%2fservers',
    '/api/v1/login/',
    '/api/v1//login',
    '/api/v1/./servers',
    '/api/v1/%73ervers',
    '/api/v1/servers#/healthz',
    'http://localhost/healthz',
  ])('finds no way around the door by %s', async (path) => {
    expect(await statusOfRaw(daemon.address, [`GET ${path} HTTP/1.1`])).toBe(401)
  })

  it('finds none with a login that is no POST, and none with parameters that come twice', async () => {
    for (const method of ['GET', 'PUT', 'PATCH', 'DELETE'])
      expect((await daemon.send('/api/v1/login', { method, headers: nobody })).status).toBe(401)
    for (const path of ['/api/v1/tokens?user=admin&user=x', '/api/v1/tokens?user=', '/api/v1/tokens?user[]=admin'])
      expect([200, 400, 403, 404]).toContain((await daemon.send(path)).status)
  })
})

const hashed = (account: string) => createHash('sha256').update(account).digest('base64url')
