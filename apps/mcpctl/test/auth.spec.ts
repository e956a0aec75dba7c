import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { CanIAnswer, GrantRecord } from '@mcpctl/contracts'
import { Cli } from './cli'
import { problem, TestDaemon } from './daemon'

const viaDev: GrantRecord = {
  entry: { text: 'edit:servers:github', role: 'edit', resource: 'servers', name: 'github' },
  rbac: 'dev-team',
  list: 'bindings',
  index: 1,
  grantedAt: '2026-07-02T09:12:44.123456Z',
  grantedBy: 'root',
  position: '18234',
  via: { group: 'dev', since: '2026-07-01T08:00:00.000000Z', by: 'root' },
}
const ownLogs: GrantRecord = {
  entry: { text: 'logs:servers/github', action: 'logs', resource: 'servers', name: 'github' },
  rbac: 'alice-logs',
  list: 'operations',
  index: 0,
  grantedAt: '2026-07-03T10:00:00.000000Z',
  grantedBy: 'rita',
  position: '19000',
}
const yes: CanIAnswer = { allowed: true, user: 'alice', asked: viaDev.entry, paths: [viaDev], nearest: [] }
const no: CanIAnswer = {
  allowed: false,
  user: 'alice',
  asked: { text: 'delete:servers:github', role: 'delete', resource: 'servers', name: 'github' },
  paths: [],
  nearest: [viaDev],
  remedy: 'mcpctl create rbac alice-delete-servers-github --subject User:alice --binding delete:servers:github',
}
const path = '→ Group dev (member since 2026-07-01 by root) ; granted 2026-07-02T09:12Z by root (position 18234)'

describe('mcpctl auth', () => {
  const daemon = new TestDaemon()
  const cli = new Cli()
  const answers = (body: object) => {
    daemon.route = ({ path: asked }) => (asked.startsWith('/api/v1/authz/') ? { status: 200, body } : undefined)
  }
  const sent = () => daemon.requests.at(-1)?.body

  beforeAll(async () => cli.use(await daemon.start()))
  afterAll(async () => {
    await daemon.stop()
    cli.remove()
  })
  beforeEach(() => {
    daemon.requests.length = 0
    answers(yes)
  })

  it('can-i says yes, and exits with 0', async () => {
    expect(await cli.type('auth can-i edit server/github')).toEqual({ code: 0, out: 'yes\n', err: '' })
    expect(sent()).toEqual({ verb: 'edit', kind: 'server', name: 'github' })
  })

  it('can-i says no, exits with 1 and tells how to learn why', async () => {
    answers(no)
    expect(await cli.type('auth can-i delete server/github')).toEqual({
      code: 1,
      out: 'no\n',
      err: 'see: mcpctl auth can-i delete server/github --explain\n',
    })
  })

  it('can-i is silent with -q', async () => {
    expect(await cli.type('auth can-i edit servers -q')).toEqual({ code: 0, out: '', err: '' })
    answers(no)
    expect(await cli.type('auth can-i delete servers -q')).toEqual({ code: 1, out: '', err: '' })
  })

  it('can-i --explain names each path with its origin', async () => {
    answers({ ...yes, paths: [viaDev, ownLogs] })
    const { out, code } = await cli.type('auth can-i edit server/github --as alice --explain')
    expect(out).toBe(
      `yes\nRbacBinding dev-team, bindings[1] edit:servers:github ${path}\n` +
        'RbacBinding alice-logs, operations[0] logs:servers/github → User alice ; granted 2026-07-03T10:00Z by rita (position 19000)\n',
    )
    expect(code).toBe(0)
    expect(sent()).toEqual({ verb: 'edit', kind: 'server', name: 'github', user: 'alice' })
  })

  it('can-i --explain says of a no what comes close and what would allow it', async () => {
    answers(no)
    expect(await cli.type('auth can-i delete servers github --explain')).toEqual({
      code: 1,
      out:
        `no\nnearest: RbacBinding dev-team, bindings[1] edit:servers:github ${path}\n` +
        'to allow it: mcpctl create rbac alice-delete-servers-github --subject User:alice --binding delete:servers:github\n',
      err: '',
    })
  })

  it('can-i asks about operations, and about then', async () => {
    await cli.type('auth can-i restore --at 18234')
    expect(sent()).toEqual({ verb: 'restore', at: '18234' })
    await cli.type('auth can-i get servers --at 2026-07-02T09:12:00Z')
    expect(sent()).toEqual({ verb: 'get', kind: 'servers', at: '2026-07-02T09:12:00Z' })
    const before = Date.now()
    await cli.type('auth can-i get servers --at -2h')
    const { at } = sent() as { at: string }
    expect(Math.abs(before - Date.parse(at) - 7_200_000)).toBeLessThan(60_000)
  })

  it('can-i --list shows what is granted and by which binding', async () => {
    answers({ subject: { kind: 'User', name: 'alice', uid: 'u' }, direct: [ownLogs], inherited: [viaDev] })
    expect(await cli.type('auth can-i --list')).toEqual({
      code: 0,
      out:
        'GRANT     RESOURCE   NAME     BINDING      VIA\n' +
        'op logs   servers    github   alice-logs   <none>\n' +
        'edit      servers    github   dev-team     group/dev\n',
      err: '',
    })
    expect(daemon.requests.at(-1)?.query.get('user')).toBeNull()
    await cli.type('auth can-i --list --as alice')
    expect(daemon.requests.at(-1)?.query.get('user')).toBe('alice')
  })

  it('can-i refuses questions that it does not understand', async () => {
    expect(await cli.type('auth can-i')).toMatchObject({ code: 2, out: '' })
    expect(await cli.type('auth can-i edit server/github github')).toMatchObject({ code: 2 })
    expect((await cli.type('auth can-i edit server/')).err).toMatch(/^error: "server\/" is no TYPE\/NAME\n/)
    expect((await cli.type('auth can-i --list edit servers')).code).toBe(2)
    const detail = 'unknown verb "edti"; did you mean "edit"?'
    daemon.route = () =>
      problem(422, 'Invalid', detail, { errors: [{ pointer: '/verb', code: 'invalid', message: detail }] })
    expect(await cli.type('auth can-i edti servers')).toEqual({
      code: 2,
      out: '',
      err: `error: ${detail}\nrun: mcpctl auth can-i --help\n`,
    })
  })

  it('who-can lists users with the grants that allow it', async () => {
    answers({ asked: viaDev.entry, users: [{ user: 'alice', paths: [viaDev] }] })
    expect(await cli.type('auth who-can edit server/github')).toEqual({
      code: 0,
      out:
        'USER    BINDING    GRANT                 VIA         GRANTED-BY   GRANTED-AT\n' +
        'alice   dev-team   edit:servers:github   group/dev   root         2026-07-02T09:12Z\n',
      err: '',
    })
    expect((await cli.type('auth who-can edit server/github -o name')).out).toBe('user/alice\n')
    answers({ asked: viaDev.entry, users: [] })
    expect(await cli.type('auth who-can edit server/github')).toEqual({ code: 0, out: '', err: 'Nobody can\n' })
  })

  it('every refusal says which verb on what is missing and how to learn why', async () => {
    const detail = 'servers "x" is forbidden: User "alice" cannot edit resource "servers" named "x"'
    daemon.route = () => problem(403, 'Forbidden', detail, { kind: 'servers', name: 'x' })
    expect(await cli.type('get server x')).toEqual({
      code: 5,
      out: '',
      err: `Error from server (Forbidden): ${detail}\nsee: mcpctl auth can-i edit servers/x --explain\n`,
    })
    expect((await cli.type('get server x -q')).err).toBe(`Error from server (Forbidden): ${detail}\n`)
  })

  it.each([
    ['do operation "logs" on resource "servers" named "x"', 'logs servers/x'],
    ['do operation "impersonate" on resource "users"', 'impersonate users'],
    ['do operation "rotate-keys"', 'rotate-keys'],
    ['view resource "rbac"', 'view rbac'],
  ])('a refusal of %s leads to can-i %s', async (cannot, question) => {
    daemon.route = () => problem(403, 'Forbidden', `that is forbidden: User "alice" cannot ${cannot}`)
    expect((await cli.type('get server x')).err).toMatch(
      new RegExp(`\nsee: mcpctl auth can-i ${question} --explain\n$`),
    )
  })

  it('an escalation leads to the question why one does not hold it', async () => {
    const detail =
      'you cannot give to others what you do not hold yourself: you do not hold "run:servers:x"; ask somebody'
    daemon.route = () => problem(403, 'Escalation', detail)
    expect((await cli.type('get server x')).err).toMatch(/\nsee: mcpctl auth can-i run servers\/x --explain\n$/)
    daemon.route = () => problem(403, 'Escalation', detail.replace('run:servers:x', 'op logs:servers/x'))
    expect((await cli.type('get server x')).err).toMatch(/\nsee: mcpctl auth can-i logs servers\/x --explain\n$/)
  })

  it('a refusal of several objects leads to a question for each, about whom one acts as', async () => {
    const forbidden = (name: string) =>
      `servers "${name}" is forbidden: User "alice" cannot edit resource "servers" named "${name}"`
    const errors = ['x', 'y'].map((name) => ({
      pointer: `/servers/${name}`,
      code: 'forbidden',
      message: forbidden(name),
    }))
    daemon.route = () => problem(403, 'Forbidden', forbidden('x'), { errors })
    expect((await cli.type('get server x --as alice')).err).toMatch(
      /\nsee: mcpctl auth can-i edit servers\/x --as alice --explain\nsee: mcpctl auth can-i edit servers\/y --as alice --explain\n$/,
    )
  })
})

const metadata = (name: string) => ({
  name,
  uid: `uid-${name}`,
  labels: { team: 'core' },
  annotations: {},
  resourceVersion: '1.7',
  generation: 1,
  createdAt: '2026-07-01T00:00:00Z',
  createdBy: 'root',
})
const dave = { kind: 'User', name: 'dave', uid: 'uid-dave', state: 'Dangling' }
const binding = (name: string, bound: object[]) => ({
  kind: 'RbacBinding',
  metadata: metadata(name),
  spec: { subjects: [], bindings: [{ role: 'view', resource: 'servers' }], operations: [] },
  status: { subjects: [...bound, dave], warnings: [] },
})
const group = {
  kind: 'Group',
  metadata: metadata('dev'),
  spec: { members: [] },
  status: { members: [{ name: 'alice', uid: 'uid-alice', state: 'Bound' }, dave] },
}

describe('what describe and dry runs say of access', () => {
  const daemon = new TestDaemon()
  const cli = new Cli()
  const access = {
    memberships: [{ name: 'dev', since: '2026-07-01T08:00:00.000000Z', by: 'root' }],
    direct: [ownLogs],
    inherited: [viaDev],
  }
  const sections = async (line: string) => {
    const { out, code } = await cli.type(line)
    expect(code).toBe(0)
    return out.slice(out.indexOf('\n', out.indexOf('Generation:')) + 1)
  }

  beforeAll(async () => cli.use(await daemon.start()))
  afterAll(async () => {
    await daemon.stop()
    cli.remove()
  })

  it('describe user shows groups, tokens, access by its origin, and refusals', async () => {
    const alice = { type: 'human', displayName: 'Alice', enabled: true }
    daemon.put('users', {
      referencedBy: { groups: ['dev'] },
      kind: 'User',
      metadata: metadata('alice'),
      spec: alice,
      status: { phase: 'Active', tokens: ['t1'] },
    })
    const token = {
      id: 't1',
      prefix: 'mcp_pat_ab',
      type: 'pat',
      local: false,
      note: 'ci',
      issuedAt: '',
      current: false,
    }
    const items = [
      {
        ...token,
        scopes: [{ role: 'view', resource: 'servers' }],
        expiresAt: '2027-01-01T00:00:00Z',
        lastUsedAt: null,
      },
    ]
    const denials = [
      { at: '2026-07-04T10:11:12Z', position: '7', asked: 'delete:servers:github', sourceAddress: '127.0.0.1' },
    ]
    const bodies: Record<string, object> = {
      '/api/v1/authz/effective': access,
      '/api/v1/authz/denials': { denials },
      '/api/v1/tokens': { items },
    }
    daemon.route = ({ path: asked, query }) => {
      const body = bodies[asked]
      return body && query.get('user') === 'alice' ? { status: 200, body } : undefined
    }
    expect(await sections('describe user alice')).toBe(
      `Type:          human
Display Name:  Alice
Email:         <none>
Enabled:       yes
Phase:         Active
Groups:
  NAME   SINCE               BY
  dev    2026-07-01T08:00Z   root
Access: direct:
  GRANT     RESOURCE   NAME     BINDING      GRANTED-BY   GRANTED-AT
  op logs   servers    github   alice-logs   rita         2026-07-03T10:00Z
Access: via group dev:
  GRANT   RESOURCE   NAME     BINDING    GRANTED-BY   GRANTED-AT
  edit    servers    github   dev-team   root         2026-07-02T09:12Z
Sessions and tokens:
  ID   PREFIX       TYPE   EXPIRES             LAST-USED   SCOPE          NOTE
  t1   mcp_pat_ab   pat    2027-01-01T00:00Z   <never>     view:servers   ci
Recent denials:
  AT                  ASKED                   FROM
  2026-07-04T10:11Z   delete:servers:github   127.0.0.1
`,
    )
  })

  it('describe user says what the reader may not see', async () => {
    daemon.route = ({ path: asked }) =>
      /authz|tokens/.test(asked) ? problem(403, 'Forbidden', 'rbac is forbidden') : undefined
    expect(await sections('describe user alice')).toContain(
      'Groups:  <forbidden>\nAccess:  <forbidden>\nSessions and tokens:  <forbidden>\nRecent denials:  <forbidden>\n',
    )
  })

  it('describe group shows members and what it gives', async () => {
    daemon.put('groups', group)
    const members = [{ name: 'alice', since: '2026-07-01T08:00:00.000000Z', by: 'root' }]
    daemon.route = ({ path: asked }) =>
      asked === '/api/v1/authz/effective' ? { status: 200, body: { ...access, memberships: members } } : undefined
    expect(await sections('describe group dev')).toBe(
      `Description:  <none>
Members:
  NAME    SINCE               BY
  alice   2026-07-01T08:00Z   root
Access: direct:
  GRANT     RESOURCE   NAME     BINDING      GRANTED-BY   GRANTED-AT
  op logs   servers    github   alice-logs   rita         2026-07-03T10:00Z
`,
    )
  })

  it('describe rbac shows subjects with their state, grants and how many it reaches', async () => {
    const object = binding('dev-team', [])
    const objects = [{ resource: 'servers', name: 'github', state: 'Missing' }]
    daemon.put('rbac', { ...object, status: { ...object.status, objects } })
    const subjects = [{ kind: 'Group', name: 'dev', uid: 'g', state: 'Bound' }, dave]
    daemon.route = ({ path: asked }) =>
      asked === '/api/v1/authz/effective'
        ? { status: 200, body: { direct: [{ ...viaDev, via: undefined }], inherited: [], subjects, reaches: 1 } }
        : undefined
    expect(await sections('describe rbac dev-team')).toBe(
      `Warnings:     <none>
Subjects:
  KIND    NAME   STATE
  Group   dev    Bound
  User    dave   Dangling
Grants:
  GRANT   RESOURCE   NAME     BINDING    GRANTED-BY   GRANTED-AT          OBJECT
  edit    servers    github   dev-team   root         2026-07-02T09:12Z   Missing
Reaches:  1 enabled user
`,
    )
  })

  it('apply --dry-run=server tells who would gain and lose what', async () => {
    const results = [{ kind: 'RbacBinding', plural: 'rbac', name: 'dev-team', uid: 'u', outcome: 'configured' }]
    const changes = [{ user: 'alice', gained: ['edit:servers:github'], lost: ['op logs', 'view:projects'] }]
    daemon.route = ({ path: asked }) =>
      asked === '/api/v1/apply' ? { status: 200, body: { results, access: changes, dryRun: true } } : undefined
    const input = 'rbac:\n  - name: dev-team\n    subjects: [{ kind: User, name: alice }]\n'
    expect(await cli.type('apply -f - --dry-run=server', { input })).toEqual({
      code: 0,
      out:
        'rbac/dev-team configured (server dry run)\n' +
        'user/alice gains edit:servers:github (server dry run)\n' +
        'user/alice loses op logs (server dry run)\n' +
        'user/alice loses view:projects (server dry run)\n',
      err: '',
    })
    const { out } = await cli.type('apply -f - --dry-run=server -o json', { input })
    expect(JSON.parse(out)).toEqual({ results, access: changes })
  })
})

describe('mcpctl auth reconcile', () => {
  const daemon = new TestDaemon()
  const cli = new Cli()

  beforeAll(async () => cli.use(await daemon.start()))
  afterAll(async () => {
    await daemon.stop()
    cli.remove()
  })
  beforeEach(() => {
    daemon.requests.length = 0
    daemon.put('groups', group)
    daemon.put(
      'rbac',
      binding('dev-team', [{ kind: 'User', name: 'alice', uid: 'uid-alice', state: 'Bound' }]),
      binding('old', []),
    )
  })

  it('shows with --dry-run what it would remove', async () => {
    expect(await cli.type('auth reconcile --prune-dangling --dry-run')).toMatchObject({
      code: 0,
      out:
        'group/dev pruned: User:dave (dry run)\n' +
        'rbac/dev-team pruned: User:dave (dry run)\n' +
        'rbac/old pruned: User:dave (dry run)\n',
    })
    expect(daemon.mutations).toEqual([])
  })

  it('writes each object without those who are gone, as it was read', async () => {
    const { code, err } = await cli.type('auth reconcile --prune-dangling')
    expect([code, err]).toEqual([0, 'rbac/old has no subject left; run: mcpctl delete rbac/old\n'])
    expect(daemon.mutations).toEqual(['PUT /api/v1/groups/dev', 'PUT /api/v1/rbac/dev-team', 'PUT /api/v1/rbac/old'])
    const [toDev, toTeam] = daemon.requests.filter(({ method }) => method === 'PUT')
    expect(toDev?.body).toEqual({ name: 'dev', labels: { team: 'core' }, members: ['alice'] })
    expect(toTeam?.body).toEqual({
      name: 'dev-team',
      labels: { team: 'core' },
      bindings: [{ role: 'view', resource: 'servers' }],
      subjects: [{ kind: 'User', name: 'alice' }],
    })
    expect(toTeam?.headers['if-match']).toBe('"1.7"')
  })

  it('has nothing to do where nobody is gone', async () => {
    daemon.put('groups')
    daemon.put('rbac')
    expect(await cli.type('auth reconcile --prune-dangling')).toEqual({
      code: 0,
      out: '',
      err: 'No dangling subjects found\n',
    })
    expect((await cli.type('auth reconcile')).code).toBe(2)
  })
})
