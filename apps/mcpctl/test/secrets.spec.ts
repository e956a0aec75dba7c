import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { Cli } from './cli'
import { problem, TestDaemon } from './daemon'
import { secret, server } from './objects'

const canary = 'c4n4ry-value-of-a-secret'
const revealing = { name: 'gh', uid: 'u', version: 2, values: { token: { value: canary } } }

describe('secrets', () => {
  const daemon = new TestDaemon()
  const cli = new Cli()
  const values = (found: object) => {
    daemon.route = ({ path }) =>
      path.endsWith(':reveal') ? { status: 200, body: { ...revealing, ...found } } : undefined
  }

  beforeAll(async () => cli.use(await daemon.start()))
  afterAll(async () => {
    await daemon.stop()
    cli.remove()
  })
  beforeEach(() => {
    values({})
    daemon.requests.length = 0
    daemon.put('secrets', secret('gh'), secret('other'))
    daemon.put('servers', server('github'))
  })

  it('show in tables how many keys, which version and who uses them', async () => {
    const lines = (await cli.type('get secrets')).out.split('\n').map((line) => line.split(/ {2,}/))
    expect(lines.slice(0, 2)).toEqual([
      ['NAME', 'KEYS', 'VERSION', 'USED-BY', 'AGE'],
      ['gh', '2', '2', 'github', '5d'],
    ])
    expect((await cli.type('get secrets -o wide')).out).toMatch(/FINGERPRINT {2,}ROTATED {2,}KEK/)
  })

  it('are written so that applying them keeps every value', async () => {
    expect((await cli.type('get secret gh -o yaml')).out).toBe(
      'secrets:\n  - name: gh\n    data:\n      token:\n        keep: true\n      pem:\n        keep: true\n',
    )
  })

  it('are described without their values, nor how long those are', async () => {
    const { code, out } = await cli.type('describe secret gh -v 9')
    expect(code).toBe(0)
    expect(out).toMatch(/^Version: {2,}2$/m)
    expect(out).toMatch(/^Servers: {2,}github$/m)
    expect(out).toContain(
      'Data:\n  KEY     VALUE      FINGERPRINT\n  token   ********   aaaa1111\n  pem     ********   bbbb2222\n',
    )
    expect(out).toContain(
      'Versions (the last 5 are kept):\n  VERSION       SINCE               KEYS\n' +
        '  2 (current)   2026-01-02T00:00Z   token,pem\n  1             2026-01-01T00:00Z   token\n',
    )
    expect(daemon.mutations).toEqual([])
  })

  it('are described with their values when asked', async () => {
    values({ values: { token: { value: canary }, pem: { value: '/w==', binary: true }, empty: { value: '' } } })
    const { out } = await cli.type('describe secret gh --show-values')
    expect(out).toContain(`Data of version 2:\n  token:  ${canary}\n  pem (base64):  /w==\n  empty:  \nVersions`)
    await cli.type('describe secret gh --show-values --at-version 1')
    expect(daemon.mutations).toEqual(['POST /api/v1/secrets/gh:reveal', 'POST /api/v1/secrets/gh:reveal'])
    expect(daemon.requests.filter(({ method }) => method === 'POST').map(({ body }) => body)).toEqual([
      {},
      { version: 1 },
    ])
  })

  it('cannot steer the terminal with a value', async () => {
    values({ values: { token: { value: '\u001b]0;owned\u0007\r\u202e' }, pem: { value: 'a \n\n\u009bb\n' } } })
    expect((await cli.type('describe secret gh --show-values')).out).toContain(
      'Data of version 2:\n  token:  ␛]0;owned␇␍\\u202e\n  pem:\n    a \n\n    \\u009bb\n\nVersions',
    )
  })

  it('are not shown to whoever may not reveal them, and it says which right that takes', async () => {
    const text = 'secrets "gh" is forbidden: User "alice" cannot reveal resource "secrets" named "gh"'
    daemon.route = ({ path }) => (path.endsWith(':reveal') ? problem(403, 'Forbidden', text) : undefined)
    const { code, out, err } = await cli.type('describe secret gh --show-values')
    expect({ code, out }).toEqual({ code: 5, out: '' })
    expect(err).toContain(`Error from server (Forbidden): ${text}`)
  })

  it.each([
    ['describe server github --show-values', '--show-values is for secrets'],
    ['describe secret/gh server/github --show-values', '--show-values is for secrets'],
    ['describe secret gh --at-version 1', '--at-version needs --show-values'],
    ['describe secret gh --show-values --at-version 0', 'must be at least 1'],
    ['describe secret gh --show-value', 'did you mean --show-values?'],
    ['delete server github --force', '--force means nothing for servers'],
  ])('%s is refused', async (line, text) => {
    const { code, err } = await cli.type(line)
    expect(code).toBe(2)
    expect(err).toContain(text)
    expect(daemon.requests).toEqual([])
  })

  it('are deleted while servers use them only when forced', async () => {
    const text = 'secrets "gh" is used by servers "github"'
    daemon.route = ({ method, path, query }) =>
      method === 'DELETE' && path.includes('secrets') && query.get('force') === null
        ? problem(409, 'InUse', text)
        : undefined
    const refused = await cli.type('delete secret gh')
    expect(refused.code).toBe(6)
    expect(refused.err).toContain(`Error from server (InUse): ${text}`)
    expect((await cli.type('delete secret gh --force')).out).toBe('secret "gh" deleted\n')
    expect((await cli.type('delete secret/other server/github --force --yes')).code).toBe(0)
    expect(daemon.requests.filter(({ method }) => method === 'DELETE').map(({ query }) => query.get('force'))).toEqual([
      null,
      'true',
      'true',
      null,
    ])
  })

  it('wait for the end of the servers that a manifest names with them', async () => {
    const order: string[] = []
    let asked = 0
    daemon.route = ({ method, path }) => {
      order.push(`${method} ${path}`)
      const gone = path.endsWith('/servers/github') && method === 'GET' && ++asked > 2
      if (method === 'DELETE' && path.includes('servers')) return { status: 202, body: server('github') }
      return gone ? problem(404, 'NotFound', 'servers "github" not found') : undefined
    }
    const input = 'secrets: [{ name: gh, data: { token: x } }]\nservers: [{ name: github, image: x }]\n'
    const { code, out } = await cli.type('delete -f - --yes', { input })
    expect({ code, out }).toEqual({ code: 0, out: 'server "github" deleted\nsecret "gh" deleted\n' })
    expect(order.findIndex((line) => line === 'DELETE /api/v1/secrets/gh')).toBeGreaterThan(
      order.findLastIndex((line) => line.includes('/servers/github')),
    )
  })
})
