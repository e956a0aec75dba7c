import { randomUUID } from 'node:crypto'
import { copyFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import type { KeysStatus, RotateAnswer } from '@mcpctl/contracts'
import { inTransaction } from '@mcpctl/postgres'
import { SecretValue } from '@mcpctl/vault'
import { v7 as uuidv7 } from 'uuid'
import { until } from '../../../../test/support/binaries'
import { events } from '../../../../test/support/log'
import {
  expectStatus,
  objectOf,
  problemOf,
  startDaemon,
  tokenOf,
  type Received,
  type TestDaemon,
} from '../../../../test/support/daemon'
import { testDatabase } from '../../../../test/support/database'

let daemon: TestDaemon

beforeEach(async () => {
  daemon = await startDaemon()
}, 60_000)
afterEach(() => daemon.close())

const post = (verb: string, headers: Record<string, string> = {}, of = daemon) =>
  of.send(`/api/v1/admin/keys:${verb}`, { method: 'POST', headers })
const answered = (status: number, received: Received): unknown => JSON.parse(expectStatus(status, received).text)
const keys = async (of = daemon) => answered(200, await of.send('/api/v1/admin/keys')) as KeysStatus

const seal = async (count: number, { parts: { store } } = daemon) => {
  for (let each = 0; each < count; each++) {
    const { store: put } = await store.vault.seal(uuidv7(), 1, new Map([['key', SecretValue.ofText('hunter2 of old')]]))
    await inTransaction(store.pool, put)
  }
}

const rewrapped = (of = daemon) =>
  until('all data keys are wrapped anew', async () => {
    const { stale, rewrap } = await keys(of)
    return stale === 0 && !rewrap?.running
  })

const recorded = async () =>
  (await events(daemon))
    .filter(({ category }) => category === 'keys')
    .map(({ streamId, type, data, meta }) => ({ streamId, type, data, actor: meta.actor.name, reason: meta.reason }))

describe('the keys that wrap data keys', () => {
  it('are told by name and count', async () => {
    await seal(3)
    const status = await keys()
    expect(status).toEqual({
      state: 'ready',
      place: daemon.parts.config.kekFile,
      // Three secrets and the key of fingerprints.
      keks: [{ id: expect.any(String), createdAt: expect.any(String), present: true, current: true, dataKeys: 4 }],
      stale: 0,
    })
    const { keys: shown } = answered(200, await daemon.send('/api/v1/status')) as { keys: object }
    expect(shown).toEqual({ state: 'ready', kek: status.keks[0]?.id })
  })

  it('are rotated, wrap data keys anew in the background, and are retired; all of it is recorded by name', async () => {
    await seal(230)
    const why = { 'x-mcpctl-reason': 'every year' }
    const { from, to, stale } = answered(202, await post('rotate', why)) as RotateAnswer
    expect(stale).toBe(231)
    await rewrapped()
    // The key of fingerprints is wrapped anew with the rotation.
    expect((await keys()).rewrap).toEqual({ running: false, done: 230, failed: 0, failing: [] })
    expect(answered(200, await post('retire?dryRun=All'))).toEqual({ retired: [from] })
    expect(answered(200, await post('retire'))).toEqual({ retired: [from] })
    expect((await keys()).keks.map(({ id }) => id)).toEqual([to])
    expect(answered(200, await post('retire'))).toEqual({ retired: [] })
    const by = { streamId: 'keys-store', actor: 'admin' }
    expect(await recorded()).toEqual([
      { ...by, type: 'KekRotated', data: { from, to }, reason: 'every year' },
      { ...by, type: 'KeysRewrapped', data: { kek: to, count: 230, failed: 0 }, reason: 'every year' },
      { ...by, type: 'KeksRetired', data: { keks: [from] } },
    ])
  })

  it('stay as they are in a dry run, and are rotated once by a request that comes twice', async () => {
    await seal(2)
    const before = await keys()
    const current = before.keks[0]?.id
    expect(answered(202, await post('rotate?dryRun=All'))).toEqual({ from: current, stale: 3 })
    expect(answered(202, await post('rewrap?dryRun=All'))).toEqual({ stale: 0 })
    expect(await keys()).toEqual(before)
    const key = { 'idempotency-key': randomUUID() }
    const twins = await Promise.all([post('rotate', key), post('rotate', key)])
    twins.push(await post('rotate', key))
    const [first, ...others] = twins.map((twin) => answered(202, twin))
    expect(others).toEqual([first, first])
    expect((await keys()).keks).toHaveLength(2)
    await rewrapped()
  })

  it('stay as they are when the rotation cannot be recorded', async () => {
    const before = await keys()
    const owner = await daemon.database.connect()
    await owner.query(`alter table es.event add constraint unrecordable check (category <> 'keys') not valid`)
    expect((await post('rotate')).status).toBeGreaterThanOrEqual(400)
    await owner.query('alter table es.event drop constraint unrecordable')
    expect(await keys()).toEqual(before)
    expect(await recorded()).toEqual([])
  })

  it('never get out: not into answers, events or the log of mcpd', async () => {
    await seal(1)
    await post('rotate')
    await rewrapped()
    await post('retire')
    const file = await readFile(daemon.parts.config.kekFile, 'utf8')
    const [material = ''] = (JSON.parse(file) as { keys: { key: string }[] }).keys.map(({ key }) => key)
    const hex = Buffer.from(material, 'base64').toString('hex')
    const told = [daemon.logged(), JSON.stringify(await keys()), JSON.stringify(await recorded())].join()
    for (const form of [material, hex, 'hunter2']) expect(told).not.toContain(form)
  })

  it('are for who may rotate them', async () => {
    await tokenOf(daemon, 'boss')
    const rbac = [
      {
        name: 'all-but-keys',
        subjects: [{ kind: 'User', name: 'dev' }],
        bindings: [{ role: 'edit', resource: '*' }],
        operations: [{ action: 'reveal' }, { action: 'rebuild' }],
      },
    ]
    expectStatus(200, await daemon.send('/api/v1/apply', { body: { users: [{ name: 'dev' }], rbac } }))
    const { token } = answered(201, await daemon.send('/api/v1/tokens', { body: { user: 'dev' } })) as { token: string }
    const as = { authorization: `Bearer ${token}` }
    for (const verb of ['rotate', 'rewrap', 'retire', 'rotate?dryRun=All', 'retire?dryRun=All'])
      expect(problemOf(expectStatus(403, await post(verb, as))).detail).toContain('rotate-keys')
    expectStatus(403, await daemon.send('/api/v1/admin/keys', { headers: as }))
    expect((await keys()).keks).toHaveLength(1)
  })

  it.each(['rotate', 'rewrap', 'retire'])('are not told in the body of %s', async (verb) => {
    const sent = { method: 'POST', body: { key: 'x' } }
    expect(problemOf(expectStatus(400, await daemon.send(`/api/v1/admin/keys:${verb}`, sent))).detail).toContain('body')
  })
})

describe('secrets', () => {
  const write = (name: string, value: string) =>
    daemon.send(`/api/v1/secrets/${name}`, {
      method: 'PUT',
      body: { metadata: { name }, spec: { data: { token: value } } },
      headers: { 'if-none-match': '*' },
    })
  // What was sealed before the rotation and is stored after the last look is left to the next one.
  const noneLeft = () =>
    until('all data keys are wrapped anew', async () => {
      const { stale, rewrap } = await keys()
      if (stale > 0 && !rewrap?.running) await post('rewrap')
      return stale === 0 && !rewrap?.running
    })
  const revealed = async (name: string) => {
    const answer = await daemon.send(`/api/v1/secrets/${name}:reveal`, { method: 'POST' })
    return (answered(200, answer) as { values: { token: { value: string } } }).values.token.value
  }

  it('are written and revealed while keys are rotated and retired, and are no other objects for it', async () => {
    expectStatus(201, await write('first', 'value of first'))
    const before = objectOf(await daemon.send('/api/v1/secrets/first'))
    const names = Array.from({ length: 24 }, (_, nth) => `secret-${String(nth)}`)
    const load = async () => {
      for (const name of names) {
        expectStatus(201, await write(name, `value of ${name}`))
        expect(await revealed('first')).toBe('value of first')
      }
    }
    const turn = async () => {
      for (let round = 0; round < 3; round++) {
        expectStatus(202, await post('rotate'))
        await noneLeft()
        expectStatus(200, await post('retire'))
      }
    }
    await Promise.all([load(), turn()])
    const { to } = answered(202, await post('rotate')) as RotateAnswer
    await noneLeft()
    const after = objectOf(await daemon.send('/api/v1/secrets/first'))
    expect(after.metadata.resourceVersion).toBe(before.metadata.resourceVersion)
    expect([before.status['kek'] === to, after.status['kek']]).toEqual([false, to])
    for (const name of names) expect(await revealed(name)).toBe(`value of ${name}`)
  })
})

describe('a data key that cannot be opened', () => {
  it('is named, stays as it is, and keeps its key-encryption key', async () => {
    await seal(2)
    const owner = await daemon.database.connect()
    const { rows } = await owner.query<{ subject: string }>(
      `select subject from es.subject_key where subject <> 'fingerprints' order by 1 limit 1`,
    )
    const [{ subject }] = rows as [{ subject: string }]
    await owner.query('alter table es.subject_key disable trigger all')
    await owner.query(`update es.subject_key set wrapped = substr(wrapped, 1, 40) where subject = $1`, [subject])
    await owner.query('alter table es.subject_key enable trigger all')
    const { to } = answered(202, await post('rotate')) as RotateAnswer
    await until('what can be wrapped is', async () => (await keys()).rewrap?.running === false)
    expect(await keys()).toMatchObject({ stale: 1, rewrap: { done: 1, failed: 1, failing: [subject] } })
    expect(answered(200, await post('retire'))).toEqual({ retired: [] })
    expect((await recorded()).at(-1)).toMatchObject({ type: 'KeysRewrapped', data: { kek: to, count: 1, failed: 1 } })
  })
})

describe('a daemon without the right key', () => {
  it('serves everything else, says so, and opens when the file is back', async () => {
    await seal(1)
    const { kekFile } = daemon.parts.config
    await rename(kekFile, `${kekFile}.away`)
    const second = await startDaemon({ database: daemon.database, kekFile })
    try {
      expect(await keys(second)).toMatchObject({ state: 'KekMissing', message: expect.stringContaining(kekFile) })
      const { keys: shown } = answered(200, await second.send('/api/v1/status')) as { keys: object }
      expect(shown).toEqual({ state: 'KekMissing', message: expect.stringContaining('put the file back') })
      const warnings = second
        .logged()
        .split('\n')
        .filter((line) => line.includes('can be neither opened nor sealed'))
      expect(warnings).toHaveLength(1)
      expectStatus(201, await second.send('/api/v1/projects', { body: { name: 'still-here' } }))
      for (const verb of ['rotate', 'retire']) expectStatus(503, await post(verb, {}, second))
      await writeFile(kekFile, 'hunter2', { mode: 0o600 })
      expect(await keys(second)).toMatchObject({ state: 'KekWrong' })
      await rename(`${kekFile}.away`, kekFile)
      expect(await keys(second)).toMatchObject({ state: 'ready' })
      expect(second.logged()).not.toContain('hunter2')
    } finally {
      await second.close()
    }
  })
})

describe('two daemons on one database', () => {
  it('use a key that the other one has made, and finish what it has left', async () => {
    const { kekFile } = daemon.parts.config
    await seal(150)
    const second = await startDaemon({ database: daemon.database, kekFile })
    await daemon.parts.store.vault.rotate()
    await seal(1, second)
    expect(await keys(second)).toMatchObject({ stale: 150, keks: [{ dataKeys: 150 }, { dataKeys: 2, current: true }] })
    await second.close()
    const third = await startDaemon({ database: daemon.database, kekFile })
    await rewrapped(third)
    await third.close()
    await until('it is recorded', async () => (await recorded()).some(({ type }) => type === 'KeysRewrapped'))
    expect((await recorded()).at(-1)).toMatchObject({ actor: 'system:mcpd', data: { count: 150, failed: 0 } })
  })

  it('with key files of their own: the second one is closed until it has the key', async () => {
    const database = await testDatabase(4)
    const first = await startDaemon({ database })
    const second = await startDaemon({ database })
    try {
      expect(await keys(second)).toMatchObject({ state: 'KekMissing' })
      await seal(1, first)
      const { kekFile } = second.parts.config
      await mkdir(dirname(kekFile), { recursive: true, mode: 0o700 })
      await copyFile(first.parts.config.kekFile, kekFile)
      expect(await keys(second)).toMatchObject({ state: 'ready' })
      await first.parts.store.vault.rotate()
      expect(await keys(second)).toMatchObject({ state: 'KekWrong' })
      await copyFile(first.parts.config.kekFile, kekFile)
      await seal(1, second)
    } finally {
      await second.close()
      await first.close()
      await database.close()
    }
  })
})
