import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { writeConfig } from '@mcpctl/client'
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
    expect(line).toMatch(/^objects {5}17 {9}ServerTeleported {3}server-018f {3}2 {8}5m {6}this daemon .*␛\[31m x{100}$/)
    expect((await cli.type('admin parked list --no-headers objects')).out).not.toContain('PROCESSOR')
    expect(daemon.requests.at(-1)?.query.get('processor')).toBe('objects')
  })

  it('is cut for terminals, not with -o wide; prints data with -o json and yaml', async () => {
    const [, line] = (await cli.type('admin parked list', { terminal: true, columns: 100 })).out.split('\n')
    expect([line?.length, line?.at(-1)]).toEqual([100, '…'])
    expect((await cli.type('admin parked list -o wide', { terminal: true })).out).toContain('x'.repeat(100))
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
    const { headers, body } = daemon.requests.at(-1)!
    expect([decodeURIComponent(String(headers['x-mcpctl-reason'])), body]).toEqual(['upgraded — at last', undefined])
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

  it('apply all of one processor', async () => {
    answers['POST parked/objects/17/retry'] = { status: 200, body: { applied: 1 } }
    answers['POST parked/objects/23/retry'] = { status: 200, body: { applied: 1 } }
    expect((await cli.type('admin parked retry objects --all')).code).toBe(0)
    expect(daemon.requests[0]?.query.get('processor')).toBe('objects')
    expect(daemon.mutations).toHaveLength(2)
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

  it('ask before they skip what they say, since nothing brings it back', async () => {
    answers['POST parked/objects/17/skip'] = { status: 200, body: { applied: 0 } }
    const line = 'admin parked skip objects 17'
    const alone = await cli.type(line)
    expect([alone.code, alone.out]).toEqual([2, ''])
    expect(alone.err).toContain('would skip 1 parked event in context "local"')
    expect(alone.err).toContain('--yes')
    const refused = await cli.type(line, { answer: 'n' })
    expect(refused.code).toBe(1)
    expect(refused.err).toContain(
      '  objects/17, ServerTeleported in stream server-018f; 2 events behind it would be applied; it cannot be had back\n',
    )
    expect(daemon.mutations).toEqual([])
    expect((await cli.type(line, { answer: 'y' })).code).toBe(0)
    expect(daemon.mutations).toEqual(['POST /api/v1/admin/parked/objects/17/skip'])
  })

  it('ask nothing about an event that cannot be skipped', async () => {
    for (const flags of [{ answer: 'y' }, {}])
      expect(await cli.type('admin parked skip objects 18', flags)).toEqual({
        code: 3,
        out: '',
        err:
          'error: position 18 is not the first parked event of a stream of processor "objects"\n' +
          'run: mcpctl admin parked list\n',
      })
    parked = []
    const none = await cli.type('admin parked skip objects 17 --yes')
    expect([none.code, none.err]).toEqual([3, 'error: processor "objects" has no parked events\n'])
    expect(daemon.mutations).toEqual([])
  })

  it.each([
    ['retry', 'name one parked event'],
    ['retry objects', 'name one parked event'],
    ['retry objects 17 18', 'too many arguments for mcpctl admin parked retry'],
    ['skip objects', 'position is missing'],
    ['skip objects 0x1', 'invalid position "0x1"'],
    ['retry objects 17 --reason=', 'invalid argument for --reason'],
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
    fold: 'f',
    ...(version > 1 && { eventsPerSecond: 60_000 }),
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

  it('waits until readers see the new version, across a daemon that starts anew, and says how fast the daemon was', async () => {
    looks(
      ok(model(1, building('building', '2500'))),
      problem(503, 'Unavailable', 'no database'),
      ok(model(1, building('swapping', '5000'))),
      ok(model(2)),
    )
    expect(await cli.type('admin rebuild')).toEqual({
      code: 0,
      out: 'model objects rebuilt: version 2, up to position 5000, 60000 events/s\n',
      err: '',
    })
  })

  it('finds a daemon that has come back on another port, in its context, whichever is the current one by then', async () => {
    const next = new TestDaemon()
    const server = await next.start()
    next.route = () => ok(model(2))
    const context = (at: string) => ({ server: at, token: 'mcp_pat_test' })
    looks(ok(model(1, building('building', '2500'))))
    const { route } = daemon
    daemon.route = (request) => {
      if (request.path !== '/api/v1/admin/models/objects') return route(request)
      const contexts = { local: context(server), other: context('http://127.0.0.1:9') }
      writeConfig({ currentContext: 'other', contexts }, cli.configFile)
      return problem(503, 'Unavailable', 'the daemon is shutting down')
    }
    const { code, out } = await cli.type('admin rebuild objects')
    await next.stop()
    expect([code, out]).toEqual([0, 'model objects rebuilt: version 2, up to position 5000, 60000 events/s\n'])
  })

  it('shows on a terminal one line that changes', async () => {
    looks(ok(model(1, building('building', '2500'))), ok(model(2)))
    const { err } = await cli.type('admin rebuild objects', { terminal: true })
    expect(err).toContain('\r\u001b[Kmodel objects: building, position 2500 of 5000 (50%), 60000 events/s (disk full)')
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

  it('prints data with -o json and yaml, and keeps the reason', async () => {
    looks(ok(model(2)))
    const line = 'admin rebuild objects --reason=tampered -o'
    expect(await cli.type(`${line} json`)).toMatchObject({ code: 0, err: '' })
    expect(daemon.requests[0]?.headers['x-mcpctl-reason']).toBe('tampered')
    const rebuilt = { name: 'objects', version: 2, done: true, position: '5000', eventsPerSecond: 60_000 }
    expect(JSON.parse((await cli.type(`${line} json`)).out)).toEqual({ models: [rebuilt] })
    expect((await cli.type(`${line} yaml --no-wait`)).out).toBe(
      'models:\n  - name: objects\n    version: 2\n    done: false\n',
    )
    expect((await cli.type(`${line} table`)).code).toBe(2)
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

  it('says as of where models were compared when that is not the end of the log', async () => {
    const behind = (position: string) => {
      answers['POST verify'] = stream(report({ models: [{ name: 'objects', position }] }))
      return cli.type('admin verify')
    }
    const equal = 'Model:      objects, equal to a fold from scratch at position'
    expect((await behind('39')).out).toContain(`${equal} 39; the event after it had not reached the model yet\n`)
    expect((await behind('37')).out).toContain(`${equal} 37; the 3 events after it had not reached the model yet\n`)
    expect((await behind('41')).out).toContain(`${equal} 41\n`)
  })

  it('is broken off when it takes longer than it may, and says how far it was', async () => {
    answers['POST verify'] = { ...stream(progress), silent: true }
    const { code, err } = await cli.type('admin verify --request-timeout 2s')
    expect([code, err]).toEqual([
      8,
      `error: the verification was broken off: ${daemon.address}: no answer within 2 s; it was verifying the log: position 20 of 40\n` +
        'give it longer with --request-timeout; without it there is no limit\n',
    ])
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
    const lost = `the connection to ${daemon.address} was lost; it was verifying the log: position 20 of 40`
    expect(await cli.type('admin verify')).toEqual({
      code: 9,
      out: '',
      err: `error: the verification was broken off: ${lost}\nrun: mcpctl status\n`,
    })
    answers['POST verify'] = stream(progress)
    expect((await cli.type('admin verify')).code).toBe(9)
    answers['POST verify'] = stream(progress, { problem: problem(503, 'Unavailable', 'no database').body })
    expect((await cli.type('admin verify')).code).toBe(9)
  })

  describe('with seals', () => {
    const write = (name: string, text: string) => {
      writeFileSync(join(cli.directory, name), text)
      return join(cli.directory, name)
    }
    const pem = (key: KeyObject, type: 'spki' | 'pkcs8') => key.export({ type, format: 'pem' }).toString()
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const next = 'name a file with the public Ed25519 key in PEM: it begins with -----BEGIN PUBLIC KEY-----\n'

    it('sends them and public keys', async () => {
      answers['POST verify'] = stream(report({ log: { ...log, anchored: true, seals: 2 } }))
      const [seals, key] = [write('seals', '{"a":1}\n\n{"b":2}\n'), write('key', pem(publicKey, 'spki'))]
      const { out } = await cli.type(`admin verify --seal ${seals} --seal-key ${key}`)
      expect(out).toContain('Anchored:   yes, by 2 seals\n')
      expect(daemon.requests.at(-1)?.body).toEqual({ keys: [pem(publicKey, 'spki')], seals: ['{"a":1}', '{"b":2}'] })
    })

    it('names the file and the line of one that the daemon refuses', async () => {
      const errors = [{ pointer: '/seals/1', code: 'format', message: 'must be the line of a seal, as it was written' }]
      answers['POST verify'] = problem(422, 'Invalid', 'invalid', { errors })
      const [seals, key] = [write('seals', '{"a":1}\n\n{"b":2}\n'), write('key', pem(publicKey, 'spki'))]
      expect(await cli.type(`admin verify --seal ${seals} --seal-key ${key}`)).toMatchObject({
        code: 2,
        err: `error: --seal: "${seals}", line 3: must be the line of a seal, as it was written\n`,
      })
    })

    it('says flag, file, cause and what to do, and sends no private key', async () => {
      const key = write('key', pem(publicKey, 'spki'))
      const secret = write('secret', pem(privateKey, 'pkcs8'))
      const broken = write('broken', '-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----\n')
      const rsa = write('rsa', pem(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey, 'spki'))
      const empty = write('empty', '\n')
      const wrong: [string, string][] = [
        [`--seal-key ${secret}`, `error: --seal-key: "${secret}" holds a private key\n${next}`],
        [`--seal-key ${broken}`, `error: --seal-key: "${broken}" holds no public Ed25519 key in PEM\n${next}`],
        [`--seal-key ${rsa}`, `error: --seal-key: "${rsa}" holds no public Ed25519 key in PEM\n${next}`],
        [`--seal-key ${cli.directory}`, `error: --seal-key: "${cli.directory}" is a directory\n${next}`],
        ['--seal-key /no/such', `error: --seal-key: "/no/such" does not exist\n${next}`],
        [
          `--seal /no/such --seal-key ${key}`,
          'error: --seal: "/no/such" does not exist\nname a file with a seal on each line\n',
        ],
        [`--seal ${empty} --seal-key ${key}`, `error: --seal: "${empty}" holds no seal\n`],
      ]
      for (const [flags, err] of wrong)
        expect(await cli.type(`admin verify ${flags}`)).toEqual({ code: 2, out: '', err })
      expect((await cli.type(`admin verify --seal ${empty}`)).code).toBe(2)
      expect(daemon.requests).toEqual([])
    })
  })
})

describe('help of the admin commands', () => {
  it('says what each command takes and does', async () => {
    const { out } = await cli.type('admin parked --help')
    expect(out).toContain(
      '  retry PROCESSOR POSITION | [PROCESSOR] --all  Apply a parked event again, and what waits behind it\n',
    )
    expect(out).toContain('  skip PROCESSOR POSITION ')
    expect(out).not.toContain('[words')
  })

  it.each(['parked list', 'parked retry', 'parked skip', 'rebuild', 'verify'])(
    'describes each argument and flag of %s',
    async (words) => {
      const { out } = await cli.type(`admin ${words} --help`)
      const described = /^ {2}(\S.*?)(?: {2,}(\S.*))?$/gm
      const rows = [...out.matchAll(described)]
      expect(rows.length).toBeGreaterThan(1)
      expect(rows.filter(([, , text]) => text === undefined).map(([, term]) => term)).toEqual([])
      expect(out.split('\n')[2]).toMatch(/^[A-Z]/)
      expect(out.includes('--reason')).toBe(['parked retry', 'parked skip', 'rebuild'].includes(words))
    },
  )
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

  it('shows parked events', async () => {
    daemon.route = () => ({ status: 200, body: status({ parked: 2 }) })
    const { code, out, err } = await cli.type('status')
    expect([code, err]).toEqual([0, 'events are parked; see: mcpctl admin parked list\n'])
    expect(out).toContain('objects     40         0     2        running\n')
    expect(out).not.toContain('REBUILD')
  })

  it('shows how far a rebuild is', async () => {
    const show = async (rebuild: object) => {
      daemon.route = () => ({ status: 200, body: status({ rebuild: { version: 2, ...rebuild } }) })
      const { out, err } = await cli.type('status')
      return out.split('\n').slice(-3).join('\n') + err
    }
    expect(await show({ state: 'building', position: '20', eventsPerSecond: 60_000 })).toBe(
      'REBUILD   VERSION   STATE      PROGRESS                  EVENTS/S   LAST-ERROR\n' +
        'objects   2         building   position 20 of 40 (50%)   60000\n',
    )
    expect(await show({ state: 'building', position: '39' })).toContain('position 39 of 40 (97%)')
    expect(await show({ state: 'swapping', position: '41' })).toContain('position 41 of 40 (100%)')
    const failed = await show({ state: 'failed', position: '0', lastError: 'disk full' })
    expect(failed).toContain('failed   position 0 of 40 (0%)              disk full\n')
    expect(failed).toContain(
      'the rebuild of model objects has failed; try it again with: mcpctl admin rebuild objects\n',
    )
  })
})
