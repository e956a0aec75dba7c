import { generateKeyPairSync } from 'node:crypto'
import { request, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Problem, VerifyProgress, VerifyReport } from '@mcpctl/contracts'
import { sealLine, sealLog } from '@mcpctl/event-store'
import type { Client } from 'pg'
import { until } from '../../../../test/support/binaries'
import { expectStatus, objectOf, problemOf, startDaemon, type TestDaemon } from '../../../../test/support/daemon'
import type { TestDatabase } from '../../../../test/support/database'
import { position } from '../../../../test/support/log'

let daemon: TestDaemon
let owner: Client
let uid: string

beforeAll(async () => {
  daemon = await startDaemon()
  owner = await daemon.database.connect()
  const sent = { body: { name: 'checked', description: 'as it was' } }
  uid = objectOf(expectStatus(201, await daemon.send('/api/v1/projects', sent))).metadata.uid
}, 60_000)
afterAll(() => daemon.close())

interface Line {
  progress?: VerifyProgress
  report?: VerifyReport
  problem?: Problem
}

const path = '/api/v1/admin/verify'

const lines = async (body?: object): Promise<Line[]> => {
  const answer = expectStatus(200, await daemon.send(path, { method: 'POST', ...(body && { body }) }))
  expect(answer.headers.get('content-type')).toBe('application/x-ndjson')
  return answer.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}

const report = async (body?: object) => (await lines(body)).at(-1)?.report

/** Does what only the owner of the tables can, and undoes it. */
const tampering = async (change: string, undo: string, look: () => Promise<void>) => {
  const free = (sql: string) => owner.query(`begin; set local session_replication_role = replica; ${sql}; commit`)
  await free(change)
  try {
    await look()
  } finally {
    await free(undo)
  }
}

/** On a connection of its own, which may be broken off and which nobody keeps. */
const ask = ({ address }: TestDaemon) => {
  const headers = { authorization: `Bearer ${daemon.token}` }
  const outgoing = request(address + path, { method: 'POST', headers, agent: false })
  const begun = new Promise<IncomingMessage>((resolve) => {
    outgoing.on('response', (message) => resolve(message.on('error', () => undefined)))
  })
  outgoing.on('error', () => undefined)
  outgoing.end()
  return { outgoing, begun }
}

/** Halts a verification at the claims, and again at what it would come to next. */
const halted = async (database: TestDatabase) => {
  const connect = () => database.connect()
  const [watch, claims, model] = await Promise.all([connect(), connect(), connect()])
  await claims.query('begin; lock table es.claim in access exclusive mode')
  await model.query('begin; lock table rm.object in access exclusive mode')
  const waiting = async () => {
    const { rows } = await watch.query<{ count: string }>(
      `select count(*)::text as count from pg_stat_activity
       where datname = current_database() and application_name = 'mcpd' and wait_event_type = 'Lock'`,
    )
    return Number(rows[0]?.count)
  }
  return { claims, model, waiting }
}

describe('a verification', () => {
  it('C59 C60 of what is in order tells how far it is, and what was checked', async () => {
    const told = await lines()
    const head = String(await position(daemon))
    expect(told.at(-1)?.report).toEqual({
      ok: true,
      log: {
        events: head,
        head,
        hash: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
        // The names of the administrator, his group, its binding, and the project.
        claims: '4',
        seals: 0,
        anchored: false,
      },
      models: [{ name: 'objects', position: head }],
    })
    expect(told.slice(0, -1).map(({ progress }) => progress?.subject)).toEqual(['log', 'objects'])
  })

  it('names the object and the field of a read model that somebody has changed', async () => {
    const change = (from: string, to: string) =>
      `update rm.object set object = replace(object::text, '"${from}"', '"${to}"')::json where uid = '${uid}'`
    await tampering(change('as it was', 'forged'), change('forged', 'as it was'), async () => {
      expect(await report()).toMatchObject({
        ok: false,
        finding: {
          in: 'model',
          model: 'objects',
          subject: { kind: 'Project', name: 'checked', uid },
          stored: 'forged',
          expected: 'as it was',
        },
        models: [],
      })
    })
    expect(await report()).toMatchObject({ ok: true })
  })

  it('C60 names a claim that is not what the events say', async () => {
    const set = (name: string) => `update es.claim set key = 'project/${name}' where stream_id = 'project-${uid}'`
    await tampering(set('another'), set('checked'), async () => {
      const found = await report()
      expect(found).toMatchObject({ ok: false, finding: { in: 'log', problem: 'claim' } })
      expect(JSON.stringify(found?.finding)).toContain('project/')
    })
  })

  it('names the position of an event that somebody has changed', async () => {
    const { rows } = await owner.query<{ position: string }>(
      `select position::text from es.event where stream_id = 'project-${uid}' order by position limit 1`,
    )
    const set = (value: string) =>
      `update es.event set data = jsonb_set(data, '{name}', '"${value}"') where position = ${rows[0]!.position}`
    await tampering(set('forged'), set('checked'), async () => {
      expect(await report()).toMatchObject({
        ok: false,
        finding: { in: 'log', problem: 'content', position: rows[0]!.position },
      })
    })
    expect(await report()).toMatchObject({ ok: true })
  })

  it('holds the log against a seal that was kept', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const seal = await sealLog(daemon.parts.store.pool, { privateKey })
    const keys = [publicKey.export({ type: 'spki', format: 'pem' }).toString()]
    expect(await report({ keys, seals: [sealLine(seal!)] })).toMatchObject({
      ok: true,
      log: { anchored: true, seals: 2 },
    })
    const stranger = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' })
    expect(await report({ keys: [stranger], seals: [sealLine(seal!)] })).toMatchObject({
      ok: false,
      finding: { in: 'log', problem: 'seal' },
    })
    expect(problemOf(expectStatus(422, await daemon.send(path, { body: { seals: [sealLine(seal!)] } }))).reason).toBe(
      'Invalid',
    )
    const secret = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    const refused = expectStatus(422, await daemon.send(path, { body: { keys: [secret] } }))
    expect(refused.text + daemon.logged()).not.toContain(secret.split('\n')[1])
  })

  it('says which of several seals or keys is wrong', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const key = publicKey.export({ type: 'spki', format: 'pem' })
    expectStatus(201, await daemon.send('/api/v1/projects', { body: { name: 'to-be-sealed' } }))
    const seal = sealLine((await sealLog(daemon.parts.store.pool, { privateKey }))!)
    const pointers = async (body: object) =>
      problemOf(expectStatus(422, await daemon.send(path, { method: 'POST', body }))).errors?.map((one) => one.pointer)
    expect(await pointers({ keys: [key, 'x'] })).toEqual(['/keys/1'])
    expect(await pointers({ keys: [key], seals: [seal, `${seal} `] })).toEqual(['/seals/1'])
  })

  it.each<[unknown, number]>([
    [{ keys: 'x' }, 400],
    [{ keys: [1] }, 400],
    [{ keys: ['x'] }, 422],
    [{ seals: ['x'] }, 422],
    [{ seal: [] }, 400],
    [[], 400],
    ['x', 400],
  ])('%j is answered with %i', async (body, status) => {
    expect((await daemon.send(path, { method: 'POST', body })).status).toBe(status)
  })

  it('says again how far it is while nothing can be told that is new', async () => {
    const { claims, model, waiting } = await halted(daemon.database)
    const { outgoing, begun } = ask(daemon)
    const message = await begun
    let told = ''
    message.setEncoding('utf8').on('data', (chunk: string) => (told += chunk))
    await until('it has told the same twice', () => told.split('\n').filter((line) => line !== '').length >= 3)
    expect(await waiting()).toBe(1)
    const [first, second, third] = told.split('\n').map((line) => line && (JSON.parse(line) as Line).progress)
    expect([second, third]).toEqual([first, first])
    outgoing.destroy()
    await claims.query('commit')
    await model.query('commit')
    await until('nothing is checked any more', async () => (await waiting()) === 0)
  })

  it('ends when whoever asked goes away', async () => {
    const { claims, model, waiting } = await halted(daemon.database)
    const { outgoing } = ask(daemon)
    await until('it waits for the claims', async () => (await waiting()) === 1)
    outgoing.destroy()
    expectStatus(200, await daemon.send('/api/v1/status'))
    await claims.query('commit')
    await until('nothing is checked any more', async () => (await waiting()) === 0)
    for (let look = 0; look < 5; look++) expectStatus(200, await daemon.send('/api/v1/status'))
    expect(await waiting()).toBe(0)
    await model.query('commit')
    expect(daemon.logged()).not.toContain('a request failed')
  })

  it('ends when the daemon does, and says so', async () => {
    const other = await startDaemon({ database: daemon.database })
    const { claims, model, waiting } = await halted(daemon.database)
    const { begun } = ask(other)
    const answer = begun.then((message) => text(message))
    await until('it waits for the claims', async () => (await waiting()) === 1)
    const closed = other.close()
    await until('it is ending', () => other.parts.daemon.isEnding)
    await claims.query('commit')
    const last = (await answer).trimEnd().split('\n').at(-1) ?? ''
    expect(JSON.parse(last)).toMatchObject({ problem: { reason: 'Unavailable', status: 503 } })
    await closed
    await model.query('commit')
  })
})
