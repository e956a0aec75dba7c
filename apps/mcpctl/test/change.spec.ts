import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { Cli } from './cli'
import { problem, TestDaemon } from './daemon'
import type { Request } from './daemon'
import { condition, project, server } from './objects'

const manifest = 'servers:\n  - name: github\n    image: ghcr.io/x:1\n    replicas: 2\n'

describe('changing things', () => {
  const daemon = new TestDaemon()
  const cli = new Cli()
  const file = (name: string, text: string) => {
    const path = join(cli.directory, name)
    writeFileSync(path, text)
    return path
  }
  const applied = (request: Request) => ({
    position: '9',
    results: Object.entries(request.body as Record<string, { name: string }[]>).flatMap(([plural, entries]) =>
      entries.map(({ name }, index) => ({
        kind: plural,
        plural,
        name,
        uid: name,
        outcome: index === 0 ? 'created' : 'unchanged',
      })),
    ),
  })
  const applies = (request: Request) =>
    request.path === '/api/v1/apply' ? { status: 200, body: applied(request) } : undefined

  beforeAll(async () => cli.use(await daemon.start()))
  afterAll(async () => {
    await daemon.stop()
    cli.remove()
  })
  beforeEach(() => {
    daemon.route = applies
    daemon.requests.length = 0
    daemon.put('servers', server('github'), server('files', { labels: { team: 'core' } }))
    daemon.put('instances')
    daemon.put('projects', project('web'))
  })

  describe('apply', () => {
    it('sends everything in one request and says what became of each', async () => {
      mkdirSync(join(cli.directory, 'all', 'deep'), { recursive: true })
      file('all/b.yaml', 'servers: [{name: b}]')
      file('all/a.json', '{"servers": [{"name": "a"}], "projects": [{"name": "p"}]}')
      file('all/deep/c.yml', 'servers: [{name: c}]')
      file('all/notes.txt', 'not a manifest')
      expect(await cli.run(['apply', '-f', join(cli.directory, 'all'), '-R'])).toEqual({
        code: 0,
        out: 'server/a created\nserver/b unchanged\nserver/c unchanged\nproject/p created\n',
        err: '',
      })
      expect(daemon.requests.map(({ body }) => body)).toEqual([
        { servers: [{ name: 'a' }, { name: 'b' }, { name: 'c' }], projects: [{ name: 'p' }] },
      ])
      expect((await cli.run(['apply', '-f', join(cli.directory, 'all')])).out).not.toContain('server/c')
    })

    it('reads stdin', async () => {
      expect((await cli.type('apply -f -', { input: manifest })).out).toBe('server/github created\n')
    })

    it('can be tried out', async () => {
      expect((await cli.type('apply -f - --dry-run=server', { input: manifest })).out).toBe(
        'server/github created (server dry run)\n',
      )
      expect(daemon.requests[0]?.query.get('dryRun')).toBe('All')
      expect((await cli.type('apply -f - --dry-run', { input: manifest })).out).toBe('server/github valid (dry run)\n')
      expect((await cli.type('apply -f - --dry-run=client', { input: 'servers: [{name: a, imge: x}]' })).err).toBe(
        'error: STDIN:1: server/a has no field "imge"; did you mean "image"?\n',
      )
      expect(daemon.requests).toHaveLength(1)
    })

    it('says which line the daemon refused', async () => {
      daemon.route = () =>
        problem(422, 'Invalid', 'invalid', {
          errors: [
            {
              pointer: '/servers/0/replicas',
              code: 'min',
              message: 'Invalid value: -1: must be greater than or equal to 0',
            },
            { pointer: '/servers/0/imge', code: 'unknown-field', message: 'unknown field; did you mean "image"?' },
          ],
        })
      const path = file('bad.yaml', 'servers:\n  - name: github\n    imge: x\n    replicas: -1\n')
      expect(await cli.run(['apply', '-f', path])).toEqual({
        code: 7,
        out: '',
        err:
          'The Server "github" is invalid:\n' +
          `* spec.replicas: Invalid value: -1: must be greater than or equal to 0 (${path}:4)\n` +
          `* spec.imge: unknown field; did you mean "image"? (${path}:3)\n`,
      })
    })

    it.each([
      ['apply', 'error: must specify one of -f'],
      ['apply -f /none.yaml', 'error: the path "/none.yaml" does not exist'],
      ['apply team.yaml', 'error: unexpected word "team.yaml"; files are named with -f'],
      ['apply -f https://x/y.yaml', 'error: -f takes a file, a directory or "-"; download "https://x/y.yaml" first'],
      ['apply -f - --dry-run=maybe', 'error: invalid dry-run value "maybe": must be "none", "server" or "client"'],
      ['apply -f - --timeout soon', 'error: invalid argument "soon" for --timeout: write a duration like 30s'],
      ['apply -f -', 'error: no objects passed to apply'],
    ])('%s is refused', async (line, text) => {
      const answer = await cli.type(line)
      expect(answer.err).toContain(text)
      expect(answer.code).toBe(2)
    })

    it('waits until what it applied is there', async () => {
      let looks = 0
      daemon.route = (request) => {
        if (request.method === 'GET' && ++looks < 3)
          return { status: 200, body: server('github', { status: { availableReplicas: 1 } }) }
        return applies(request)
      }
      expect((await cli.type('apply -f - --wait --timeout 5s', { input: manifest })).code).toBe(0)
      expect(looks).toBe(3)
    })

    it('reports a committed change that is not visible yet, and does not repeat it', async () => {
      daemon.route = () => problem(202, 'CommittedNotVisible', 'committed', { position: '42' })
      const answer = await cli.type('apply -f -', { input: manifest })
      expect(answer.code).toBe(8)
      expect(answer.err).toContain('the change is committed at position 42 but not visible yet')
      expect(daemon.requests).toHaveLength(1)
    })
  })

  describe('create', () => {
    const created = (request: Request) => {
      if (request.method !== 'POST') return undefined
      const { name, ...spec } = request.body as { name: string }
      return { status: 201, body: { ...server(name), spec } }
    }

    it('turns flags into an entry', async () => {
      daemon.route = created
      const line =
        'create server x --package npm:x@1.2.3 --transport stdio --command node --arg --verbose --arg -o --env A=b=c -r 3' +
        ' --memory 512Mi --cpu 500m --pids 64 --network none -l team=core --annotation a.b/c=d'
      expect(await cli.type(line)).toEqual({ code: 0, out: 'server/x created\n', err: '' })
      expect(daemon.requests[0]?.body).toEqual({
        name: 'x',
        labels: { team: 'core' },
        annotations: { 'a.b/c': 'd' },
        package: 'npm:x@1.2.3',
        transport: 'stdio',
        command: ['node'],
        args: ['--verbose', '-o'],
        env: [{ name: 'A', value: 'b=c' }],
        replicas: 3,
        resources: { memory: '512Mi', cpu: '500m', pids: 64 },
        network: { mode: 'none' },
      })
    })

    it('prints what apply takes, without a daemon', async () => {
      const { out } = await cli.type('create server x --image i:1 --env ON=yes --dry-run=client -o yaml')
      expect(out).toBe('servers:\n  - name: x\n    image: i:1\n    env:\n      - name: "ON"\n        value: "yes"\n')
      expect(daemon.requests).toEqual([])
      expect((await cli.type('apply -f -', { input: out })).out).toBe('server/x created\n')
    })

    it('can be tried out by the daemon, with the projects that it would be attached to', async () => {
      expect(await cli.type('create server x --image i:1 --project web --dry-run=server')).toEqual({
        code: 0,
        out: 'server/x created (server dry run)\n',
        err: '',
      })
      expect(daemon.mutations).toEqual(['POST /api/v1/servers', 'POST /api/v1/apply'])
      const sent = daemon.requests.filter(({ method }) => method === 'POST')
      expect(sent.map(({ query }) => query.get('dryRun'))).toEqual(['All', 'All'])
      expect(sent[1]?.body).toMatchObject({
        servers: [{ name: 'x' }],
        projects: [{ servers: ['github', 'files', 'x'] }],
      })
    })

    it('attaches the server to projects', async () => {
      daemon.route = created
      expect((await cli.type('create server x --image i:1 --project web')).code).toBe(0)
      expect(daemon.mutations).toEqual(['POST /api/v1/servers', 'PUT /api/v1/projects/web'])
      const put = daemon.requests.find(({ method }) => method === 'PUT')
      expect(put?.headers['if-match']).toBe('"1.7"')
      expect(put?.body).toMatchObject({ name: 'web', servers: ['github', 'files', 'x'] })
    })

    it('makes projects', async () => {
      daemon.route = created
      await cli.type('create project p --server a --server b --member user:alice --member group:dev')
      expect(daemon.requests[0]?.body).toEqual({
        name: 'p',
        servers: ['a', 'b'],
        members: [
          { kind: 'User', name: 'alice' },
          { kind: 'Group', name: 'dev' },
        ],
      })
    })

    it('shows every field that was refused below one heading', async () => {
      const errors = [
        ['/env/0/name', 'Invalid value: "1A"'],
        ['/name', 'too long'],
        ['/replicas', 'too many'],
      ].map(([pointer, message]) => ({ pointer, code: 'x', message }))
      daemon.route = () => problem(422, 'Invalid', 'invalid', { errors })
      expect((await cli.type('create server a --package npm:x@1.0.0 --env 1A=b')).err).toBe(
        'The Server "a" is invalid:\n' +
          '* spec.env[0].name: Invalid value: "1A"\n* metadata.name: too long\n* spec.replicas: too many\n',
      )
      errors[0] = { pointer: '/servers/0', code: 'x', message: 'not a name' }
      expect((await cli.type('create project p --server A')).err).toContain(
        'The Project "p" is invalid:\n* spec.servers[0]: not a name\n',
      )
    })

    it('is refused when the name is taken', async () => {
      daemon.route = () => problem(409, 'AlreadyExists', 'servers "x" already exists', { kind: 'servers', name: 'x' })
      expect(await cli.type('create server x --image i:1')).toEqual({
        code: 6,
        out: '',
        err: 'Error from server (AlreadyExists): servers "x" already exists\n',
      })
    })

    it.each([
      ['create server x', 'exactly one of --image, --package and --url says what to run; none was given'],
      ['create server x --image a --url b', '--image and --url were given'],
      ['create server', 'exactly one NAME is required'],
      ['create server x --image a --env K', '--env needs NAME=VALUE; "K" has no "="'],
      ['create server x --image a -r two', 'invalid argument "two" for --replicas: must be a whole number'],
      ['create server x --imge a', 'unknown flag: --imge; did you mean --image?'],
      ['create instance x', 'instances cannot be created by hand'],
      ['create servr x', 'the server doesn\'t have a resource type "servr"; did you mean "servers"?'],
      ['create project p --member alice', '--member needs user:NAME or group:NAME, not "alice"'],
    ])('%s is refused', async (line, text) => {
      const answer = await cli.type(line)
      expect(answer.err).toContain(text)
      expect(answer.code).toBe(2)
    })
  })

  describe('delete', () => {
    it('says so when it is really gone', async () => {
      expect(await cli.type('delete server github')).toEqual({ code: 0, out: 'server "github" deleted\n', err: '' })
      expect(daemon.mutations).toEqual(['DELETE /api/v1/servers/github'])
    })

    it('waits while the object is still there, and no longer than told', async () => {
      daemon.route = ({ method }) =>
        method === 'DELETE' ? { status: 202, body: server('github', { status: { phase: 'Terminating' } }) } : undefined
      expect(await cli.type('delete server github --timeout 300ms')).toEqual({
        code: 8,
        out: '',
        err: 'error: timed out waiting for the condition on servers/github: it still exists, Running\n',
      })
      expect((await cli.type('delete server github --wait=false')).out).toBe('server "github" deleted\n')
    })

    it('asks before several objects go', async () => {
      const no = await cli.type('delete servers --all', { answer: 'n' })
      expect(no.code).toBe(1)
      expect(no.err).toMatch(
        /About to delete 2 objects in context "local" .*\n {2}server\/github\n {2}server\/files\nContinue\? \[y\/N\] /,
      )
      expect(daemon.mutations).toEqual([])
      expect((await cli.type('delete servers --all', { answer: 'y' })).code).toBe(0)
      expect(daemon.mutations).toHaveLength(2)
    })

    it('changes nothing when the question is answered with Ctrl-C', async () => {
      const answer = await cli.type('delete servers --all', { answer: '\u0003' })
      expect(answer.code).toBe(130)
      expect(answer.err).toMatch(/error: interrupted; nothing was changed\n$/)
      expect(daemon.mutations).toEqual([])
    })

    it('lists --yes in its help', async () => {
      expect((await cli.type('delete --help')).out).toContain('-y, --yes')
    })

    it.each(['', ',,', 'team=core,'])('selects nothing by "%s"', async (selector) => {
      for (const line of [
        ['delete', 'servers', '--yes'],
        ['get', 'servers'],
        ['describe', 'servers'],
        ['wait', 'servers', '--for=delete'],
      ]) {
        const answer = await cli.run([...line, '-l', selector])
        expect(answer.err).toContain(`error: invalid selector "${selector}": -l has an empty term`)
        expect(answer.code).toBe(2)
      }
      expect(daemon.requests).toEqual([])
    })

    it('needs --yes where there is nobody to ask', async () => {
      expect(await cli.type('delete server github files')).toEqual({
        code: 2,
        out: '',
        err: 'error: would delete 2 objects in context "local", and there is nobody to ask; repeat it with --yes\n',
      })
      expect((await cli.type('delete servers -l team=core')).code).toBe(2)
      expect((await cli.type('delete servers -l team=core -y')).out).toBe('server "files" deleted\n')
      expect((await cli.type('delete all --all --yes')).out).toContain('project "web" deleted\n')
    })

    it('takes manifests', async () => {
      expect((await cli.type('delete -f - -o name', { input: manifest })).out).toBe('server/github\n')
    })

    it('reports each that is missing', async () => {
      expect(await cli.type('delete server/nope')).toMatchObject({
        code: 3,
        err: 'Error from server (NotFound): servers "nope" not found\n',
      })
      expect(await cli.type('delete server nope --ignore-not-found')).toEqual({ code: 0, out: '', err: '' })
    })

    it.each([
      ['delete', 'must provide one or more resources by argument or filename'],
      ['delete servers', 'resource(s) were provided, but no name was specified'],
      ['delete server x --all', 'name cannot be provided when --all or -l is specified'],
    ])('%s is refused', async (line, text) => {
      const answer = await cli.type(line)
      expect(answer.err).toContain(text)
      expect(answer.code).toBe(2)
    })
  })

  describe('scale', () => {
    const scales = (request: Request) =>
      request.method === 'PUT'
        ? { status: 200, body: { kind: 'Scale', metadata: {}, spec: {}, status: {} } }
        : undefined

    it('sets the count', async () => {
      daemon.route = scales
      expect(await cli.type('scale server/github --replicas 5')).toEqual({
        code: 0,
        out: 'server/github scaled\n',
        err: '',
      })
      expect(daemon.requests.at(-1)).toMatchObject({
        path: '/api/v1/servers/github/scale',
        body: { spec: { replicas: 5 } },
      })
    })

    it('does nothing when the count is another one', async () => {
      daemon.route = scales
      expect((await cli.type('scale server/github --replicas 5 --current-replicas 3')).err).toBe(
        'error: Expected replicas to be 3, was 2\n',
      )
      expect(daemon.mutations).toEqual([])
      await cli.type('scale server github --replicas=5 --current-replicas=2')
      expect(daemon.requests.at(-1)?.headers['if-match']).toBe('"1.7"')
    })

    it.each([
      ['scale server/github', 'required flag(s) "replicas" not set'],
      ['scale project/web --replicas 1', 'projects cannot be scaled; servers can'],
      ['scale server --replicas 1', 'name the server too'],
      ['scale server/github --replicas many', 'invalid argument "many" for --replicas'],
    ])('%s is refused', async (line, text) => {
      const answer = await cli.type(line)
      expect(answer.err).toContain(text)
      expect(answer.code).toBe(2)
    })
  })

  describe('wait', () => {
    it('waits for a condition of the present generation', async () => {
      let looks = 0
      const old = { ...condition('Available', 'True', 'MinimumReplicasAvailable'), observedGeneration: 1 }
      daemon.route = () =>
        ++looks < 3 ? { status: 200, body: server('github', { status: { conditions: [old] } }) } : undefined
      expect(await cli.type('wait server/github --for=condition=Available')).toEqual({
        code: 0,
        out: 'server/github condition met\n',
        err: '',
      })
      expect(looks).toBe(3)
    })

    it('says what was missing', async () => {
      daemon.put(
        'servers',
        server('x', {
          status: { conditions: [condition('Available', 'False', 'ImagePullBackOff', 'manifest unknown')] },
        }),
      )
      expect(await cli.type('wait server/x --for=condition=available --timeout=0')).toEqual({
        code: 8,
        out: '',
        err: 'error: timed out waiting for the condition on servers/x: Available=False (ImagePullBackOff: manifest unknown)\nsee: mcpctl describe server/x\n',
      })
      expect((await cli.type('wait server/x --for=condition=Ready --timeout=0')).err).toContain(
        'no condition Ready is reported; there are Available',
      )
      expect((await cli.type('wait server/none --for=condition=Available --timeout=0')).err).toContain(
        'it does not exist',
      )
    })

    it('says why a server is degraded', async () => {
      const conditions = [
        condition('Available', 'False', 'MinimumReplicasUnavailable'),
        condition('Degraded', 'True', 'CrashLoopBackOff', 'exit 1'),
      ]
      daemon.put('servers', server('github', { status: { conditions } }))
      const why =
        'error: timed out waiting for the condition on servers/github: Available=False (MinimumReplicasUnavailable); ' +
        'Degraded=True (CrashLoopBackOff: exit 1)\nsee: mcpctl describe server/github\n'
      expect((await cli.type('wait server/github --for=condition=Available --timeout=0')).err).toBe(why)
      const applying = await cli.type('apply -f - --wait --timeout 1ms', { input: manifest })
      expect(applying.err).toBe(`waiting for server/github …\n${why}`)
    })

    it('waits for existence, for fields and for the end', async () => {
      expect((await cli.type('wait server/github --for=create')).out).toBe('server/github created\n')
      expect((await cli.type('wait server/none --for=delete')).out).toBe('server/none deleted\n')
      expect((await cli.type('wait server/github --for=jsonpath={.status.phase}=Running')).code).toBe(0)
      expect((await cli.type("wait server/github --for=jsonpath='{.spec.replicas}'=3 --timeout=0")).err).toContain(
        '{.spec.replicas} is 2',
      )
      expect((await cli.type('wait servers --all --for=condition=Available')).out).toBe(
        'server/github condition met\nserver/files condition met\n',
      )
    })

    it.each([
      ['wait server/github', 'required flag(s) "for" not set'],
      [
        'wait server/github --for=conditon=Ready',
        'unrecognized condition: "conditon=Ready"; did you mean "condition"?',
      ],
      ['wait servers --for=delete', 'no name was specified'],
    ])('%s is refused', async (line, text) => {
      const answer = await cli.type(line)
      expect(answer.err).toContain(text)
      expect(answer.code).toBe(2)
    })
  })
})
