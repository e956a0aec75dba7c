import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import type { Client } from 'pg'
import { expectStatus, problemOf, startDaemon, type Sent, type TestDaemon } from '../../../test/support/daemon'
import { events, position } from '../../../test/support/log'
import { Secrets, valuesOf, type Revealed } from '../../../test/support/secrets'

let daemon: TestDaemon
let secrets: Secrets
let owner: Client

beforeAll(async () => {
  daemon = await startDaemon()
  secrets = new Secrets(daemon)
  owner = await daemon.database.connect()
}, 60_000)
afterAll(() => daemon.close())

const revelations = async (uid: string) =>
  (await secrets.events(uid)).filter(({ type }) => type === 'SecretRevealed').map(({ data }) => data)
const twoVersions = async () => {
  const [first, second] = [secrets.value(), secrets.value()]
  const { metadata } = await secrets.create({ token: first, user: 'alice' })
  expectStatus(200, await secrets.replace(metadata.name, { token: second }))
  return { ...metadata, first, second, path: `/api/v1/secrets/${metadata.name}:reveal` }
}

describe('revealing a secret', () => {
  it('answers the current values, or those of a version, or some of the keys; and is recorded', async () => {
    const { name, uid, first, second } = await twoVersions()
    const answer = expectStatus(200, await secrets.reveal(name))
    expect(JSON.parse(answer.text)).toEqual({ name, uid, version: 2, values: { token: { value: second } } })
    expect(await secrets.values(name, 1)).toEqual({ token: first, user: 'alice' })
    const some = expectStatus(200, await secrets.reveal(name, { version: 1, keys: ['user'] }))
    expect((JSON.parse(some.text) as Revealed).values).toEqual({ user: { value: 'alice' } })
    expect(
      valuesOf(expectStatus(200, await daemon.send(`/api/v1/secrets/${name}:reveal`, { method: 'POST' }))),
    ).toEqual({
      token: second,
    })
    const [one, two, three] = await revelations(uid)
    expect(one).toEqual({ version: 2, keys: ['token'] })
    expect(two).toEqual({ version: 1, keys: expect.arrayContaining(['token', 'user']) })
    expect(three).toEqual({ version: 1, keys: ['user'] })
  })

  it('takes a key that is asked for twice as asked for once', async () => {
    const { name, uid, second } = await twoVersions()
    expect(valuesOf(expectStatus(200, await secrets.reveal(name, { keys: ['token', 'token'] })))).toEqual({
      token: second,
    })
    expect(await revelations(uid)).toEqual([{ version: 2, keys: ['token'] }])
  })

  it('says who did it, and why', async () => {
    const { name, uid } = await twoVersions()
    expectStatus(200, await secrets.reveal(name, {}, { headers: { 'x-mcpctl-reason': 'an incident' } }))
    const [event] = (await secrets.events(uid)).filter(({ type }) => type === 'SecretRevealed')
    expect(event?.meta).toMatchObject({ actor: { name: 'admin' }, reason: 'an incident' })
  })

  it('is never kept by who stands between', async () => {
    const { name } = await twoVersions()
    const { headers } = expectStatus(200, await secrets.reveal(name))
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('etag')).toBeNull()
  })

  it('is recorded each time, also with the same idempotency key; and no value is kept for an answer', async () => {
    const { name, uid } = await twoVersions()
    const sent = { headers: { 'idempotency-key': `reveal-${name}` } }
    const first = expectStatus(200, await secrets.reveal(name, {}, sent))
    const again = expectStatus(200, await secrets.reveal(name, {}, sent))
    expect(again.text).toBe(first.text)
    expect(again.headers.get('idempotency-replayed')).toBeNull()
    expect(await revelations(uid)).toHaveLength(2)
    expect(await secrets.leaks()).toEqual([])
  })

  it('cannot be tried: what is only tried leaves no record, and would answer the values', async () => {
    const { uid, path, first, second } = await twoVersions()
    const refused = expectStatus(400, await daemon.send(`${path}?dryRun=All`, { method: 'POST' }))
    expect([refused.text.includes(first), refused.text.includes(second)]).toEqual([false, false])
    expect(await revelations(uid)).toEqual([])
  })

  it('does not change it: not its version to edit, and nothing that is shown', async () => {
    const { name } = await twoVersions()
    const before = await secrets.get(name)
    expectStatus(200, await secrets.reveal(name))
    const after = await secrets.get(name)
    expect({ ...after, metadata: { ...after.metadata, resourceVersion: '' } }).toEqual({
      ...before,
      metadata: { ...before.metadata, resourceVersion: '' },
    })
  })

  it('says what is not there, naming it, and records nothing', async () => {
    const { name, uid } = await twoVersions()
    const before = await position(daemon)
    const detail = async (status: number, body: object) =>
      problemOf(expectStatus(status, await secrets.reveal(name, body))).detail
    expect(await detail(404, { version: 3 })).toBe(`there is no version 3 of secret "${name}"; the current one is 2`)
    expect(await detail(404, { keys: ['user'] })).toBe(`secret "${name}" has no key "user" in version 2; it has token`)
    // Everything that is asked for, or nothing.
    await detail(404, { keys: ['token', 'user'] })
    await detail(404, { keys: ['constructor'] })
    await detail(422, { version: 0 })
    await detail(422, { keys: 'token' })
    await detail(422, { secret: name })
    expectStatus(404, await secrets.reveal('no-such-secret'))
    expect(await position(daemon)).toBe(before)
    expect(await revelations(uid)).toEqual([])
  })

  it('does not repeat a value that was given in place of a key', async () => {
    const { name, uid, second } = await twoVersions()
    const pat = `ghp_${'a1B2'.repeat(9)}`
    for (const pasted of [second, pat, `token=${pat}`]) {
      const refused = expectStatus(404, await secrets.reveal(name, { keys: [pasted] }))
      for (const told of [refused.text, daemon.logged()]) expect(told).not.toContain(pasted.slice(-20))
      expect(problemOf(refused).detail).toMatch(/ has no key "[^"]*\*\*\*" in version 2; it has token$/)
    }
    expect(await revelations(uid)).toEqual([])
  })

  it('is not possible of what was deleted, also once another has its name', async () => {
    const { name, first, second } = await twoVersions()
    expectStatus(200, await secrets.delete(name))
    expectStatus(404, await secrets.reveal(name))
    const value = secrets.value()
    expectStatus(201, await daemon.send('/api/v1/secrets', { body: { name, data: { token: value } } }))
    expect(await secrets.values(name, 1)).toEqual({ token: value })
    const gone = expectStatus(404, await secrets.reveal(name, { version: 2 }))
    expect([first, second].some((each) => gone.text.includes(each))).toBe(false)
  })

  it('answers no value when it cannot be recorded', async () => {
    const { name, uid, second } = await twoVersions()
    await owner.query("alter table es.event add constraint unrecorded check (type <> 'SecretRevealed') not valid")
    const refused = await secrets.reveal(name)
    await owner.query('alter table es.event drop constraint unrecorded')
    expect(refused.status).toBeGreaterThanOrEqual(400)
    expect(refused.text).not.toContain(second)
    expect(await revelations(uid)).toEqual([])
  })

  it('answers no value before it is recorded', async () => {
    const { name, uid } = await twoVersions()
    const writers = await daemon.database.connect()
    await writers.query('begin')
    await writers.query('lock table es.event in share row exclusive mode')
    const head = await position(daemon)
    let answered = false
    const asked = secrets.reveal(name).finally(() => (answered = true))
    await eventually(async () => {
      const { rows } = await owner.query<{ waiting: string }>(
        `select count(*) as waiting from pg_locks where not granted and relation = 'es.event'::regclass`,
      )
      return rows[0]?.waiting !== '0'
    })
    expect([answered, await position(daemon)]).toEqual([false, head])
    await writers.query('commit')
    expectStatus(200, await asked)
    expect(await revelations(uid)).toHaveLength(1)
  })
})

describe('who may reveal', () => {
  it('is who has the operation, on all secrets or on that one; being able to write one does not show it', async () => {
    const { name, path, second } = await twoVersions()
    const other = await twoVersions()
    const writer = await secrets.user('writer', [
      'view:secrets',
      'create:secrets',
      'edit:secrets',
      'run:secrets',
      'delete:secrets',
    ])
    const some = await secrets.user('some', [`op reveal:secrets/${name}`])
    const all = await secrets.user('all', ['op reveal'])
    const others = await secrets.user('others', ['op logs', 'op backup', 'op audit'])
    const post = { method: 'POST', body: {} }
    for (const by of [writer, others]) {
      const refused = expectStatus(403, await by(path, post))
      expect(problemOf(refused).reason).toBe('Forbidden')
      expect(refused.text).not.toContain(second)
    }
    expect(valuesOf(expectStatus(200, await some(path, post)))).toEqual({ token: second })
    expectStatus(403, await some(other.path, post))
    expect(valuesOf(expectStatus(200, await all(other.path, post)))).toEqual({ token: other.second })
    // Whether one exists is not told to who may not reveal it.
    expectStatus(403, await some('/api/v1/secrets/no-such-secret:reveal', post))
    expectStatus(401, await daemon.send(path, { ...post, headers: { authorization: '' } }))
    const denied = (await events(daemon)).filter(({ type }) => type === 'AccessDenied')
    expect(denied.map(({ data }) => JSON.stringify(data)).join()).toContain('reveal')
  })

  it('is nobody in the name of another, whatever either may do', async () => {
    const { path, uid } = await twoVersions()
    await secrets.user('revealer', ['op reveal'])
    const acting = await secrets.user('acting', ['op impersonate', 'op reveal'])
    for (const by of [(to: string, sent: Sent) => daemon.send(to, sent), acting]) {
      const refused = await by(path, { method: 'POST', body: {}, headers: { 'impersonate-user': 'revealer' } })
      expect(problemOf(expectStatus(403, refused)).reason).toBe('Forbidden')
    }
    expect(await revelations(uid)).toEqual([])
  })

  it('is found out of the method and the path alone: other ways to it are none', async () => {
    const { name, second } = await twoVersions()
    for (const [method, path] of [
      ['GET', `${name}:reveal`],
      ['PUT', `${name}:reveal`],
      ['POST', `${name}:Reveal`],
      ['POST', `${name}/reveal`],
      ['GET', `${name}?reveal=true`],
      ['GET', `${name}?showValues=true`],
    ] as const) {
      const answer = await daemon.send(`/api/v1/secrets/${path}`, { method, ...(method !== 'GET' && { body: {} }) })
      expect(answer.text).not.toContain(second)
    }
  })
})

it('leaves no value in events, kept answers, objects or the log', async () => {
  expect(await secrets.leaks()).toEqual([])
})
