import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import { expectStatus, problemOf, startDaemon, type TestDaemon } from '../../../../test/support/daemon'
import { testDatabase, type TestDatabase } from '../../../../test/support/database'
import {
  bearing,
  bodyOf,
  goodPassword,
  logIn,
  newPerson,
  nobody,
  post,
  sessionOf,
} from '../../../../test/support/people'
import type { Config } from '../config'
import { openStore } from '../store/store'
import { recover } from './recover'
import type { SetupCode } from './admin'
import { goneWithinMs } from '../../../../test/support/deadlines'

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.close()
})
const kept = <T extends { close(): Promise<void> }>(each: T): T => {
  open.push(each)
  return each
}

const start = async (options: Parameters<typeof startDaemon>[0] = {}): Promise<TestDaemon> =>
  kept(await startDaemon(options))
const codeOf = ({ setup }: TestDaemon): SetupCode => {
  if (!setup.code) throw new Error('no code was issued')
  return setup.code
}
const setUp = (daemon: TestDaemon, code: string, user = 'admin', password = goodPassword) =>
  post(daemon, '/api/v1/setup', { body: { user, code, password } })
const isFullAdmin = async (daemon: TestDaemon, token: string): Promise<boolean> =>
  (await daemon.send('/api/v1/users', { headers: bearing(token) })).status === 200 &&
  (await daemon.send('/api/v1/servers', { body: { name: 'x' }, headers: bearing(token) })).status !== 403

describe('a daemon that is nobody’s own', () => {
  it('answers nothing but its health until somebody has used its code, once', async () => {
    const daemon = await start({ hasContext: false, adminUser: 'root' })
    const { user, code, expiresAt } = codeOf(daemon)
    expect(user).toBe('root')
    expect((expiresAt.getTime() - Date.now()) / 60_000).toBeCloseTo(15, 0)
    for (const path of ['/api/v1/servers', '/api/v1/whoami', '/api/v1/status', '/mcp/x', '/openapi.json']) {
      const refused = expectStatus(503, await daemon.send(path, { headers: nobody }))
      expect(problemOf(refused).detail).toMatch(/waits to be set up/)
    }
    expectStatus(503, await logIn(daemon, { user, password: goodPassword }))
    expectStatus(200, await daemon.send('/healthz', { headers: nobody }))
    expectStatus(401, await setUp(daemon, 'AAAA-BBBB-CCCC-DDDD-EEEE', user))
    expectStatus(401, await setUp(daemon, code, 'somebody'))
    expectStatus(422, await setUp(daemon, code, user, 'password1'))
    const { token } = bodyOf<{ token: string }>(expectStatus(200, await setUp(daemon, code, user)))
    expect(await isFullAdmin(daemon, token)).toBe(true)
    expectStatus(401, await setUp(daemon, code, user, 'the rain in spain 19'))
    expectStatus(401, await daemon.send('/api/v1/servers', { headers: nobody }))
    expectStatus(200, await logIn(daemon, { user, password: goodPassword }))
    expect(daemon.logged()).not.toContain(code)
  })

  it('that is started anew before that has a new code, and the old one is void', async () => {
    const database = kept(await testDatabase(4))
    const first = await start({ hasContext: false, database })
    const second = await start({ hasContext: false, database })
    expectStatus(401, await setUp(second, codeOf(first).code))
    expectStatus(200, await setUp(first, codeOf(second).code))
    await eventually(
      async () => (await second.send('/api/v1/servers', { headers: nobody })).status === 401,
      goneWithinMs,
    )
    expect((await start({ hasContext: false, database })).setup.code).toBeUndefined()
  })

  it('makes one administrator when two are started at once', async () => {
    const database = kept(await testDatabase(8))
    const [daemon] = await Promise.all([start({ hasContext: false, database }), start({ hasContext: false, database })])
    const events = await daemon.parts.store.log.read(0n, 100)
    const types = events.map(({ type }) => type)
    for (const type of ['UserCreated', 'GroupCreated', 'RbacCreated'])
      expect(types.filter((each) => each === type)).toHaveLength(1)
  })
})

describe('a store of the time before there were groups', () => {
  it('has its only user made an administrator, who goes on with the token he has', async () => {
    const database = kept(await testDatabase(4))
    const uid = '018f0000-0000-7000-8000-00000000000a'
    const store = await storeOn(database)
    const meta = { actor: { uid, name: 'system:setup' } }
    const event = { schemaVersion: 1, meta }
    const claims = [{ op: 'take' as const, scope: 'name', key: 'user/admin' }]
    const created = { ...event, id: uid, type: 'UserCreated', data: { name: 'admin', type: 'human' }, claims }
    await store.log.append({
      streams: [{ streamId: `user-${uid}`, category: 'user', expected: 'none', events: [created] }],
    })
    await store.close()
    const daemon = await start({ database, adminUser: 'somebody-else' })
    expect(await isFullAdmin(daemon, daemon.token)).toBe(true)
    const { user } = bodyOf<{ user: { uid: string } }>(await daemon.send('/api/v1/whoami'))
    expect(user.uid).toBe(uid)
  })
})

const storeOn = (database: TestDatabase) => {
  const quiet = { info() {}, warn() {}, error() {} }
  const config = { databaseUrl: database.url, dataDirectory: '/nowhere' } as Partial<Config> as Config
  return openStore(config, join(process.cwd(), 'migrations'), quiet)
}

describe('the way back in', () => {
  const recovered = async (daemon: TestDaemon, user: string): Promise<SetupCode> => {
    const store = kept(await storeOn(daemon.database))
    return recover(store, user)
  }

  it('makes a disabled user without rights an administrator, who sets his password with the code', async () => {
    const daemon = await start()
    const user = await newPerson(daemon)
    expectStatus(200, await daemon.send('/api/v1/apply', { body: { users: [{ name: user, enabled: false }] } }))
    const before = await daemon.parts.store.log.head()
    const { code } = await recovered(daemon, user)
    const events = await daemon.parts.store.log.read(before, 10)
    expect(events.map(({ type }) => type)).toEqual(['UserEnabled', 'RbacCreated', 'SetupCodeIssued'])
    for (const { meta } of events) expect(meta.actor.name).toBe('system:recover')
    expectStatus(200, await setUp(daemon, code, user, 'the rain in spain 19'))
    expect(await isFullAdmin(daemon, await sessionOf(daemon, user, 'the rain in spain 19'))).toBe(true)
  })

  it('gives an administrator nothing but the code', async () => {
    const daemon = await start()
    const before = await daemon.parts.store.log.head()
    const { code } = await recovered(daemon, 'admin')
    expect((await daemon.parts.store.log.read(before, 10)).map(({ type }) => type)).toEqual(['SetupCodeIssued'])
    expectStatus(200, await setUp(daemon, code))
  })

  it('is none for who does not exist, nor for a service user', async () => {
    const daemon = await start()
    expectStatus(201, await daemon.send('/api/v1/users', { body: { name: 'robot', type: 'service' } }))
    const before = await daemon.parts.store.log.head()
    await expect(recovered(daemon, 'nobody-of-that-name')).rejects.toMatchObject({ code: 'NotFound' })
    await expect(recovered(daemon, 'robot')).rejects.toMatchObject({ code: 'Conflict' })
    expect(await daemon.parts.store.log.head()).toBe(before)
  })
})

describe('the administrator of a local daemon', () => {
  it('may set a first password with the session that the daemon keeps for him', async () => {
    const daemon = await start()
    const path = '/api/v1/users/admin/password'
    expectStatus(200, await daemon.send(path, { body: { password: goodPassword } }))
    expectStatus(422, await daemon.send(path, { body: { password: 'the rain in spain 19' } }))
    expectStatus(200, await logIn(daemon, { user: 'admin', password: goodPassword }))
  })

  it('cannot end the only way in', async () => {
    const daemon = await start()
    expect(problemOf(await daemon.send('/api/v1/logout', { method: 'POST' })).reason).toBe('LastAdmin')
    expectStatus(200, await daemon.send('/api/v1/whoami'))
  })
})
