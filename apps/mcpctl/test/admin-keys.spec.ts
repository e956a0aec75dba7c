import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import type { KeysStatus } from '@mcpctl/contracts'
import { Cli } from './cli'
import { problem, TestDaemon } from './daemon'

const old = { id: '0f1e2d3c4b5a6978', createdAt: new Date(Date.now() - 3_600_000).toISOString(), present: true }
const young = { id: '8f9e0d1c2b3a4958', createdAt: new Date().toISOString(), present: true }
const done = (failed = 0) => ({ running: false, done: 4, failed, failing: failed ? ['0190-uid/3'] : [] })

let cli: Cli
let daemon: TestDaemon
/** What is answered when it is asked how things stand, one after the other; the last one stays. */
let statuses: KeysStatus[]
let retired: string[]

const status = (stale: number, more: Partial<KeysStatus> = {}): KeysStatus => ({
  state: 'ready',
  place: '/data/keys/kek',
  keks: [
    { ...old, current: false, dataKeys: stale },
    { ...young, current: true, dataKeys: 4 - stale },
  ],
  stale,
  ...more,
})

beforeEach(async () => {
  cli = new Cli()
  daemon = new TestDaemon()
  cli.use(await daemon.start())
  retired = []
  daemon.route = ({ method, path, query }) => {
    const dry = query.get('dryRun') === 'All'
    if (path === '/api/v1/admin/keys') {
      const body = statuses.length > 1 ? statuses.shift() : statuses[0]
      return { status: 200, body }
    }
    if (method !== 'POST') return undefined
    if (path.endsWith('keys:rotate'))
      return { status: 202, body: { from: old.id, ...(!dry && { to: young.id }), stale: 4 } }
    if (path.endsWith('keys:rewrap')) return { status: 202, body: { stale: statuses[0]?.stale ?? 0 } }
    if (path.endsWith('keys:retire')) return { status: 200, body: { retired } }
    return undefined
  }
})
afterEach(async () => {
  await daemon.stop()
  cli.remove()
})

describe('admin keys status', () => {
  it('tells keys by name and what they wrap', async () => {
    statuses = [status(1)]
    const { code, out } = await cli.type('admin keys status')
    expect(code).toBe(0)
    expect(out).toContain('Keys:     ready\n')
    expect(out).toContain('File:     /data/keys/kek\n')
    expect(out).toContain('data keys that are not under the current key: 1; run: mcpctl admin keys rewrap')
    expect(out).toMatch(/KEK +AGE +DATA-KEYS +CURRENT +PRESENT\n0f1e2d3c4b5a6978 +60m +1 +no +yes\n8f9e/)
    expect(JSON.parse((await cli.type('admin keys status -o json')).out)).toEqual(status(1))
    expect((await cli.type('admin keys status -o yaml')).out).toContain('stale: 1\n')
  })

  it('ends with 1 when secrets cannot be opened, and says what to do', async () => {
    statuses = [status(0, { state: 'KekMissing', message: 'there is no key in /data/keys/kek; put the file back' })]
    const { code, out, err } = await cli.type('admin keys status')
    expect(code).toBe(1)
    expect(out).toContain('KekMissing: there is no key in /data/keys/kek; put the file back')
    expect(err).toContain('neither opened nor sealed')
  })
})

describe('admin keys rotate', () => {
  it('waits until data keys are wrapped anew, and says what it has not forgotten', async () => {
    statuses = [
      status(4, { rewrap: { ...done(), running: true } }),
      status(2, { rewrap: { ...done(), running: true } }),
    ]
    statuses.push(status(0, { rewrap: done() }))
    expect(await cli.type('admin keys rotate')).toEqual({
      code: 0,
      out: `key-encryption key rotated: ${young.id} in place of ${old.id}\n4 data keys wrapped anew\n`,
      err: 'older keys stay in the key file; forget what wraps nothing with: mcpctl admin keys rewrap --retire\n',
    })
    expect(daemon.mutations).toEqual(['POST /api/v1/admin/keys:rotate'])
  })

  it('forgets the old key when it is told to, and tells all as data', async () => {
    statuses = [status(0)]
    retired = [old.id]
    const { code, out, err } = await cli.run([
      'admin',
      'keys',
      'rotate',
      '--retire',
      '-o',
      'json',
      '--reason',
      'yearly',
    ])
    expect([code, err]).toEqual([0, ''])
    expect(JSON.parse(out)).toEqual({ from: old.id, to: young.id, stale: 0, rewrapped: 4, failed: 0, retired })
    const changes = daemon.requests.filter(({ method }) => method === 'POST')
    expect(changes.map(({ headers }) => headers['x-mcpctl-reason'])).toEqual(['yearly', 'yearly'])
    expect(daemon.mutations.at(-1)).toBe('POST /api/v1/admin/keys:retire')
  })

  it('does nothing in a dry run, and does not wait with --no-wait', async () => {
    statuses = [status(4)]
    expect(await cli.type('admin keys rotate --dry-run')).toEqual({
      code: 0,
      out: `key-encryption key ${old.id} would be replaced, and 4 data keys wrapped anew (dry run)\n`,
      err: '',
    })
    expect(daemon.requests.map(({ query }) => query.get('dryRun'))).toEqual(['All'])
    const { out } = await cli.type('admin keys rotate --no-wait')
    expect(out).toContain('data keys are being wrapped anew\n')
    expect(daemon.requests.filter(({ path }) => path === '/api/v1/admin/keys')).toEqual([])
  })

  it('says why when the daemon refuses', async () => {
    daemon.route = () => problem(503, 'Unavailable', 'secrets can be neither opened nor sealed: put the file back')
    const { code, err } = await cli.type('admin keys rotate')
    expect(code).not.toBe(0)
    expect(err).toContain('put the file back')
  })
})

describe('admin keys rewrap', () => {
  it('has a daemon begin that knows nothing of it, as after a restart', async () => {
    statuses = [status(3), status(0)]
    const { code, out } = await cli.type('admin keys rewrap')
    expect([code, out]).toEqual([0, '3 data keys wrapped anew\n'])
    expect(daemon.mutations).toEqual(Array(2).fill('POST /api/v1/admin/keys:rewrap'))
  })

  it('names what cannot be opened, and ends with 1', async () => {
    statuses = [status(2), status(1, { rewrap: done(1) })]
    const { code, out, err } = await cli.type('admin keys rewrap')
    expect([code, out]).toEqual([1, '1 data key wrapped anew\n'])
    expect(err).toContain('1 data key cannot be opened: 0190-uid/3')
    expect(err).toContain('put the key-encryption key that wraps them back')
  })

  it('tells in a dry run what it would do', async () => {
    statuses = [status(0)]
    retired = [old.id]
    expect((await cli.type('admin keys rewrap --retire --dry-run')).out).toBe(
      `0 data keys would be wrapped anew\nkey-encryption key ${old.id} would be retired (dry run)\n`,
    )
    expect(daemon.requests.every(({ query }) => query.get('dryRun') === 'All')).toBe(true)
  })
})

it.each([
  ['rotate --dry-run=maybe', 'invalid dry-run value "maybe"'],
  ['rotate --retire --no-wait', '--retire needs the end'],
  ['rewrap --retire --no-wait', '--retire needs the end'],
  ['rotate x', 'too many arguments'],
  ['status -o table', 'table'],
])('admin keys %s is refused', async (words, text) => {
  statuses = [status(0)]
  const { code, err } = await cli.type(`admin keys ${words}`)
  expect(code).toBe(2)
  expect(err).toContain(text)
  expect(daemon.mutations).toEqual([])
})
