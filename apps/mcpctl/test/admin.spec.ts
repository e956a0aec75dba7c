import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { Cli } from './cli'
import { problem, TestDaemon, type Reply } from './daemon'

const first = {
  processor: 'objects',
  position: '17',
  streamId: 'server-018f',
  type: 'ServerTeleported',
  error: `this daemon does not know this type\u001b[31m ${'x'.repeat(100)}`,
  since: new Date(Date.now() - 5 * 60_000).toISOString(),
  behind: 2,
}
const second = { ...first, position: '23', streamId: 'server-019a', behind: 0, error: 'no' }

let cli: Cli
let daemon: TestDaemon
let parked: object[]
let answers: Record<string, Reply>

beforeEach(async () => {
  cli = new Cli()
  daemon = new TestDaemon()
  cli.use(await daemon.start())
  parked = [first, second]
  answers = {}
  daemon.route = ({ method, path }) => {
    if (method === 'GET' && path === '/api/v1/admin/parked') return { status: 200, body: { parked } }
    return answers[`${method} ${path.replace('/api/v1/admin/', '')}`]
  }
})
afterEach(async () => {
  await daemon.stop()
  cli.remove()
})

describe('a command that only has others below it', () => {
  it.each(['admin', 'admin parked'])('%s shows them', async (words) => {
    const { code, out } = await cli.type(words)
    expect(code).toBe(0)
    expect(out).toContain(`Usage: mcpctl ${words}`)
    expect(out).toBe((await cli.type(`${words} --help`)).out)
  })
})

describe('admin parked list', () => {
  it('prints a table in which text of others cannot steer the terminal', async () => {
    const { code, out } = await cli.type('admin parked list')
    expect(code).toBe(0)
    const [header, line] = out.split('\n')
    expect(header).toBe('PROCESSOR   POSITION   TYPE               STREAM        BEHIND   SINCE   ERROR')
    expect(line).toMatch(/^objects {5}17 {9}ServerTeleported {3}server-018f {3}2 {8}5m {6}this daemon .*␛\[31m x+…$/)
    expect((await cli.type('admin parked list --no-headers objects')).out).not.toContain('PROCESSOR')
    expect(daemon.requests.at(-1)?.query.get('processor')).toBe('objects')
  })

  it('prints everything with -o wide, and data with -o json and yaml', async () => {
    expect((await cli.type('admin parked list -o wide')).out).toContain('x'.repeat(100))
    expect(JSON.parse((await cli.type('admin parked list -o json')).out)).toEqual({ parked })
    expect((await cli.type('admin parked list -o yaml')).out).toContain('    position: "17"\n')
  })

  it('says on stderr that there are none', async () => {
    parked = []
    expect(await cli.type('admin parked list')).toEqual({ code: 0, out: '', err: 'No events are parked\n' })
    expect(await cli.type('admin parked retry --all')).toEqual({ code: 0, out: '', err: 'No events are parked\n' })
  })
})

describe('admin parked retry and skip', () => {
  it('apply one, with a reason', async () => {
    answers['POST parked/objects/17/retry'] = { status: 200, body: { applied: 3 } }
    const { code, out } = await cli.run(['admin', 'parked', 'retry', 'objects', '17', '--reason', 'upgraded — at last'])
    expect([code, out]).toEqual([0, 'parked event objects/17 retried: 3 events applied\n'])
    expect(daemon.requests.at(-1)?.body).toEqual({ reason: 'upgraded — at last' })
  })

  it('apply all, go on after one that cannot be applied, and exit with 1', async () => {
    const stoppedAt = { position: '17', type: first.type, error: 'still unknown' }
    answers['POST parked/objects/17/retry'] = { status: 200, body: { applied: 0, stoppedAt } }
    answers['POST parked/objects/23/retry'] = { status: 200, body: { applied: 1 } }
    expect(await cli.type('admin parked retry --all')).toEqual({
      code: 1,
      out: 'parked event objects/23 retried: 1 event applied\n',
      err: 'error: parked event objects/17 (ServerTeleported) cannot be applied: still unknown\n',
    })
  })

  it('say which event behind the skipped one is parked now', async () => {
    const stoppedAt = { position: '19', type: 'ServerScaled', error: 'no such server' }
    answers['POST parked/objects/17/skip'] = { status: 200, body: { applied: 1, stoppedAt } }
    expect(await cli.type('admin parked skip objects 17 --yes')).toEqual({
      code: 1,
      out: 'parked event objects/17 skipped: 1 event applied\n',
      err: 'error: position 19 (ServerScaled) behind it cannot be applied: no such server\n',
    })
  })

  it('ask before they skip, since nothing brings it back', async () => {
    answers['POST parked/objects/17/skip'] = { status: 200, body: { applied: 0 } }
    const line = 'admin parked skip objects 17'
    expect(await cli.type(line)).toMatchObject({ code: 2, out: '', err: expect.stringContaining('--yes') as unknown })
    expect((await cli.type(line, { answer: 'n' })).code).toBe(1)
    expect(daemon.mutations).toEqual([])
    expect((await cli.type(line, { answer: 'y' })).code).toBe(0)
    expect(daemon.mutations).toEqual(['POST /api/v1/admin/parked/objects/17/skip'])
  })

  it.each([
    ['retry', 'name one parked event'],
    ['retry objects', 'name one parked event'],
    ['retry objects 17 18', 'name one parked event'],
    ['retry objects x', 'invalid position "x"'],
    ['retry objects 17 --all', 'not both'],
    ['skip --all', 'unknown flag: --all'],
    ['skp objects 17', 'did you mean "skip"'],
  ])('refuse %s', async (line, words) => {
    const { code, err } = await cli.type(`admin parked ${line}`)
    expect([code, daemon.requests]).toEqual([2, []])
    expect(err).toContain(words)
  })
})

describe('admin rebuild', () => {
  const model = (version: number, more: object = {}) => ({
    name: 'objects',
    version,
    position: '5000',
    head: '5000',
    status: 'running',
    ...more,
  })
  const building = (state: string, position: string) => ({
    rebuild: { version: 2, state, position, eventsPerSecond: 60_000, lastError: 'disk full' },
  })

  /** Answers looks at the model in turn, the last one for ever. */
  const looks = (...replies: Reply[]) => {
    const before = daemon.route
    daemon.route = (request) => {
      if (request.path === '/api/v1/admin/models') return { status: 200, body: { models: [model(1)] } }
      if (request.path !== '/api/v1/admin/models/objects') return before(request)
      return replies.length > 1 ? replies.shift() : replies[0]
    }
  }
  const ok = (body: object): Reply => ({ status: 200, body })

  beforeEach(() => {
    answers['POST models/objects/rebuild'] = { status: 202, body: { name: 'objects', version: 2 } }
  })

  it('waits until readers see the new version, across a daemon that starts anew, and says how fast it was', async () => {
    looks(
      ok(model(1, building('building', '2500'))),
      problem(503, 'Unavailable', 'no database'),
      ok(model(1, building('swapping', '5000'))),
      ok(model(2)),
    )
    expect(await cli.type('admin rebuild')).toEqual({
      code: 0,
      out: 'model objects rebuilt: version 2, 5000 events, 60000 events/s\n',
      err: '',
    })
  })

  it('shows on a terminal one line that changes', async () => {
    looks(ok(model(1, building('building', '2500'))), ok(model(2)))
    const { err } = await cli.type('admin rebuild objects', { terminal: true })
    expect(err).toContain('\r\u001b[Kmodel objects: building, position 2500 of 5000, 60000 events/s (disk full)')
    expect(err.endsWith('\r\u001b[K')).toBe(true)
  })

  it('waits for one that is under way; without waiting that is a conflict', async () => {
    answers['POST models/objects/rebuild'] = problem(409, 'Conflict', 'model "objects" is being rebuilt already')
    looks(ok(model(1, building('building', '1'))), ok(model(2)))
    const joined = await cli.type('admin rebuild')
    expect(joined).toMatchObject({ code: 0, err: 'model objects is being rebuilt already; waiting for that\n' })
    expect((await cli.type('admin rebuild objects --no-wait')).code).toBe(6)
  })

  it('does not wait when told so', async () => {
    expect(await cli.type('admin rebuild objects --no-wait')).toEqual({
      code: 0,
      out: 'model objects is being rebuilt: version 2\n',
      err: '',
    })
  })

  it('exits with 1 when it has failed, and says that readers see what they saw', async () => {
    looks(ok(model(1, building('failed', '2500'))))
    const { code, err } = await cli.type('admin rebuild')
    expect([code, err]).toEqual([
      1,
      'error: the rebuild of model objects has failed: disk full; readers see version 1 as before\n' +
        'try it again with: mcpctl admin rebuild objects\n',
    ])
  })

  it('exits with 3 for a model that there is not, after asking for the others', async () => {
    answers['POST models/objekts/rebuild'] = problem(
      404,
      'NotFound',
      'there is no read model "objekts"; there are: objects',
    )
    const { code, out, err } = await cli.type('admin rebuild objekts objects --no-wait')
    expect([code, out]).toEqual([3, 'model objects is being rebuilt: version 2\n'])
    expect(err).toContain('there are: objects')
  })
})

describe('admin verify', () => {
  const log = { events: '40', head: '40', hash: 'ab'.repeat(32), claims: '3', seals: 0, anchored: false }
  const progress = { progress: { subject: 'log', position: '20', to: '40' } }
  const stream = (...lines: unknown[]): Reply => ({ status: 200, lines })
  const report = (more: object) => ({
    report: { ok: true, models: [{ name: 'objects', position: '40' }], log, ...more },
  })

  it('prints what was checked', async () => {
    answers['POST verify'] = stream(progress, report({}))
    expect(await cli.type('admin verify')).toEqual({
      code: 0,
      out:
        'Events:     40, all as they were appended\n' +
        `Head:       position 40, hash ${'ab'.repeat(32)}\n` +
        'Claims:     3, all as the events say\n' +
        'Anchored:   no\n' +
        'Model:      objects, equal to a fold from scratch at position 40\n',
      err: '',
    })
    const shown = await cli.type('admin verify', { terminal: true })
    expect(shown.err).toBe('\r\u001b[Kverifying the log: position 20 of 40\r\u001b[K')
  })

  it('exits with 1 and the first difference of a model', async () => {
    const finding = {
      in: 'model',
      model: 'objects',
      comparedAt: '40',
      subject: { kind: 'Server', name: 'github' },
      position: '7',
      path: '/spec/replicas',
      stored: 3,
      expected: 2,
    }
    answers['POST verify'] = stream(report({ ok: false, finding, models: [] }))
    const { code, out, err } = await cli.type('admin verify')
    expect([code, out, err]).toEqual([
      1,
      '',
      'error: model objects differs from the log at position 40: kind Server, name github, since position 7, /spec/replicas: ' +
        'stored 3, expected 2\nrebuild it with: mcpctl admin rebuild objects\n',
    ])
    const json = await cli.type('admin verify -o json')
    expect([json.code, JSON.parse(json.out)]).toEqual([1, { ok: false, finding, models: [], log }])
  })

  it('exits with 1 and the first fault of the log', async () => {
    const finding = { in: 'log', problem: 'content', position: '9', field: 'data', message: 'says something else' }
    answers['POST verify'] = stream(report({ ok: false, finding, models: [] }))
    const { code, err } = await cli.type('admin verify')
    expect(code).toBe(1)
    expect(err).toContain('error: the log is broken at position 9 (content): says something else\n')
  })

  it('never takes an answer that was cut off, or a problem, for a good one', async () => {
    answers['POST verify'] = { ...stream(progress), cut: true }
    expect((await cli.type('admin verify')).code).toBe(9)
    answers['POST verify'] = stream(progress)
    expect((await cli.type('admin verify')).code).toBe(9)
    answers['POST verify'] = stream(progress, { problem: problem(503, 'Unavailable', 'no database').body })
    expect((await cli.type('admin verify')).code).toBe(9)
  })

  it('sends seals and public keys, and never a private one', async () => {
    answers['POST verify'] = stream(report({ log: { ...log, anchored: true, seals: 2 } }))
    const write = (name: string, text: string) => {
      writeFileSync(join(cli.directory, name), text)
      return join(cli.directory, name)
    }
    const [seals, key] = [write('seals', '{"a":1}\n{"b":2}\n'), write('key', '-----BEGIN PUBLIC KEY-----\n')]
    const { out } = await cli.type(`admin verify --seal ${seals} --seal-key ${key}`)
    expect(out).toContain('Anchored:   yes, by 2 seals\n')
    expect(daemon.requests.at(-1)?.body).toEqual({
      keys: ['-----BEGIN PUBLIC KEY-----\n'],
      seals: ['{"a":1}', '{"b":2}'],
    })
    const sent = daemon.requests.length
    const secret = write('secret', '-----BEGIN PRIVATE KEY-----\nhunter2')
    const refused = await cli.type(`admin verify --seal-key ${secret}`)
    expect([refused.code, refused.err.includes('hunter2')]).toEqual([2, false])
    expect((await cli.type(`admin verify --seal ${seals}`)).code).toBe(2)
    expect((await cli.type('admin verify --seal /no/such/file --seal-key /no/such/file')).code).toBe(2)
    expect(daemon.requests).toHaveLength(sent)
  })
})

describe('status', () => {
  const status = (projector: object) => ({
    version: '1',
    store: { id: 's', epoch: 1, position: '40' },
    daemon: { pid: 1, startedAt: new Date().toISOString(), address: '' },
    leader: { self: true },
    projectors: [{ name: 'objects', position: '40', lag: 0, status: 'running', parked: 0, ...projector }],
    drivers: [],
    database: { embedded: true, version: '18' },
  })

  it('shows parked events and a rebuild that is under way', async () => {
    const rebuild = { version: 2, state: 'building', position: '20' }
    daemon.route = () => ({ status: 200, body: status({ parked: 2, rebuild }) })
    const { code, out, err } = await cli.type('status')
    expect([code, err]).toEqual([0, 'events are parked; see: mcpctl admin parked list\n'])
    expect(out).toContain('objects     40         0     2        running, version 2 building at 20\n')
  })
})
