import { readFileSync, statSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { findConfig, writeConfig } from '@mcpctl/client'
import { Cli } from './cli'
import { problem, TestDaemon } from './daemon'
import type { Reply, Request } from './daemon'

describe('who one is', () => {
  const daemon = new TestDaemon()
  const cli = new Cli()
  const expiresAt = '2026-01-08T00:00:00.000Z'
  const password = 'correct horse battery'
  let server: string

  const who = { user: { name: 'alice', uid: 'u-1', type: 'human' }, groups: ['dev', 'ops'] }
  const token = { id: 't-1', prefix: 'mcp_ses_abcd', type: 'ses', local: false, expiresAt }
  const row = { ...token, scopes: null, note: null, issuedAt: expiresAt, lastUsedAt: null, current: true }

  const answers = ({ method, path, body }: Request): Reply | undefined => {
    const { user = 'alice' } = (body ?? {}) as { user?: string }
    switch (`${method} ${path}`) {
      case 'POST /api/v1/login':
      case 'POST /api/v1/setup':
        return { status: 200, body: { token: 'mcp_ses_new', expiresAt, user } }
      case 'POST /api/v1/logout':
        return { status: 200, body: { ended: 1 } }
      case 'GET /api/v1/whoami':
        return { status: 200, body: { ...who, token } }
      case 'POST /api/v1/tokens':
        return {
          status: 201,
          body: { id: 't-2', token: 'mcp_pat_new', user, prefix: 'mcp_pat_new', type: 'pat', expiresAt },
        }
      case 'GET /api/v1/tokens':
        return { status: 200, body: { items: [row] } }
      case 'POST /api/v1/users/alice/password':
        return { status: 200, body: { user: 'alice' } }
      case 'POST /api/v1/users/bob/password':
        return { status: 200, body: { user: 'bob', code: 'K7QF-2222-3333-4444-5555', expiresAt } }
      default:
        return method === 'DELETE' ? { status: 204 } : undefined
    }
  }

  beforeAll(async () => {
    server = await daemon.start()
  })
  afterAll(async () => {
    await daemon.stop()
    cli.remove()
  })
  beforeEach(() => {
    cli.use(server)
    daemon.route = answers
    daemon.requests.length = 0
  })

  const contexts = () => findConfig(cli.configFile)

  describe('login', () => {
    it('keeps the session in a context of its own, for its owner alone, and makes it the current one', async () => {
      const name = `alice@${daemon.address}`
      expect(await cli.type(`login ${server} --user alice --password-stdin`, { input: `${password}\n` })).toEqual({
        code: 0,
        out: `Logged in to ${server} as alice; the current context is ${name}.\n`,
        err: '',
      })
      expect(daemon.requests[0]).toMatchObject({ path: '/api/v1/login', body: { user: 'alice', password } })
      expect(daemon.requests[0]?.headers.authorization).toBeUndefined()
      expect(contexts()).toEqual({
        currentContext: name,
        contexts: {
          local: { server, token: 'mcp_pat_test' },
          [name]: { server, token: 'mcp_ses_new', user: 'alice' },
        },
      })
      expect(statSync(cli.configFile).mode & 0o777).toBe(0o600)
      await cli.type('login --user alice --password-stdin', { input: password })
      expect(Object.keys(contexts()?.contexts ?? {})).toEqual(['local', name])
    })

    it('asks for the password, which shows nowhere', async () => {
      const { code, out, err } = await cli.type('login --user alice', { answer: password })
      expect([code, out + err]).toEqual([0, expect.not.stringContaining(password)])
      expect(daemon.requests[0]?.body).toEqual({ user: 'alice', password })
    })

    it('takes a code and a new password', async () => {
      const input = `K7QF-2222-3333-4444-5555\n${password}\n`
      expect((await cli.type('login --user alice --setup --password-stdin', { input })).code).toBe(0)
      const body = { user: 'alice', code: 'K7QF-2222-3333-4444-5555', password }
      expect(daemon.requests[0]).toMatchObject({ path: '/api/v1/setup', body })
      const one = await cli.type('login --user alice --setup --password-stdin', { input: 'only-one-line' })
      expect([one.code, one.err]).toEqual([2, expect.stringContaining('second')])
    })

    it('takes an API token, and asks the daemon whose it is', async () => {
      expect((await cli.type('login --token-stdin --context ci', { input: 'mcp_pat_given\n' })).code).toBe(0)
      expect(daemon.requests[0]?.headers.authorization).toBe('Bearer mcp_pat_given')
      expect(contexts()?.contexts['ci']).toEqual({ server, token: 'mcp_pat_given', user: 'alice' })
    })

    it('that fails says so, exits with 4 and keeps nothing', async () => {
      daemon.route = () => problem(401, 'Unauthorized', 'the name or the password is wrong')
      const before = readFileSync(cli.configFile, 'utf8')
      expect(await cli.type('login --user alice --password-stdin', { input: password })).toEqual({
        code: 4,
        out: '',
        err: 'error: login failed: the name or the password is wrong\n',
      })
      expect(readFileSync(cli.configFile, 'utf8')).toBe(before)
    })

    it.each([
      ['login http://mcp.example.com --user alice --password-stdin', 'in the clear'],
      ['login https://alice:secret@mcp.example.com', '--user'],
      ['login ftp://mcp.example.com', 'no address'],
      ['login --token-stdin --user alice', '--token-stdin goes with no other flag'],
      ['login --password-stdin', '--user'],
      ['login --user alice', '--password-stdin'],
      ['login --user alice --password secret', 'unknown flag: --password'],
    ])('refuses "%s"', async (line, said) => {
      const { code, err } = await cli.type(line, { input: password })
      expect([code, err]).toEqual([2, expect.stringContaining(said)])
      expect(daemon.requests).toEqual([])
    })
  })

  describe('logout', () => {
    it('ends the session and forgets it', async () => {
      expect(await cli.type('logout')).toEqual({ code: 0, out: 'Logged out of local.\n', err: '' })
      expect(daemon.mutations).toEqual(['POST /api/v1/logout'])
      expect(contexts()?.contexts['local']).toEqual({ server, token: '' })
    })

    it('ends all of them when asked to', async () => {
      await cli.type('logout --all')
      expect(daemon.requests[0]?.query.get('all')).toBe('1')
    })

    it('forgets a session that has ended already', async () => {
      daemon.route = () => problem(401, 'Unauthorized', 'the token is not valid here')
      expect((await cli.type('logout')).code).toBe(0)
      expect(contexts()?.contexts['local']?.token).toBe('')
    })

    it('keeps the session when the daemon does not answer', async () => {
      writeConfig(
        { currentContext: 'x', contexts: { x: { server: 'http://127.0.0.1:1', token: 'mcp_ses_x' } } },
        cli.configFile,
      )
      expect((await cli.type('logout')).code).toBe(9)
      expect(contexts()?.contexts['x']?.token).toBe('mcp_ses_x')
    })
  })

  it('whoami shows the user, his groups and the token', async () => {
    const { code, out } = await cli.type('whoami')
    expect(code).toBe(0)
    for (const part of ['alice', 'u-1', 'dev,ops', 'mcp_ses_abcd… (session)']) expect(out).toContain(part)
    expect((await cli.type('whoami -o name')).out).toBe('user/alice\n')
    expect((await cli.type('whoami -o yaml')).out).toContain('user:\n  name: alice\n')
    expect(JSON.parse((await cli.type('whoami -o json')).out)).toEqual({ ...who, token })
  })

  describe('tokens', () => {
    it('are issued with what they may do, and shown alone on stdout', async () => {
      const line = 'create token --user ci --ttl 90d --scope view:servers --scope op:logs --note deploy'
      const { code, out, err } = await cli.type(line)
      expect([code, out]).toEqual([0, 'mcp_pat_new\n'])
      expect(err).toContain('not shown again')
      const body = { user: 'ci', ttl: '90d', scopes: ['view:servers', 'op:logs'], note: 'deploy' }
      expect(daemon.requests[0]?.body).toEqual(body)
    })

    it('are issued to a user named as kubectl names a service account', async () => {
      expect((await cli.type('create token ci')).out).toBe('mcp_pat_new\n')
      expect(daemon.requests[0]?.body).toEqual({ user: 'ci' })
      for (const line of ['create token ci web', 'create token ci --user web']) {
        const { code, err } = await cli.type(line)
        expect([code, err]).toEqual([2, expect.stringContaining('a token belongs to one user; name it once')])
      }
    })

    it('are listed without being shown, and revoked by id', async () => {
      const { out } = await cli.type('auth tokens --user alice')
      expect(out).toContain('mcp_ses_abcd')
      expect(daemon.requests[0]?.query.get('user')).toBe('alice')
      expect(await cli.type('auth revoke t-1 t-2')).toMatchObject({
        code: 0,
        out: 'token "t-1" revoked\ntoken "t-2" revoked\n',
      })
      expect(daemon.mutations).toEqual(['DELETE /api/v1/tokens/t-1', 'DELETE /api/v1/tokens/t-2'])
    })
  })

  describe('passwd', () => {
    it('changes one’s own password', async () => {
      const input = `${password}\na new horse battery\n`
      expect((await cli.type('passwd --password-stdin --end-sessions', { input })).out).toBe(
        'password of alice changed\n',
      )
      const body = { current: password, password: 'a new horse battery', endSessions: true }
      expect(daemon.requests.at(-1)).toMatchObject({ path: '/api/v1/users/alice/password', body })
    })

    it('prints a code for somebody else, on stdout alone', async () => {
      const { out, err } = await cli.type('passwd bob')
      expect(out).toBe('K7QF-2222-3333-4444-5555\n')
      expect(err).toContain(`mcpctl login http://${daemon.address} --user bob --setup`)
      expect(daemon.requests.at(-1)?.body).toEqual({})
    })
  })
})
