import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { findConfig } from '@mcpctl/client'
import { EmbeddedPostgres } from '@mcpctl/postgres'
import { execute, program, undo, until, type Answer } from '../support/binaries'
import { Sandbox } from '../support/mcpd-process'

const password = 'a walk on the moon 7'
const another = 'the rain in spain 19'
const codePattern = /\b([2-9A-HJ-NP-Z]{4}-){4}[2-9A-HJ-NP-Z]{4}\b/

describe('a daemon on a database that is nobody’s own', () => {
  const cleanUps: (() => Promise<unknown>)[] = []
  let sandbox: Sandbox
  let address: string

  beforeAll(async () => {
    const directory = await mkdtemp(join(tmpdir(), 'mcpctl-acceptance-postgres-'))
    cleanUps.push(() => rm(directory, { recursive: true, force: true }))
    // A user without rights, as which PostgreSQL runs under root, must be able to pass.
    await chmod(directory, 0o711)
    const postgres = new EmbeddedPostgres({ dataDirectory: directory })
    cleanUps.push(() => postgres.stop())
    const { url: databaseUrl } = await postgres.start()
    sandbox = await Sandbox.create({ databaseUrl, env: { MCPD_WRITE_CONTEXT: '', MCPD_ADMIN_USER: 'root' } })
    cleanUps.push(() => sandbox.remove())
    address = await launch()
  })
  afterAll(() => undo(cleanUps))

  const launch = async (): Promise<string> => {
    const { pid } = await sandbox.launch()
    return until('mcpd says where it listens', async () => {
      const said = JSON.parse(await readFile(join(sandbox.data, 'mcpd.json'), 'utf8')) as {
        pid: number
        address: string
      }
      return said.pid === pid && said.address
    })
  }
  const logIn = (input: string, ...flags: string[]): Promise<Answer> =>
    sandbox.type(input, 'login', address, '--user', 'root', '--password-stdin', ...flags)
  const codeIn = (text: string): string => codePattern.exec(text)?.[0] ?? ''

  it('is set up with the code that it prints, and used with the session that this opens', async () => {
    const code = codeIn(
      await until('the code is printed', async () => {
        const log = await sandbox.log()
        return codePattern.test(log) && log
      }),
    )
    const early = await sandbox.mcpctl('get', 'servers', '--server', address, '--token-file', '/dev/null')
    expect(early.code).not.toBe(0)
    expect(await logIn(`${code}\n${password}\n`, '--setup')).toMatchObject({ code: 0 })
    expect(await sandbox.must('whoami', '-o', 'name')).toBe('user/root\n')
    expect(await sandbox.must('get', 'users', '-o', 'name')).toBe('user/root\n')
    expect((await logIn(`${code}\n${another}\n`, '--setup')).code).toBe(4)
  })

  it('lets users in whom the administrator makes, each with a password of his own', async () => {
    const made = await sandbox.must('create', 'user', 'alice')
    const code = codeIn(made)
    const admin = findConfig(sandbox.config)?.currentContext ?? ''
    const setUp = await sandbox.type(`${code}\n${another}\n`, 'login', '--user', 'alice', '--setup', '--password-stdin')
    expect(setUp).toMatchObject({ code: 0, err: '' })
    expect(await sandbox.must('whoami', '-o', 'name')).toBe('user/alice\n')
    expect((await sandbox.mcpctl('create', 'user', 'eve')).code).toBe(5)
    expect(await sandbox.must('whoami', '-o', 'name', '--context', admin)).toBe('user/root\n')
    expect(await sandbox.must('logout')).toMatch(/^Logged out of alice@/)
    expect((await sandbox.mcpctl('get', 'servers')).code).toBe(4)
    expect((await sandbox.type('not the password', 'login', '--user', 'alice', '--password-stdin')).code).toBe(4)
    await sandbox.must('config', 'use-context', admin)
  })

  it('takes API tokens until they are revoked', async () => {
    const token = await sandbox.must('create', 'token', '--ttl', '1h', '--scope', 'view:servers', '-q')
    const entered = await sandbox.type(token, 'login', '--token-stdin', '--context', 'scoped')
    expect(entered.code).toBe(0)
    expect((await sandbox.mcpctl('get', 'servers', '--context', 'scoped')).code).toBe(0)
    expect((await sandbox.mcpctl('get', 'users', '--context', 'scoped')).code).toBe(5)
    expect((await sandbox.mcpctl('create', 'token', '--context', 'scoped')).code).toBe(5)
    const { tokens } = JSON.parse(await sandbox.must('auth', 'tokens', '-o', 'json', '--context', 'scoped')) as {
      tokens: { id: string; current: boolean }[]
    }
    await sandbox.must('auth', 'revoke', tokens.find(({ current }) => current)?.id ?? '', '--context', 'scoped')
    expect((await sandbox.mcpctl('get', 'servers', '--context', 'scoped')).code).toBe(4)
  })

  it('is opened again by mcpd admin recover, for whoever has the database', async () => {
    await sandbox.end()
    const run = (...args: string[]) => execute(process.execPath, [program('mcpd'), ...args], { env: sandbox.env })
    expect(await run('admin', 'recover')).toMatchObject({ code: 2, out: '' })
    expect(await run('admin', 'recover', '--user', 'nobody')).toMatchObject({ code: 1, out: '' })
    const { code, out } = await run('admin', 'recover', '--user', 'alice')
    expect([code, out]).toEqual([0, expect.stringMatching(codePattern)])
    address = await launch()
    const entered = await sandbox.type(
      `${out}${password} again\n`,
      'login',
      address,
      '--user',
      'alice',
      '--setup',
      '--password-stdin',
    )
    expect(entered.code).toBe(0)
    await sandbox.must('create', 'user', 'eve', '--service')
  })

  it('has written no password and no token to its log', async () => {
    const log = await sandbox.log()
    const { contexts } = findConfig(sandbox.config) ?? { contexts: {} }
    const tokens = Object.values(contexts).map(({ token }) => token)
    for (const secret of [password, another, ...tokens.filter((token) => token !== '')])
      expect(log).not.toContain(secret)
  })
})
