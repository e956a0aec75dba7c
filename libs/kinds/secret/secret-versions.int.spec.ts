import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { VerifyReport } from '@mcpctl/contracts'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import type { Client } from 'pg'
import { expectStatus, objectOf, problemOf, startDaemon, type TestDaemon } from '../../../test/support/daemon'
import { Secrets } from '../../../test/support/secrets'

let daemon: TestDaemon
let secrets: Secrets
let owner: Client

beforeAll(async () => {
  daemon = await startDaemon()
  secrets = new Secrets(daemon)
  owner = await daemon.database.connect()
}, 60_000)
afterAll(() => daemon.close())

/** A secret that has been set this many times. */
const having = async (versions: number, more: object = {}) => {
  const { metadata } = await secrets.create({ token: 'v1' }, { ...more })
  for (let version = 2; version <= versions; version++) await rotate(metadata.name, version, more)
  return metadata
}
const rotate = async (name: string, version: number, more: object = {}) =>
  expectStatus(200, await secrets.replace(name, { token: `v${String(version)}` }, { ...more }))
const shown = async (name: string) =>
  ((await secrets.get(name)).status['versions'] as { version: number }[]).map(({ version }) => version)

/** A server that takes a key of a secret, and of which nothing runs. */
const server = (name: string, ref: object, more: object = {}) => ({
  name,
  package: 'npm:echo@1.0.0',
  replicas: 0,
  env: [{ name: 'TOKEN', valueFrom: { secretRef: { key: 'token', ...ref } } }],
  ...more,
})
const applyServer = async (body: object) =>
  expectStatus(200, await daemon.send('/api/v1/apply', { body: { servers: [body] } }))

const verified = async (): Promise<VerifyReport> => {
  const { text } = expectStatus(200, await daemon.send('/api/v1/admin/verify', { method: 'POST' }))
  return (JSON.parse(text.trimEnd().split('\n').at(-1) ?? '') as { report: VerifyReport }).report
}

/** While the database takes no row of a table that is so. */
const refusing = async (table: string, rule: string, act: () => Promise<void>) => {
  await owner.query(`alter table ${table} add constraint refused check (${rule}) not valid`)
  try {
    await act()
  } finally {
    await owner.query(`alter table ${table} drop constraint refused`)
  }
}

describe('the history of a secret', () => {
  it('is five versions long: the oldest is destroyed with the new one', async () => {
    const { name, uid } = await having(5)
    expect(await secrets.keys(uid)).toEqual({ live: [1, 2, 3, 4, 5], destroyed: [] })
    await rotate(name, 6)
    expect(await secrets.keys(uid)).toEqual({ live: [2, 3, 4, 5, 6], destroyed: [1] })
    expect(await shown(name)).toEqual([2, 3, 4, 5, 6])
  })

  it('cannot be read beyond that: 410, which is told from what never was', async () => {
    const { name } = await having(3, { historyLimit: 1 })
    for (const version of [1, 2]) {
      const gone = expectStatus(410, await secrets.reveal(name, { version }))
      expect(problemOf(gone)).toMatchObject({
        reason: 'Expired',
        detail: `version ${String(version)} of secret "${name}" was destroyed; its values cannot be had any more`,
      })
    }
    expectStatus(404, await secrets.reveal(name, { version: 4 }))
    expect(await secrets.values(name, 3)).toEqual({ token: 'v3' })
  })

  it('is cut at once when it is to be shorter, and still verifies', async () => {
    const { name, uid } = await having(4)
    expectStatus(200, await secrets.replace(name, { token: { keep: true } }, { historyLimit: 2 }))
    expect(await secrets.keys(uid)).toEqual({ live: [3, 4], destroyed: [1, 2] })
    expect((await secrets.get(name)).spec['historyLimit']).toBe(2)
    expect(await verified()).toMatchObject({ ok: true })
  })

  it('keeps its values with each version: what is kept is sealed anew and outlives the version it came from', async () => {
    const { metadata } = await secrets.create({ token: 'v1', user: 'alice' }, { historyLimit: 1 })
    for (const token of ['v2', 'v3'])
      expectStatus(200, await secrets.replace(metadata.name, { token, user: { keep: true } }, { historyLimit: 1 }))
    expect(await secrets.keys(metadata.uid)).toEqual({ live: [3], destroyed: [1, 2] })
    expect(await secrets.values(metadata.name)).toEqual({ token: 'v3', user: 'alice' })
  })

  it('is longer while a server pins an older version, until a sweep finds that none does', async () => {
    const { name, uid } = await having(1, { historyLimit: 2 })
    await applyServer(server(`${name}-user`, { name, version: 1 }))
    for (const version of [2, 3, 4]) await rotate(name, version, { historyLimit: 2 })
    expect(await secrets.keys(uid)).toEqual({ live: [1, 3, 4], destroyed: [2] })
    expect(await shown(name)).toEqual([1, 3, 4])
    expect(await secrets.values(name, 1)).toEqual({ token: 'v1' })
    await applyServer(server(`${name}-user`, { name }))
    await leading(() => eventually(async () => (await secrets.keys(uid)).destroyed.length === 2))
    expect(await secrets.keys(uid)).toEqual({ live: [3, 4], destroyed: [1, 2] })
    expect(await shown(name)).toEqual([3, 4])
    const swept = (await secrets.events(uid)).filter(({ type }) => type === 'SecretVersionsShredded')
    expect(swept.at(-1)).toMatchObject({ data: { versions: [1] }, meta: { actor: { name: 'system:reconciler' } } })
  })

  it.each(['null', 'a-b', 'undefined'])(
    'of one called %s is longer while an instance has an older version, and shorter as soon as it has gone',
    async (name) => {
      const limit = { historyLimit: 1 }
      const body = { name, data: { other: 'v1' }, ...limit }
      const { uid } = objectOf(expectStatus(201, await daemon.send('/api/v1/secrets', { body }))).metadata
      await leading(async () => {
        // It waits for a key that the secret does not have, and is not given another version.
        await applyServer(server(`${name}-user`, { name }, { replicas: 1, secretRotation: 'Manual' }))
        const versions = () => instancesOf(`${name}-user`).then((all) => all.map(({ spec }) => spec['secrets']))
        await eventually(
          async () => JSON.stringify(await versions()) === JSON.stringify([{ [name]: { uid, version: 1 } }]),
        )
        for (const other of ['v2', 'v3']) expectStatus(200, await secrets.replace(name, { other }, limit))
        expect(await secrets.keys(uid)).toEqual({ live: [1, 3], destroyed: [2] })
        expectStatus(202, await daemon.send(`/api/v1/servers/${name}-user`, { method: 'DELETE' }))
        await eventually(async () => (await secrets.keys(uid)).destroyed.length === 2)
      })
      expect(await secrets.keys(uid)).toEqual({ live: [3], destroyed: [1, 2] })
    },
  )
})

const instancesOf = async (server: string) => {
  const query = encodeURIComponent(`spec.server=${server}`)
  const { text } = expectStatus(200, await daemon.send(`/api/v1/instances?fieldSelector=${query}`))
  return (JSON.parse(text) as { items: { spec: Record<string, unknown> }[] }).items
}

/** While another daemon of the same store leads. */
const leading = async (act: () => Promise<void>) => {
  const leader = await startDaemon({ database: daemon.database, leads: true, kekFile: daemon.parts.config.kekFile })
  try {
    await act()
  } finally {
    await leader.close()
  }
}

describe('deleting a secret', () => {
  it('destroys every version, and the log still verifies', async () => {
    const { name, uid } = await having(3)
    expectStatus(200, await secrets.delete(name))
    expect((await secrets.events(uid)).slice(-2).map(({ type }) => type)).toEqual([
      'SecretVersionsShredded',
      'SecretDeleted',
    ])
    expect(await secrets.keys(uid)).toEqual({ live: [], destroyed: [1, 2, 3] })
    expectStatus(404, await daemon.send(`/api/v1/secrets/${name}`))
    expectStatus(404, await secrets.delete(name))
    expect(await verified()).toMatchObject({ ok: true })
  })

  it('is recorded and done together or not at all; so is the end of a version', async () => {
    const { name, uid } = await having(2, { historyLimit: 2 })
    const before = (await secrets.events(uid)).length
    const untouched = async () => {
      expect((await secrets.delete(name)).status).toBeGreaterThanOrEqual(400)
      expect((await secrets.replace(name, { token: 'v3' }, { historyLimit: 2 })).status).toBeGreaterThanOrEqual(400)
      expect(await secrets.keys(uid)).toEqual({ live: [1, 2], destroyed: [] })
      expect(await secrets.events(uid)).toHaveLength(before)
    }
    await refusing('es.event', `type not in ('SecretDeleted', 'SecretVersionsShredded')`, untouched)
    await refusing('es.subject_key', 'wrapped is not null', untouched)
    await rotate(name, 3, { historyLimit: 2 })
    expect(await secrets.keys(uid)).toEqual({ live: [2, 3], destroyed: [1] })
    expectStatus(200, await secrets.delete(name))
  })

  it('gives its name back: the next one is another secret, with versions of its own', async () => {
    const { name, uid } = await having(2)
    expectStatus(200, await secrets.delete(name))
    const next = objectOf(
      expectStatus(201, await daemon.send('/api/v1/secrets', { body: { name, data: { token: 'new' } } })),
    )
    expect(next.metadata.uid).not.toBe(uid)
    expect(next.status).toMatchObject({ version: 1 })
    expect(await secrets.keys(next.metadata.uid)).toEqual({ live: [1], destroyed: [] })
    expect(await secrets.keys(uid)).toEqual({ live: [], destroyed: [1, 2] })
  })

  it('is refused while servers use it: those who may be seen are named, the others counted', async () => {
    const { name, uid } = await having(1)
    const [seen, hidden] = [`${name}-seen`, `${name}-hidden`]
    await applyServer(server(seen, { name }))
    await applyServer(server(hidden, { name, version: 1, optional: true }))
    const refused = expectStatus(409, await secrets.delete(name))
    expect(problemOf(refused).reason).toBe('InUse')
    expect(refused.text).toContain(seen)
    expect(refused.text).toContain(hidden)
    const one = await secrets.user(`${name}-one`, ['delete:secrets', `view:servers:${seen}`])
    const none = await secrets.user(`${name}-none`, ['delete:secrets'])
    const remove = { method: 'DELETE' }
    const some = problemOf(expectStatus(409, await one(`/api/v1/secrets/${name}`, remove))).detail
    expect(some).toContain(`used by servers "${seen}" and 1 that you may not view`)
    const nothing = problemOf(expectStatus(409, await none(`/api/v1/secrets/${name}`, remove))).detail
    expect(nothing).toContain('2 that you may not view')
    expect(nothing).not.toContain(seen)
    expect((await secrets.keys(uid)).live).toEqual([1])
    for (const each of [seen, hidden]) await applyServer({ ...server(each, { name }), env: [] })
    expectStatus(200, await secrets.delete(name))
  })

  it('is done by force all the same; the server stays, and says what it waits for once something is to run', async () => {
    const { name, uid } = await having(1)
    await applyServer(server(`${name}-user`, { name }))
    expectStatus(400, await secrets.delete(name, '?force=yes'))
    expectStatus(409, await secrets.delete(name, '?force=false'))
    expectStatus(200, await secrets.delete(name, '?force=true'))
    expect(await secrets.keys(uid)).toEqual({ live: [], destroyed: [1] })
    expectStatus(200, await daemon.send(`/api/v1/servers/${name}-user`))
  })

  it('wants the version that was seen, where one is told', async () => {
    const { name, resourceVersion } = await having(1)
    await rotate(name, 2)
    const stale = { method: 'DELETE', headers: { 'if-match': `"${resourceVersion}"` } }
    expectStatus(412, await daemon.send(`/api/v1/secrets/${name}`, stale))
    expectStatus(200, await secrets.delete(name))
  })

  it('and writing it at once end in one or the other: no key is left of a secret that is gone', async () => {
    for (let round = 0; round < 5; round++) {
      const { name, uid } = await having(1)
      const answers = await Promise.all([
        secrets.replace(name, { token: 'v2' }),
        secrets.delete(name),
        secrets.replace(name, { token: 'v3' }),
      ])
      expect(answers[1].status).toBe(200)
      for (const { status } of answers) expect([200, 404]).toContain(status)
      expect((await secrets.keys(uid)).live).toEqual([])
    }
  })
})
