import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { Cli } from './cli'
import { problem, TestDaemon } from './daemon'
import type { Reply, Request } from './daemon'
import { group, rbac, user } from './objects'

describe('users, groups and bindings', () => {
  const daemon = new TestDaemon()
  const cli = new Cli()
  const password = 'correct horse battery'
  const setupCode = { code: 'K7QF-2222-3333-4444-5555', expiresAt: '2026-01-01T00:15:00.000Z' }

  const answers = ({ method, path, body }: Request): Reply | undefined => {
    if (method !== 'POST') return undefined
    if (path.endsWith('/password')) return { status: 200, body: setupCode }
    if (path.endsWith('/setup'))
      return { status: 200, body: { user: 'alice', token: 'mcp_ses_new', expiresAt: setupCode.expiresAt } }
    if (path.endsWith('/logout')) return { status: 200, body: { ended: 1 } }
    if (path.endsWith('/apply')) return { status: 200, body: { position: '8', results: [] } }
    const { name, ...spec } = body as { name: string }
    return { status: 201, body: { ...user(name), spec } }
  }

  beforeAll(async () => cli.use(await daemon.start()))
  afterAll(async () => {
    await daemon.stop()
    cli.remove()
  })
  beforeEach(() => {
    daemon.route = answers
    daemon.requests.length = 0
    daemon.put('users', user('alice'))
    daemon.put('groups', group('dev', { spec: { members: ['bob', { name: 'alice', uid: 'u-1' }] } }))
    daemon.put('rbac', rbac('dev-team'))
  })

  describe('create user', () => {
    it('prints a code with which the user sets a password', async () => {
      expect(await cli.run(['create', 'user', 'alice', '--display-name', 'Ali Ce', '--email', 'a@b.c'])).toEqual({
        code: 0,
        out: `user/alice created\nsetup code for alice, good once until ${setupCode.expiresAt}: ${setupCode.code}\n`,
        err: `with it alice sets a password: mcpctl login http://${daemon.address} --user alice --setup\n`,
      })
      expect(daemon.mutations).toEqual(['POST /api/v1/users', 'POST /api/v1/users/alice/password'])
      expect(daemon.requests[0]?.body).toEqual({ name: 'alice', displayName: 'Ali Ce', email: 'a@b.c' })
    })

    it('keeps the code out of what programs read', async () => {
      const { out, err } = await cli.type('create user alice -o name')
      expect(out).toBe('user/alice\n')
      expect(err).toContain(setupCode.code)
    })

    it('trades the code for a password that stdin holds, line end aside', async () => {
      const answer = await cli.type('create user alice --password-stdin', { input: `${password}\n` })
      expect(answer).toEqual({ code: 0, out: 'user/alice created\n', err: '' })
      const [setup, logout] = daemon.requests.slice(-2)
      expect(setup).toMatchObject({ path: '/api/v1/setup', body: { user: 'alice', code: setupCode.code, password } })
      // Whoever makes a user does not become it.
      expect(logout).toMatchObject({ path: '/api/v1/logout', headers: { authorization: 'Bearer mcp_ses_new' } })
      await cli.type('create user alice --password-stdin', { input: `${password} ` })
      expect(daemon.requests.at(-2)?.body).toMatchObject({ password: `${password} ` })
    })

    it('asks for a password, which does not show', async () => {
      const answer = await cli.type('create user alice --prompt', { answer: password })
      expect(answer.code).toBe(0)
      expect(answer.err).toContain('New password: ')
      expect(answer.out + answer.err).not.toContain(password)
      expect(daemon.requests.at(-2)?.body).toMatchObject({ password })
    })

    it('never prints a password, however much is told', async () => {
      const { out, err } = await cli.type('create user alice --password-stdin -v 9', { input: password })
      expect(out + err).not.toContain(password)
    })

    it('makes service users, which have no password', async () => {
      expect(await cli.type('create user ci --service')).toEqual({
        code: 0,
        out: 'user/ci created\n',
        err: 'create a token for it: mcpctl create token ci\n',
      })
      expect(daemon.requests.map(({ body }) => body)).toEqual([{ name: 'ci', type: 'service' }])
    })

    it('makes the user and the members of its groups at once, or neither', async () => {
      const { code, out } = await cli.type('create user carol --group dev --service -l team=core')
      expect({ code, out }).toEqual({ code: 0, out: 'user/carol created\n' })
      const [rehearsed, applied] = daemon.requests.filter(({ method }) => method === 'POST')
      expect([rehearsed?.path, rehearsed?.query.get('dryRun')]).toEqual(['/api/v1/users', 'All'])
      expect([applied?.path, applied?.query.get('dryRun')]).toEqual(['/api/v1/apply', null])
      const members = ['bob', { name: 'alice', uid: 'u-1' }, 'carol']
      expect(applied?.body).toEqual({
        users: [
          // Nobody was there when the log began: one who came first under that name is not changed.
          {
            metadata: { name: 'carol', labels: { team: 'core' }, annotations: {}, resourceVersion: '1.0' },
            spec: { type: 'service' },
          },
        ],
        groups: [
          {
            metadata: { name: 'dev', labels: {}, annotations: {}, resourceVersion: '1.7' },
            spec: expect.objectContaining({ members }),
          },
        ],
      })
      expect(daemon.mutations).not.toContain('PUT /api/v1/groups/dev')
    })

    it('makes no user for a group that is not there', async () => {
      expect((await cli.type('create user carol --group dve')).code).toBe(3)
      expect(daemon.mutations).toEqual([])
    })

    it('issues no code for a user that was not made with its groups', async () => {
      daemon.route = (request) =>
        request.path.endsWith('/apply')
          ? problem(412, 'PreconditionFailed', 'Operation cannot be fulfilled on groups "dev"')
          : answers(request)
      expect(await cli.type('create user carol --group dev')).toMatchObject({ code: 6, out: '' })
      expect(daemon.mutations).not.toContain('POST /api/v1/users/carol/password')
    })

    it('says what was made when no code can be issued', async () => {
      daemon.route = (request) =>
        request.path.endsWith('/password') ? problem(403, 'Forbidden', 'users "x" is forbidden') : answers(request)
      const answer = await cli.type('create user x')
      expect(answer).toMatchObject({ code: 5, out: 'user/x created\n' })
      expect(answer.err).toContain('(Forbidden)')
    })

    it('prints what apply takes, without a daemon', async () => {
      const { out } = await cli.type('create user alice --email a@b.c --dry-run=client -o yaml')
      expect(out).toBe('users:\n  - name: alice\n    email: a@b.c\n')
      expect(daemon.requests).toEqual([])
    })
  })

  describe('create group', () => {
    it('turns flags into an entry', async () => {
      const line = 'create group dev --member alice --member user:bob@example.com --description developers -l team=core'
      expect(await cli.type(line)).toEqual({ code: 0, out: 'group/dev created\n', err: '' })
      expect(daemon.requests[0]?.body).toEqual({
        name: 'dev',
        labels: { team: 'core' },
        description: 'developers',
        members: ['alice', 'bob@example.com'],
      })
    })
  })

  describe('create rbac', () => {
    const line =
      'create rbac dev-team --subject User:alice --subject group:dev --subject Group:system:authenticated' +
      ' --binding view:* --binding edit:servers:github --operation logs --operation reveal:secrets/gh-token' +
      ' --operation grant:servers'

    it('turns flags into an entry, and says what it grants and what is to be granted with care', async () => {
      daemon.route = () => ({ status: 201, body: rbac('dev-team') })
      expect(await cli.type(line)).toEqual({
        code: 0,
        out: 'rbac/dev-team created\n',
        err:
          'Group:dev, User:alice may now: view:*, edit:servers:github, operation reveal:secrets/gh-token\n' +
          'Warning: view:* holds for every kind, also for kinds to come\n',
      })
      expect(daemon.requests[0]?.body).toEqual({
        name: 'dev-team',
        subjects: [
          { kind: 'User', name: 'alice' },
          { kind: 'Group', name: 'dev' },
          { kind: 'Group', name: 'system:authenticated' },
        ],
        bindings: [
          { role: 'view', resource: '*' },
          { role: 'edit', resource: 'servers', name: 'github' },
        ],
        operations: [
          { action: 'logs' },
          { action: 'reveal', resource: 'secrets', name: 'gh-token' },
          { action: 'grant', resource: 'servers' },
        ],
      })
    })

    it('warns also where nobody wants to hear of progress', async () => {
      daemon.route = () => ({ status: 201, body: rbac('dev-team') })
      const { err } = await cli.type(`${line} -q`)
      expect(err).toMatch(/^Warning: view:\*.*\n$/)
    })

    it('says when nothing is granted yet', async () => {
      daemon.route = () => ({ status: 201, body: rbac('x', { status: { grants: { subjects: [] }, warnings: [] } }) })
      expect((await cli.type('create rbac x')).err).toBe('it grants nothing yet: it has no subject\n')
    })

    it('prints what apply takes, without a daemon', async () => {
      const { out } = await cli.type('create rbac x --subject User:a --binding view:servers --dry-run=client -o yaml')
      expect(out).toBe(
        'rbac:\n  - name: x\n    subjects:\n      - kind: User\n        name: a\n' +
          '    bindings:\n      - role: view\n        resource: servers\n',
      )
      expect(daemon.requests).toEqual([])
    })
  })

  it.each([
    ['create user', 'exactly one NAME is required'],
    ['create user a b', 'exactly one NAME is required, got 2'],
    ['create user a --password secret', 'unknown flag: --password'],
    ['create user a --prompt --password-stdin', '--password-stdin and --prompt exclude each other'],
    ['create user a --service --prompt', 'a service user has no password'],
    ['create user a --prompt', 'there is nobody to ask for a password'],
    ['create user a --password-stdin', 'stdin holds no password'],
    ['create group g --member group:ops', '--member needs the name of a user, not "group:ops"'],
    ['create rbac r --subject alice', '--subject needs User:NAME or Group:NAME, not "alice"'],
    ['create rbac r --subject Robot:r2', '--subject needs User:NAME or Group:NAME, not "Robot:r2"'],
    ['create rbac r --subject User:', '--subject needs User:NAME'],
    ['create rbac r --binding view', '--binding needs role:resource or role:resource:name, not "view"'],
    ['create rbac r --binding view:', '--binding needs role:resource'],
    ['create rbac r --binding view:servers:', '--binding needs role:resource'],
    ['create rbac r --operation logs:', '--operation needs action'],
    ['create rbac r --operation logs:servers/', '--operation needs action'],
    ['create rbac r --operation logs/servers', '--operation needs action'],
  ])('%s is refused', async (typed, text) => {
    const answer = await cli.type(typed)
    expect(answer.err).toContain(text)
    expect(answer.code).toBe(2)
    expect(daemon.requests).toEqual([])
  })

  it('have tables of their own', async () => {
    expect((await cli.type('get users')).out).toBe(
      'NAME    TYPE    STATUS   GROUPS   LAST-LOGIN   AGE\nalice   human   Active   dev      <none>       5d\n',
    )
    expect((await cli.type('get groups')).out).toBe('NAME   MEMBERS   AGE\ndev    2         5d\n')
    expect((await cli.type('get rbac')).out).toBe(
      'NAME       SUBJECTS               BINDINGS                     OPERATIONS                DANGLING     AGE\n' +
        'dev-team   Group:dev,User:alice   view:*,edit:servers:github   reveal:secrets/gh-token   User:alice   5d\n',
    )
  })

  it('are known by every word for them', async () => {
    for (const word of ['rbac', 'RBACs', 'rbacbinding', 'RbacBindings'])
      expect((await cli.type(`get ${word} -o name`)).out).toBe('rbac/dev-team\n')
    expect((await cli.type('get grp -o name')).out).toBe('group/dev\n')
    expect((await cli.type('get User -o name')).out).toBe('user/alice\n')
  })

  it('are printed as apply takes them: a subject that is gone with its uid', async () => {
    expect((await cli.type('get rbac dev-team -o yaml')).out).toBe(
      'rbac:\n  - name: dev-team\n    subjects:\n      - kind: Group\n        name: dev\n' +
        '      - kind: User\n        name: alice\n        uid: u-1\n    bindings:\n      - role: view\n        resource: "*"\n' +
        '      - role: edit\n        resource: servers\n        name: github\n' +
        '    operations:\n      - action: reveal\n        resource: secrets\n        name: gh-token\n',
    )
  })
})
