import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { writeConfig } from '@mcpctl/client'
import { position } from '../../../test/support/log'
import { startDaemon, type TestDaemon } from '../../../test/support/daemon'
import { Cli } from './cli'

let daemon: TestDaemon
const cli = new Cli()

/** Types a line as the administrator, or as somebody whose token is given. */
const type = (line: string, token = daemon.token) => {
  writeConfig({ currentContext: 'local', contexts: { local: { server: daemon.address, token } } }, cli.configFile)
  return cli.type(line)
}
const done = async (line: string, token?: string) => {
  const { code, out, err } = await type(line, token)
  if (code !== 0) throw new Error(`${line}: exit ${String(code)}\n${out}${err}`)
  return out
}
const minute = /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}Z/g
const settled = (text: string) =>
  text
    .replace(/since \d{4}-\d{2}-\d{2} /g, 'since DAY ')
    .replace(minute, 'MINUTE')
    .replace(/position \d+/g, 'position N')
/** The sections below the lines that every object has. */
const sectionsOf = (text: string) => settled(text.slice(text.indexOf('\n', text.indexOf('Generation:')) + 1))
const tokenFor = async (user: string) => /mcp_[a-z]+_\S+/.exec(await done(`create token --user ${user}`))?.[0] ?? ''

beforeAll(async () => {
  daemon = await startDaemon()
  for (const user of ['alice', 'dave']) await done(`create user ${user}`)
  await done('create group dev --member alice --member dave')
  await done(
    'create rbac dev-team --subject Group:dev --subject User:dave --binding view:servers --binding edit:servers:github',
  )
}, 60_000)
afterAll(async () => {
  cli.remove()
  await daemon.close()
})

describe('rights from the command line', () => {
  it('auth can-i --explain names binding, entry, group and who granted it when', async () => {
    expect(settled(await done('auth can-i edit server/github --as alice --explain'))).toBe(
      'yes\n' +
        'RbacBinding dev-team, bindings[1] edit:servers:github → Group dev (member since DAY by admin) ; granted MINUTE by admin (position N)\n',
    )
  })

  it('the command that auth can-i --explain names allows what was refused', async () => {
    const token = await tokenFor('alice')
    const { code, out } = await type('auth can-i logs server/github --explain', token)
    expect(code).toBe(1)
    const remedy = /^to allow it: mcpctl (.*)$/m.exec(out)?.[1] ?? ''
    const before = await position(daemon)
    await done(remedy)
    expect(await done('auth can-i logs server/github', token)).toBe('yes\n')
    expect((await type(`auth can-i logs server/github --at ${String(before)}`, token)).out).toBe('no\n')
  })

  it('a refusal says what is missing, and the question that it leads to says why', async () => {
    const token = await tokenFor('alice')
    const { code, err } = await type('delete server github --yes', token)
    expect(code).toBe(5)
    expect(err).toContain(
      'servers "github" is forbidden: User "alice" cannot delete resource "servers" named "github"\n',
    )
    const question = /^see: mcpctl (.*)$/m.exec(err)?.[1] ?? ''
    expect(question).toBe('auth can-i delete servers/github --explain')
    expect((await type(question, token)).out).toMatch(/^no\nnearest: RbacBinding dev-team/)
  })

  it('whoever may delete an object need not see it', async () => {
    await done('create user eve')
    await done('create rbac eve-deletes --subject User:eve --binding delete:servers --binding delete:projects')
    const token = await tokenFor('eve')
    await done('create project web')
    await done('create server spare --package npm:x@1.0.0 --replicas 0')
    expect((await type('get project web', token)).code).toBe(5)
    expect(await done('delete project web', token)).toBe('project "web" deleted\n')
    expect((await type('delete project web', token)).code).toBe(3)
    const { code, err } = await type('delete server spare', token)
    expect([code, err]).toEqual([0, 'Warning: you may not see whether server "spare" is gone yet\n'])
  })

  it('auth who-can and describe show the same access, with its origin', async () => {
    const listed = settled(await done('auth who-can edit server/github')).replace(/ +/g, ' ')
    expect(listed).toBe(
      'USER BINDING GRANT VIA GRANTED-BY GRANTED-AT\n' +
        'admin admins edit:* group/admins system:setup MINUTE\n' +
        'alice dev-team edit:servers:github group/dev admin MINUTE\n' +
        'dave dev-team edit:servers:github <none> admin MINUTE\n' +
        'dave dev-team edit:servers:github group/dev admin MINUTE\n',
    )
    const described = sectionsOf(await done('describe user dave'))
    expect(described).toContain('Groups:\n  NAME   SINCE               BY\n  dev    MINUTE   admin\n')
    expect(described).toContain(
      'Access: direct:\n' +
        '  GRANT   RESOURCE   NAME     BINDING    GRANTED-BY   GRANTED-AT\n' +
        '  view    servers    *        dev-team   admin        MINUTE\n' +
        '  edit    servers    github   dev-team   admin        MINUTE\n' +
        'Access: via group dev:\n',
    )
    expect(sectionsOf(await done('describe rbac dev-team'))).toContain(
      'Subjects:\n  KIND    NAME   STATE\n  Group   dev    Bound\n  User    dave   Bound\n',
    )
  })
})

describe('subjects that are gone', () => {
  it('grant nothing, are shown, and are removed by auth reconcile', async () => {
    await done('delete user dave')
    await done('create user dave')
    expect((await type('auth can-i edit server/github --as dave')).out).toBe('no\n')
    expect(sectionsOf(await done('describe rbac dev-team'))).toContain('  User    dave   Dangling\n')
    const pruned = 'group/dev pruned: User:dave\nrbac/dev-team pruned: User:dave\n'
    const before = await position(daemon)
    expect(await done('auth reconcile --prune-dangling --dry-run')).toBe(
      pruned.replaceAll('dave\n', 'dave (dry run)\n'),
    )
    expect(await position(daemon)).toBe(before)
    expect(await done('auth reconcile --prune-dangling')).toBe(pruned)
    expect(sectionsOf(await done('describe rbac dev-team'))).toContain(
      'Subjects:\n  KIND    NAME   STATE\n  Group   dev    Bound\nGrants:\n',
    )
    expect((await type('auth can-i edit server/github --as dave')).out).toBe('no\n')
    expect((await type('auth can-i edit server/github --as alice')).out).toBe('yes\n')
    expect((await type('auth reconcile --prune-dangling')).err).toContain('No dangling subjects found\n')
  })
})

describe('rights on an object by its name', () => {
  const grantsOf = async (token?: string) => {
    const text = sectionsOf(await done('describe rbac by-name', token))
    return text.slice(text.indexOf('Grants:'), text.indexOf('Reaches:')).replace(/ +/g, ' ')
  }
  const shown = (state: string) =>
    'Grants:\n' +
    ' GRANT RESOURCE NAME BINDING GRANTED-BY GRANTED-AT OBJECT\n' +
    ' view servers * by-name admin MINUTE -\n' +
    ` edit projects site by-name admin MINUTE ${state}\n`

  it('may come before it, are shown as such, and are warned of when it is made again', async () => {
    await done('create rbac by-name --subject User:alice --binding view:servers --binding edit:projects:site')
    expect(await grantsOf()).toBe(shown('Missing'))
    const first = await type('create project site')
    expect([first.code, first.err]).toEqual([0, ''])
    expect(await grantsOf()).toBe(shown('Bound'))
    await done('delete project site')
    expect(await grantsOf()).toBe(shown('Missing'))
    const warning =
      "Warning: another project 'site' was there before: making this one brings 1 grant to life again: " +
      'binding by-name edit:projects:site; see: mcpctl describe rbac by-name\n'
    expect((await type('create project site --dry-run=server')).err).toBe(warning)
    const again = await type('create project site')
    expect([again.code, again.err]).toEqual([0, warning])
    expect(await grantsOf()).toBe(shown('Bound'))
  })

  it('are warned of by apply too', async () => {
    await done('delete project site')
    const manifest = join(cli.directory, 'site.yaml')
    writeFileSync(manifest, 'projects:\n  - name: site\n')
    const { code, err } = await type(`apply -f ${manifest}`)
    expect(code).toBe(0)
    expect(err).toContain("Warning: another project 'site' was there before")
  })

  it('say nothing of objects that the reader may not view', async () => {
    await done('create user auditor')
    await done('create rbac auditor --subject User:auditor --binding view:rbac')
    expect(await grantsOf(await tokenFor('auditor'))).toBe(shown('-'))
  })
})
