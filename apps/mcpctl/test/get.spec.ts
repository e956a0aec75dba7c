import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { parse } from 'yaml'
import { Cli } from './cli'
import { problem, TestDaemon } from './daemon'
import { instance, project, server } from './objects'

describe('mcpctl get', () => {
  const daemon = new TestDaemon()
  const cli = new Cli()

  beforeAll(async () => cli.use(await daemon.start()))
  afterAll(async () => {
    await daemon.stop()
    cli.remove()
  })
  beforeEach(() => {
    daemon.route = () => undefined
    daemon.put(
      'servers',
      server('github', { labels: { team: 'core' } }),
      server('files', { status: { phase: 'Degraded', readyReplicas: 1, availableReplicas: 1 } }),
    )
    daemon.put('instances', instance('github-ab12-0', 'github'), instance('github-ab12-1', 'github'))
    daemon.put('projects', project('web'))
  })

  it('prints a table', async () => {
    expect(await cli.type('get servers')).toEqual({
      code: 0,
      out:
        'NAME     READY   UP-TO-DATE   AVAILABLE   STATUS     AGE\n' +
        'github   2/2     2            2           Running    5d\n' +
        'files    1/2     2            1           Degraded   5d\n',
      err: '',
    })
  })

  it('takes every word for a kind, in any case, and the flags of kubectl', async () => {
    const lines = ['get srv --no-headers', 'get SERVER --no-headers', 'get servers --no-headers -o=table']
    const outs = await Promise.all(lines.map(async (line) => (await cli.type(line)).out))
    expect(new Set(outs).size).toBe(1)
    expect(outs[0]).toMatch(/^github/)
  })

  it('cuts the last column on a terminal only', async () => {
    const narrow = await cli.type('get servers --show-labels', { terminal: true, columns: 60 })
    expect(narrow.out.split('\n')[1]).toMatch(/5d {4}tea…$/)
    expect((await cli.type('get servers --show-labels')).out).toContain('team=core')
  })

  it('shows label columns', async () => {
    const { out } = await cli.type('get servers -L team --no-headers')
    expect(out).toMatch(/core\nfiles .*<none>\n$/)
  })

  it('prints the bundle as JSON, byte for byte', async () => {
    expect((await cli.type('get server github -o json')).out).toBe(
      `${JSON.stringify(
        {
          servers: [
            {
              name: 'github',
              labels: { team: 'core' },
              image: 'ghcr.io/team/server:1.2',
              transport: 'stdio',
              args: ['stdio'],
              replicas: 2,
            },
          ],
        },
        null,
        2,
      )}\n`,
    )
  })

  it('prints the bundle as YAML', async () => {
    expect((await cli.type('get project/web -o yaml')).out).toBe(
      'projects:\n  - name: web\n    servers:\n      - github\n      - files\n    members:\n      - kind: User\n        name: alice\n',
    )
  })

  it('prints names', async () => {
    expect((await cli.type('get servers,projects -o name')).out).toBe('server/github\nserver/files\nproject/web\n')
  })

  it('names the kind on each line when there are several', async () => {
    const { out } = await cli.type('get servers,projects --no-headers')
    expect(out.split('\n').map((line) => line.split(' ')[0])).toEqual([
      'server/github',
      'server/files',
      '',
      'project/web',
      '',
    ])
  })

  it('shows instances in `get all`, but leaves them out of what apply takes back', async () => {
    expect((await cli.type('get all')).out).toContain('instance/github-ab12-0')
    expect(Object.keys(parse((await cli.type('get all -o yaml')).out) as object)).toEqual([
      'servers',
      'secrets',
      'projects',
      'users',
      'groups',
      'rbac',
    ])
    const full = parse((await cli.type('get all -o yaml --full')).out) as Record<string, { status: object }[]>
    expect(Object.keys(full)).toEqual(['servers', 'instances', 'secrets', 'projects', 'users', 'groups', 'rbac'])
    expect(full['servers']?.[0]?.status).toMatchObject({ phase: 'Running' })
  })

  it('prints instances in full, since nobody applies them', async () => {
    const { out } = await cli.type('get instance github-ab12-0 -o json')
    expect(JSON.parse(out)).toMatchObject({ instances: [{ kind: 'Instance', status: { phase: 'Running' } }] })
  })

  it('shows as much of a handle as tells containers apart', async () => {
    daemon.put('instances', instance('g', 'github', { status: { handle: '0123456789abcdef' } }))
    expect((await cli.type('get instances -o wide')).out).toMatch(/ 0123456789ab /)
  })

  it('filters by label', async () => {
    expect((await cli.type('get servers -l team=core -o name')).out).toBe('server/github\n')
  })

  it('says that there is nothing without failing, unless told to fail', async () => {
    daemon.put('servers')
    expect(await cli.type('get servers')).toEqual({ code: 0, out: '', err: 'No resources found\n' })
    expect(await cli.type('get servers -o json')).toEqual({ code: 0, out: '{\n  "servers": []\n}\n', err: '' })
    expect((await cli.type('get servers --fail-empty')).code).toBe(1)
  })

  it('prints what it found and reports what it did not', async () => {
    const answer = await cli.type('get server github nope other github --no-headers')
    expect(answer.out).toMatch(/^github .*\n$/)
    expect(answer.err).toBe(
      'Error from server (NotFound): servers "nope" not found\nError from server (NotFound): servers "other" not found\n',
    )
    expect(answer.code).toBe(3)
    expect(await cli.type('get server nope --ignore-not-found')).toEqual({ code: 0, out: '', err: '' })
  })

  it('finds an object by its uid or the beginning of it, if that is the only one', async () => {
    daemon.put(
      'servers',
      server('a', { uid: 'ab12f300-0000-7000-8000-000000000001' }),
      server('b', { uid: 'ab129900-0000-7000-8000-000000000002' }),
    )
    expect((await cli.type('get server ab12f -o name')).out).toBe('server/a\n')
    expect(await cli.type('get server ab12')).toMatchObject({
      code: 6,
      err: 'error: ambiguous id "ab12": matches server/a (ab12f300-0000-7000-8000-000000000001), server/b (ab129900-0000-7000-8000-000000000002)\n',
    })
  })

  it('escapes what could steer the terminal', async () => {
    daemon.put('servers', server('x', { status: { phase: '\u001b[2JGone' } }))
    expect((await cli.type('get servers --no-headers')).out).toContain('␛[2JGone')
  })

  it.each([
    ['get', 'error: Required resource not specified.'],
    ['get srvs', 'error: the server doesn\'t have a resource type "srvs"; did you mean "servers"?'],
    ['get blah', 'error: the server doesn\'t have a resource type "blah"\nrun: mcpctl api-resources'],
    ['get servers project/web', 'error: there is no need to specify a resource type as a separate argument'],
    ['get server/', 'error: there is no name behind the slash in "server/"'],
    ['get servers -o yml', 'error: unable to match a printer suitable for the output format "yml"'],
    [
      'get servers --outptu yaml',
      "error: unknown flag: --outptu; did you mean --output?\nSee 'mcpctl get --help' for usage.",
    ],
    ['get servers -o', 'error: flag needs an argument: -o'],
    ['gte servers', 'error: unknown command "gte" for "mcpctl"; did you mean "get"?'],
  ])('%s is answered with what to do', async (line, text) => {
    const answer = await cli.type(line)
    expect(answer.err).toContain(text)
    expect(answer).toMatchObject({ code: 2, out: '' })
  })

  it('says what to do when the daemon is down or never was there', async () => {
    const alone = new Cli()
    expect(await alone.type('get servers')).toEqual({
      code: 9,
      out: '',
      err: 'error: no daemon is configured; run: mcpctl up\n',
    })
    alone.use('http://127.0.0.1:9')
    expect(await alone.type('get servers')).toEqual({
      code: 9,
      out: '',
      err: 'The connection to the server 127.0.0.1:9 was refused - did you specify the right host or port?\nrun: mcpctl up\n',
    })
    alone.remove()
  })

  it.each([
    [
      '',
      'context "local" holds no token that this daemon knows; run: mcpctl login, or on the daemon\'s own machine: mcpctl down && mcpctl up',
    ],
    [' --server SERVER', 'the token is the one of context "local"; name another one with --token-file'],
    [' --token-file FILE', '--token-file: name a file with a token of the daemon at SERVER'],
  ])('says what to do about a token that is refused: get servers%s', async (flags, hint) => {
    daemon.route = () => problem(401, 'Unauthorized', 'no such token')
    const file = join(cli.directory, 'token')
    writeFileSync(file, 'mcp_pat_other\n')
    const filled = (text: string) => text.replace('SERVER', `http://${daemon.address}`).replace('FILE', file)
    expect(await cli.type(filled(`get servers${flags}`))).toEqual({
      code: 4,
      out: '',
      err: `error: You must be logged in to the server (no such token)\n${filled(hint)}\n`,
    })
    const sent = flags.includes('FILE') ? 'mcp_pat_other' : 'mcp_pat_test'
    expect(daemon.requests.at(-1)?.headers.authorization).toBe(`Bearer ${sent}`)
  })

  it('names flag and file of a token that it cannot read', async () => {
    const file = join(cli.directory, 'token')
    writeFileSync(file, '\n')
    const next = "name a file that holds a token, or leave it out to use the context's\n"
    const wrong: [string, string][] = [
      ['/no/such', 'does not exist'],
      [cli.directory, 'is a directory'],
      [file, 'holds no token'],
    ]
    const before = daemon.requests.length
    for (const [path, cause] of wrong)
      expect(await cli.type(`get servers --token-file ${path}`)).toEqual({
        code: 2,
        out: '',
        err: `error: --token-file: "${path}" ${cause}\n${next}`,
      })
    expect(daemon.requests).toHaveLength(before)
  })

  it.each([
    [403, 'Forbidden', 5, 'Error from server (Forbidden): no such token\n'],
    [429, 'TooManyRequests', 9, 'Error from server (TooManyRequests): no such token\n'],
    [500, 'Internal', 10, 'Error from server (Internal): no such token\n'],
  ])('exits by the reason of a refusal: %d', async (status, reason, code, err) => {
    daemon.route = () => problem(status, reason, 'no such token')
    expect(await cli.type('get servers')).toEqual({ code, out: '', err })
    expect((await cli.type('get servers', { env: { MCPCTL_EXIT_CODES: 'kubectl' } })).code).toBe(1)
  })

  it('shows the request id and the requests when asked', async () => {
    daemon.route = () => problem(500, 'Internal', 'oops')
    expect((await cli.type('get servers -v 1')).err).toBe('Error from server (Internal): oops\nrequest id: r-1\n')
    expect((await cli.type('get servers -v=6')).err).toMatch(
      /^GET http:\/\/127\.0\.0\.1:\d+\/api\/v1\/servers\?limit=500 500 in \d+ ms\n/,
    )
  })
})
