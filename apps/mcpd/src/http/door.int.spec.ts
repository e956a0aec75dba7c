import { request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { mintToken } from '@mcpctl/access'
import {
  expectStatus,
  problemOf,
  startDaemon,
  tokenOf,
  type Sent,
  type TestDaemon,
} from '../../../../test/support/daemon'
import { position } from '../../../../test/support/log'

let daemon: TestDaemon

beforeAll(async () => {
  daemon = await startDaemon({ allowedHosts: ['mcp.example.com'] })
}, 60_000)
afterAll(() => daemon.close())

const source = 'npm:echo@1.0.0'
const post = (raw: string | Uint8Array, path = '/api/v1/servers', headers: Record<string, string> = {}) =>
  daemon.send(path, { method: 'POST', raw, headers })
const body = (fields: string) => `{"name":"never","package":"${source}",${fields}}`

/** A request in which headers may be doubled or odd, which fetch does not allow. */
const raw = (
  path: string,
  headers: Record<string, string | string[]>,
  { method = 'GET', chunks = [] as string[] } = {},
) =>
  new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
    const outgoing = request(daemon.address + path, { method, headers }, (answer) => {
      void text(answer).then((read) => {
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: read })
      })
    })
    outgoing.on('error', reject)
    for (const chunk of chunks) outgoing.write(chunk)
    outgoing.end()
  })

/** Bytes in, bytes out, for what is no HTTP. */
const bytes = (sent: string) =>
  new Promise<string>((resolve, reject) => {
    const { hostname, port } = new URL(daemon.address)
    const socket = connect(Number(port), hostname, () => socket.write(sent))
    socket.setTimeout(30_000, () => socket.destroy(new Error('no answer')))
    text(socket).then(resolve, reject)
  })

/** Every route that is known, and some that are not. */
const routes: [string, string][] = [
  ['GET', '/api/v1/kinds'],
  ['GET', '/api/v1/version'],
  ['GET', '/api/v1/status'],
  ['POST', '/api/v1/shutdown'],
  ['GET', '/openapi.json'],
  ['POST', '/api/v1/apply'],
  ['GET', '/api/v1/admin/parked'],
  ['POST', '/api/v1/admin/parked/objects/1/retry'],
  ['POST', '/api/v1/admin/parked/objects/1/skip'],
  ['GET', '/api/v1/admin/models'],
  ['GET', '/api/v1/admin/models/objects'],
  ['POST', '/api/v1/admin/models/objects/rebuild'],
  ['POST', '/api/v1/admin/verify'],
  ...['servers', 'instances', 'projects', 'secrets'].flatMap((plural): [string, string][] => [
    ['GET', `/api/v1/${plural}`],
    ['HEAD', `/api/v1/${plural}`],
    ['POST', `/api/v1/${plural}`],
    ['GET', `/api/v1/${plural}/any`],
    ['PUT', `/api/v1/${plural}/any`],
    ['PATCH', `/api/v1/${plural}/any`],
    ['DELETE', `/api/v1/${plural}/any`],
    ['GET', `/api/v1/${plural}/any/logs`],
  ]),
  ['GET', '/api/v1/servers/any/scale'],
  ['PUT', '/api/v1/servers/any/scale'],
  ['POST', '/mcp/servers/any'],
  ['GET', '/mcp/projects/any'],
  ['DELETE', '/mcp/projects/any'],
  ['GET', '/'],
  ['GET', '/metrics'],
  ['GET', '/healthz/'],
  ['GET', '//healthz'],
  ['GET', '/HEALTHZ'],
  ['GET', '/healthz/../api/v1/servers'],
  ['GET', '/api/v1/%zz'],
  ['GET', `/api/v1/servers/${'a'.repeat(400)}`],
  ['OPTIONS', '/api/v1/servers'],
  ['GET', '/api/v1/servers/%2e%2e/secrets'],
]

describe('without a token', () => {
  it.each(routes)('%s %s is refused', async (method, path) => {
    const { status, headers, body: answer } = await raw(path, {}, { method })
    expect(status).toBe(401)
    expect(headers['www-authenticate']).toBe('Bearer realm="mcpd"')
    expect(headers['content-type']).toContain('application/problem+json')
    if (method !== 'HEAD') expect(JSON.parse(answer)).toMatchObject({ status: 401, reason: 'Unauthorized' })
  })

  it('only health is told', async () => {
    const none = { headers: { authorization: '' } }
    expect((await daemon.send('/healthz', none)).text).toBe('{"status":"ok"}')
    expect(JSON.parse(expectStatus(200, await daemon.send('/readyz', none)).text)).toEqual({
      status: 'ok',
      checks: { database: 'ok', objects: 'ok' },
    })
  })
})

describe('a token', () => {
  const list = (authorization: string) => daemon.send('/api/v1/servers', { headers: { authorization } })

  it('may be announced in any case', async () => {
    expect((await list(`bearer ${daemon.token}`)).status).toBe(200)
    expect((await list(`BEARER  ${daemon.token}`)).status).toBe(200)
  })

  it('of another store, of another kind or mistyped is refused', async () => {
    const wrong = [
      mintToken('pat'),
      `${daemon.token.slice(0, -1)}${daemon.token.endsWith('a') ? 'b' : 'a'}`,
      daemon.token.toLowerCase(),
      `${daemon.token}x`,
      `ghp_${'a'.repeat(36)}`,
      'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.',
      'null',
    ]
    for (const token of wrong) expect((await list(`Bearer ${token}`)).status).toBe(401)
    for (const header of ['', 'Bearer', `Basic ${daemon.token}`, daemon.token, `Bearer ${daemon.token} x`])
      expect((await raw('/api/v1/servers', header === '' ? {} : { authorization: header })).status).toBe(401)
  })

  it('is refused once it has expired', async () => {
    const token = await tokenOf(daemon, 'bob')
    const owner = await daemon.database.connect()
    await owner.query(`update access.token set expires_at = now() - interval '1 s' where user_name = $1`, ['bob'])
    expect((await list(`Bearer ${token}`)).status).toBe(401)
    await owner.query(`update access.token set expires_at = now() + interval '1 h' where user_name = $1`, ['bob'])
    expect((await list(`Bearer ${token}`)).status).toBe(200)
  })

  it('is sent once, and never in the URL', async () => {
    const doubled = { authorization: [`Bearer ${daemon.token}`, `Bearer ${daemon.token}`] }
    expect((await raw('/api/v1/servers', doubled)).status).toBe(400)
    expect((await raw(`/api/v1/servers?access_token=${daemon.token}`, {})).status).toBe(400)
    expect((await daemon.send('/api/v1/servers?limit=1&access_token=x')).status).toBe(400)
  })

  it('is limited like every header', async () => {
    expect((await raw('/api/v1/servers', { authorization: `Bearer ${'a'.repeat(100_000)}` })).status).toBe(431)
  })
})

describe('a browser that was lured here', () => {
  it.each(['null', 'https://evil.example', 'http://localhost.evil.example', 'http://127.0.0.1.nip.io', 'file://', 'x'])(
    'is refused from origin %s',
    async (origin) => {
      const refused = await daemon.send('/api/v1/servers', { headers: { origin } })
      expect([refused.status, problemOf(refused).reason]).toEqual([403, 'Forbidden'])
      expect((await daemon.send('/healthz', { headers: { origin } })).status).toBe(403)
    },
  )

  it.each(['http://localhost:7777', 'http://127.0.0.1', 'http://[::1]:3000', 'https://mcp.example.com'])(
    'is served from origin %s',
    async (origin) => {
      expect((await daemon.send('/api/v1/servers', { headers: { origin } })).status).toBe(200)
    },
  )

  it.each(['evil.example', 'evil.example:7777', '127.0.0.1.nip.io', 'localhost.evil.example', '10.0.0.1'])(
    'is refused with host "%s"',
    async (host) => {
      const authorization = `Bearer ${daemon.token}`
      for (const path of ['/api/v1/servers', '/healthz'])
        expect((await raw(path, { host, authorization })).status).toBe(421)
    },
  )

  it.each(['localhost', 'LOCALHOST:1', '127.0.0.1:7777', '[::1]:7777', 'mcp.example.com'])(
    'is served with host %s',
    async (host) => {
      expect((await raw('/api/v1/servers', { host, authorization: `Bearer ${daemon.token}` })).status).toBe(200)
    },
  )

  it('is granted no preflight', async () => {
    const asked = {
      origin: 'https://evil.example',
      'access-control-request-method': 'POST',
      'access-control-request-private-network': 'true',
    }
    const { status, headers } = await raw('/api/v1/servers', asked, { method: 'OPTIONS' })
    expect(status).toBe(403)
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([])
  })
})

describe('every answer', () => {
  it('has the id of its request, the given one when it is one', async () => {
    const given = await daemon.send('/api/v1/servers/none', { headers: { 'x-request-id': 'my-id.7_A' } })
    expect(given.headers.get('x-request-id')).toBe('my-id.7_A')
    expect(problemOf(given).instance).toBe('urn:request:my-id.7_A')
    for (const id of ['a b', 'a'.repeat(65), '<script>', 'a;b']) {
      const replaced = await daemon.send('/api/v1/servers', { headers: { 'x-request-id': id } })
      expect(replaced.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    }
    for (const path of ['/healthz', '/nope', '/api/v1/%zz'])
      expect((await daemon.send(path)).headers.get('x-request-id')).toBeTruthy()
  })

  it('is neither stored nor guessed at', async () => {
    for (const path of ['/api/v1/servers', '/healthz', '/nope', '/api/v1/%zz']) {
      const { headers } = await daemon.send(path)
      expect([headers.get('cache-control'), headers.get('x-content-type-options')]).toEqual(['no-store', 'nosniff'])
      expect(headers.get('server')).toBeNull()
      expect(headers.get('x-powered-by')).toBeNull()
    }
  })

  it('that refuses is problem details', async () => {
    const refused = await daemon.send('/api/v1/projects/none')
    expect(refused.headers.get('content-type')).toContain('application/problem+json')
    expect(problemOf(refused)).toEqual({
      type: 'https://mcpctl.dev/problems/not-found',
      title: 'Not Found',
      status: 404,
      detail: 'projects "none" not found',
      instance: expect.stringMatching(/^urn:request:/) as unknown,
      reason: 'NotFound',
      kind: 'projects',
      name: 'none',
    })
  })
})

describe('a body', () => {
  const megabyte = 1024 * 1024
  const large = (bytesWanted: number) =>
    `{"name":"never","package":"${source}","annotations":{"a":"${'x'.repeat(bytesWanted)}"}}`

  it.each<[string, string | Uint8Array]>([
    ['half of JSON', '{"name":'],
    ['JSON with more behind it', '{"name":"a"} x'],
    ['a comment', '{"name":"a" /* b */}'],
    ['NaN', body('"replicas":NaN')],
    ['a control character', '{"name":"a\nb"}'],
    ['__proto__', '{"name":"never","__proto__":{"admin":true}}'],
    ['__proto__ further down', body('"labels":{"__proto__":"x"}')],
    ['constructor.prototype', body('"constructor":{"prototype":{"admin":true}}')],
    ['half of a surrogate pair', body('"annotations":{"a":"\\ud800"}')],
    ['half of a surrogate pair in a key', body('"annotations":{"\\udc00":"a"}')],
    ['bytes that are no UTF-8', Buffer.from(body('"annotations":{"a":"\xff"}'), 'latin1')],
    ['overlong UTF-8', Buffer.concat([Buffer.from('{"name":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')])],
    ['deep objects', '{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000)],
    ['deep lists', `{"args":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
    ['a million values', `{"args":[${'1,'.repeat(400_000)}1]}`],
  ])('with %s is refused at the door', async (_, sent) => {
    const started = performance.now()
    for (const path of ['/api/v1/servers', '/api/v1/apply']) {
      const refused = await post(sent, path)
      expect([refused.status, problemOf(refused).reason]).toEqual([400, 'BadRequest'])
    }
    expect(performance.now() - started).toBeLessThan(10_000)
    expect(({} as { admin?: boolean }).admin).toBeUndefined()
  })

  it.each<[string, string]>([
    ['NUL', body('"args":["\\u0000"]')],
    ['NUL in an annotation', body('"annotations":{"a":"\\u0000"}')],
    ['NUL in a key', body('"\\u0000":1')],
    ['a number beyond all numbers', body('"replicas":1e400')],
    ['a number of twenty digits', body('"replicas":12345678901234567890')],
    ['no object', '[]'],
    ['nothing', ''],
    ['a key of a megabyte', body(`"${'x'.repeat(900_000)}":1`)],
    ['60,000 keys', body(Array.from({ length: 60_000 }, (__, i) => `"k${String(i)}":1`).join(','))],
  ])('with %s is refused as an object', async (_, sent) => {
    const started = performance.now()
    expect((await post(sent)).status).toBe(422)
    expect(performance.now() - started).toBeLessThan(10_000)
  })

  it('of one object is at most 1 MiB, chunked or not', async () => {
    expect((await post(large(megabyte))).status).toBe(413)
    const headers = { authorization: `Bearer ${daemon.token}`, 'content-type': 'application/json' }
    const chunks = [large(megabyte).slice(0, 500_000), large(megabyte).slice(500_000)]
    expect((await raw('/api/v1/servers', headers, { method: 'POST', chunks })).status).toBe(413)
  })

  it('of an apply is at most 5 MiB', async () => {
    const manifest = (size: number) => `{"servers":[${large(size)}]}`
    expect((await post(manifest(2 * megabyte), '/api/v1/apply')).status).toBe(422)
    const tooLarge = await post(manifest(5 * megabyte), '/api/v1/apply')
    expect([tooLarge.status, problemOf(tooLarge).reason]).toEqual([413, 'TooLarge'])
  })

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/yaml'])(
    'of type %s is not read',
    async (type) => {
      const refused = await post('name=a', '/api/v1/servers', { 'content-type': type })
      expect([refused.status, problemOf(refused).reason]).toEqual([415, 'UnsupportedMediaType'])
    },
  )

  it('is JSON with or without its charset', async () => {
    const type = { 'content-type': 'application/json; charset=utf-8' }
    expect((await post('{"name":"project-of-charset"}', '/api/v1/projects', type)).status).toBe(201)
  })

  it('that was compressed is not read', async () => {
    const refused = await post(Buffer.from([0x1f, 0x8b, 8, 0]), '/api/v1/servers', { 'content-encoding': 'gzip' })
    expect([400, 415]).toContain(refused.status)
  })

  it.each([
    ['two lengths', 'Content-Length: 5\r\nContent-Length: 6\r\n'],
    ['a length and chunks', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n'],
    ['a line feed in a header', 'X-A: b\nX-B: c\r\n'],
  ])('with %s is no HTTP', async (_, headers) => {
    const answer = await bytes(
      `POST /api/v1/servers HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${headers}\r\nhello`,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
  })
})

describe('a URL', () => {
  const path = '/api/v1/servers'
  it.each<[string, number]>([
    [`${path}/a%00b`, 400],
    [`${path}/%zz`, 400],
    [`${path}/%ff`, 400],
    [`${path}/${'a'.repeat(400)}`, 400],
    [`${path}/..%2f..%2fetc%2fpasswd`, 404],
    [`${path}/constructor`, 404],
    [`${path}/__proto__`, 404],
    ['/api/v1/__proto__', 404],
    ['/api/v1/constructor', 404],
    [`/api/v1//servers`, 404],
    [`${path};x=1`, 404],
    [`/API/V1/servers`, 404],
    [`${path}?limit=0`, 400],
    [`${path}?limit=1001`, 400],
    [`${path}?limit=-1`, 400],
    [`${path}?limit=1e3`, 400],
    [`${path}?limit=1&limit=2`, 400],
    [`${path}?labelSelector=a&labelSelector=b`, 400],
    [`${path}?labelSelector=a%3Db%20or%201%3D1`, 200],
    [`${path}?labelSelector=%27`, 400],
    [`${path}?labelSelector=%00`, 400],
    [`${path}?fieldSelector=spec.secret%3Da`, 400],
    [`${path}?fieldSelector=metadata.name`, 400],
    [`${path}?fieldSelector=__proto__%3Da`, 400],
    [`${path}?fieldSelector=constructor%3Da`, 400],
    [`${path}?lablSelector=a`, 400],
    [`${path}?continue=abc`, 400],
    [
      `${path}?continue=${Buffer.from('{"epoch":1,"position":"1; drop table","after":"","filter":""}').toString('base64url')}`,
      400,
    ],
    [`${path}?continue=${Buffer.from('null').toString('base64url')}`, 400],
  ])('%s is answered with %i', async (url, status) => {
    const answer = await daemon.send(url)
    expect(answer.status).toBe(status)
    if (status !== 200) expect(answer.headers.get('content-type')).toContain('application/problem+json')
  })
})

describe('a secret', () => {
  it('never reaches the log of the daemon or the database', async () => {
    const wrong = mintToken('pat')
    const secret = 'hunter2-correct-horse'
    const requests: [string, Sent][] = [
      ['/api/v1/servers', {}],
      ['/api/v1/servers', { headers: { authorization: `Bearer ${wrong}` } }],
      ['/api/v1/nope', {}],
      ['/api/v1/servers', { method: 'POST', raw: `{"name":"x","env":[{"name":"A","value":"${secret}"}]` }],
      ['/api/v1/servers', { body: { name: 'x', package: source, env: [{ name: 'A', value: [secret] }] } }],
      ['/api/v1/servers', { body: { name: 'x', url: `https://me:${secret}@example.com/` } }],
    ]
    for (const [path, sent] of requests) expect((await daemon.send(path, sent)).text).not.toContain(secret)
    const owner = await daemon.database.connect()
    const { rows } = await owner.query(
      `select e::text as line from es.event e union all select c::text from es.command c
       union all select t::text from access.token t union all select o::text from rm.object o`,
    )
    const dump = JSON.stringify(rows)
    expect(rows.length).toBeGreaterThan(3)
    for (const told of [dump, daemon.logged()])
      for (const hidden of [daemon.token, daemon.token.slice(12), wrong, secret]) expect(told).not.toContain(hidden)
  })
})

describe('after all that', () => {
  it('nothing has been appended by what was refused, and nothing was a bug', async () => {
    const before = await position(daemon)
    expectStatus(404, await daemon.send('/api/v1/servers/never'))
    expect(await position(daemon)).toBe(before)
    expect(daemon.logged()).not.toContain('a request failed')
  })
})
