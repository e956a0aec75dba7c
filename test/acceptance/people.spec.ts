import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { parse } from 'yaml'
import { Sandbox } from '../support/mcpd-process'

interface Bundle {
  users: { name: string }[]
  groups: { name: string; members?: (string | { name: string; uid: string })[] }[]
  rbac: { name: string; subjects?: { kind: string; name: string; uid?: string }[] }[]
}

describe('an administrator', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    sandbox = await Sandbox.create()
    await sandbox.start()
  }, 90_000)
  afterAll(() => sandbox.remove(), 60_000)

  const everything = async (): Promise<string> => sandbox.must('get', 'all', '-o', 'yaml')
  const applied = async (manifest: string): Promise<string> => {
    const { code, out, err } = await sandbox.type(manifest, 'apply', '-f', '-')
    if (code !== 0) throw new Error(err)
    return out
  }
  const onlyUnchanged = (out: string) => out.split('\n').every((line) => line === '' || line.endsWith(' unchanged'))

  it('makes users, a group and a binding from flags, and sees who holds what', async () => {
    expect(await sandbox.must('create', 'user', 'alice', '--email', 'alice@example.com')).toMatch(
      /^user\/alice created\nsetup code for alice, good once until \S+: [0-9A-Z]{4}(-[0-9A-Z]{4}){4}\n$/,
    )
    expect(await sandbox.must('create', 'group', 'dev', '--member', 'alice')).toBe('group/dev created\n')
    expect(await sandbox.must('create', 'user', 'ci', '--service', '--group', 'dev')).toBe('user/ci created\n')
    const binding = [
      '--subject',
      'Group:dev',
      '--subject',
      'User:ci',
      '--binding',
      'view:Servers',
      '--operation',
      'logs',
    ]
    const { code, out, err } = await sandbox.mcpctl('create', 'rbac', 'dev-team', ...binding, '--binding', 'run:*')
    expect({ code, out, err }).toEqual({
      code: 0,
      out: 'rbac/dev-team created\n',
      err:
        'Group:dev, User:ci may now: view:servers, run:*, operation logs\n' +
        'Warning: run:* holds for every kind, also for kinds to come\n',
    })
    const table = (text: string) => text.replaceAll(/ +/g, ' ').replaceAll(/ \d+[smh]\S*$/gm, '')
    expect(table(await sandbox.must('get', 'users'))).toBe(
      'NAME TYPE STATUS GROUPS LAST-LOGIN AGE\nadmin human Active admins <none>\nalice human Active dev <none>\nci service Active dev <none>\n',
    )
    expect(table(await sandbox.must('get', 'rbac', 'dev-team', '--no-headers'))).toBe(
      'dev-team Group:dev,User:ci view:servers,run:* logs <none>\n',
    )
  })

  it('gives a new user a password that works, and is not left logged in as him', async () => {
    const password = 'correct horse battery staple'
    const made = await sandbox.type(`${password}\n`, 'create', 'user', 'bob', '--password-stdin')
    expect(made).toMatchObject({ code: 0, out: 'user/bob created\n', err: '' })
    const { server } = sandbox.context()
    const login = async (word: string) =>
      fetch(`${server}/api/v1/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ user: 'bob', password: word }),
      })
    expect(await sandbox.must('describe', 'user', 'bob')).not.toContain('mcp_ses_')
    expect((await login(`${password}\n`)).status).toBe(401)
    expect((await login(password)).status).toBe(200)
    expect(await sandbox.log()).not.toContain(password)
  })

  it('gets back from get what apply takes without a change', async () => {
    expect(onlyUnchanged(await applied(await everything()))).toBe(true)
  })

  it('grants nothing to whoever bears a name that was freed, until it is said', async () => {
    await sandbox.must('create', 'rbac', 'just-alice', '--subject', 'User:alice', '--binding', 'edit:servers')
    await sandbox.must('delete', 'user', 'alice')
    expect(await sandbox.must('get', 'rbac', 'just-alice', '--no-headers')).toContain('User:alice')
    await sandbox.must('create', 'user', 'alice')
    const manifest = await everything()
    const { groups, rbac } = parse(manifest) as Bundle
    const dangling = { name: 'alice', uid: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown as string }
    expect(groups.find(({ name }) => name === 'dev')?.members).toEqual([dangling, 'ci'])
    expect(rbac.find(({ name }) => name === 'just-alice')?.subjects).toEqual([{ kind: 'User', ...dangling }])
    expect(onlyUnchanged(await applied(manifest))).toBe(true)
    expect((await sandbox.mcpctl('auth', 'can-i', 'edit', 'servers', '--as', 'alice')).out).toBe('no\n')
    expect(await sandbox.must('get', 'users', 'alice', '--no-headers')).toContain('<none>')

    const bound =
      'rbac: [{ name: just-alice, subjects: [{ kind: User, name: alice }], bindings: [{ role: edit, resource: servers }] }]'
    expect(await applied(bound)).toBe('rbac/just-alice configured\n')
    expect(await sandbox.must('get', 'users', 'alice', '-o', 'wide', '--no-headers')).toContain('just-alice')
  })

  it('is told what cannot be granted, by file and line', async () => {
    const manifest = [
      'rbac:',
      '  - name: wrong',
      '    subjects:',
      '      - { kind: User, name: ghost }',
      '    bindings:',
      '      - { role: edit, resource: instances }',
    ].join('\n')
    expect(await sandbox.type(manifest, 'apply', '-f', '-')).toMatchObject({
      code: 7,
      err:
        'The RbacBinding "wrong" is invalid:\n' +
        '* spec.bindings[0]: "edit" means nothing on instances; roles there are view, delete (STDIN:6)\n',
    })
    const ghost = await sandbox.type(manifest.replace('edit', 'view'), 'apply', '-f', '-')
    expect(ghost.err).toContain('* spec.subjects[0]: users "ghost" not found; create it first or in the same apply')
    expect(ghost.err).toContain('STDIN:4')
  })
})
