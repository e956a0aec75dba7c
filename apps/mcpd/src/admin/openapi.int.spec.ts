import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { Ajv2020 } from 'ajv/dist/2020'
import { v7 as uuidv7 } from 'uuid'
import { until } from '../../../../test/support/binaries'
import { expectStatus, objectOf, startDaemon, type Received, type TestDaemon } from '../../../../test/support/daemon'

let daemon: TestDaemon
let ajv: Ajv2020

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, { content?: Record<string, unknown> }> }>>
}
let document: Document

beforeAll(async () => {
  daemon = await startDaemon()
  document = JSON.parse(expectStatus(200, await daemon.send('/openapi.json')).text) as Document
  ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false })
  ajv.addSchema(document, 'api')
}, 60_000)
afterAll(() => daemon.close())

const escaped = (part: string) =>
  part.replaceAll('~', '~0').replaceAll('/', '~1').replaceAll('{', '%7B').replaceAll('}', '%7D')

/** Where the description of such an answer stands; it must be the only one for it. */
const schemaOf = (method: string, path: string, { status, headers }: Received) => {
  const type = headers.get('content-type')?.split(';')[0] ?? ''
  const responses = document.paths[path]?.[method]?.responses ?? {}
  const key = status in responses ? String(status) : 'default'
  expect(Object.keys(responses[key]?.content ?? {})).toEqual([type])
  return ['paths', path, method, 'responses', key, 'content', type, 'schema'].map(escaped).join('/')
}

/** Throws unless the answer is as described, and has no field that is not. */
const check = (method: string, path: string, received: Received): void => {
  const validate = ajv.compile({ $ref: `api#/${schemaOf(method, path, received)}`, unevaluatedProperties: false })
  for (const line of received.text.trimEnd().split('\n')) {
    validate(JSON.parse(line))
    expect(validate.errors ?? []).toEqual([])
  }
}

const root = '/api/v1/admin'

describe('the description of the admin routes', () => {
  it('is what parked events are listed and retried by', async () => {
    const sent = { body: { name: 'held', description: 'x' } }
    const { uid } = objectOf(expectStatus(201, await daemon.send('/api/v1/projects', sent))).metadata
    const meta = { actor: { uid: randomUUID(), name: 'from the future' } }
    const event = { id: uuidv7(), type: 'ProjectTeleported', schemaVersion: 1, data: {}, meta }
    const streams = [{ streamId: `project-${uid}`, category: 'project', expected: 'exists' as const, events: [event] }]
    await daemon.parts.store.log.append({ streams })
    const at = await until('it is parked', async () => (await daemon.parts.store.parked.list())[0]?.position)
    check('get', `${root}/parked`, expectStatus(200, await daemon.send(`${root}/parked`)))
    const settle = (verb: string) => daemon.send(`${root}/parked/objects/${at}/${verb}`, { method: 'POST' })
    for (const verb of ['retry', 'skip', 'skip'])
      check('post', `${root}/parked/{processor}/{position}/${verb}`, await settle(verb))
  })

  it('is what models are told by, also while one is rebuilt', async () => {
    for (let time = 0; time < 2; time++) {
      check('get', `${root}/models`, expectStatus(200, await daemon.send(`${root}/models`)))
      check('get', `${root}/models/{name}`, expectStatus(200, await daemon.send(`${root}/models/objects`)))
      const asked = await daemon.send(`${root}/models/objects/rebuild`, { method: 'POST' })
      expect(asked.status).toBe(time === 0 ? 202 : 409)
      check('post', `${root}/models/{name}/rebuild`, asked)
    }
    check('get', `${root}/models/{name}`, expectStatus(404, await daemon.send(`${root}/models/none`)))
  })

  it('is what keys are told and rotated by', async () => {
    const look = async () => check('get', `${root}/keys`, expectStatus(200, await daemon.send(`${root}/keys`)))
    await look()
    for (const verb of ['rotate?dryRun=All', 'rotate', 'rewrap', 'retire']) {
      const [path] = verb.split('?')
      check('post', `${root}/keys:${String(path)}`, await daemon.send(`${root}/keys:${verb}`, { method: 'POST' }))
    }
    await look()
    check('post', `${root}/keys:rotate`, expectStatus(400, await daemon.send(`${root}/keys:rotate`, { body: [1] })))
  })

  it('is what a verification tells, and what it has found', async () => {
    const verify = async () => {
      const answer = expectStatus(200, await daemon.send(`${root}/verify`, { method: 'POST' }))
      check('post', `${root}/verify`, answer)
      return answer.text
    }
    expect(await verify()).toContain('"ok":true')
    const owner = await daemon.database.connect()
    const tamper = (sql: string) => owner.query(`begin; set local session_replication_role = replica; ${sql}; commit`)
    await tamper(`update rm.object set object = replace(object::text, '"x"', '"y"')::json`)
    expect(await verify()).toContain('"in":"model"')
    await tamper(`update es.event set data = '{}' where position = 1`)
    expect(await verify()).toContain('"in":"log"')
  })
})
