import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { parse } from 'yaml'
import { until } from '../support/binaries'
import { Canary, Search } from '../support/canary'
import { Sandbox } from '../support/mcpd-process'
import { everything } from './world'

describe('a secret on the command line', () => {
  let sandbox: Sandbox
  const { package: source } = everything('gh', 0)
  /** Every value that the daemon was given. */
  const given: string[] = []
  const pem = `-----BEGIN KEY-----\n${randomBytes(24).toString('hex')}\n-----END KEY-----\n`
  const bytes = Buffer.concat([Buffer.from([0xff, 0x00]), randomBytes(24)])

  const value = (): string => {
    const { value: text } = Canary.plain()
    given.push(text)
    return text
  }

  beforeAll(async () => {
    sandbox = await Sandbox.create()
    await sandbox.start()
    given.push(pem.split('\n')[1] ?? '', bytes.toString('base64').slice(4, 32))
  }, 90_000)
  afterAll(() => sandbox.remove(), 60_000)

  const file = (name: string, content: string | Buffer): string => {
    const path = join(sandbox.directory, name)
    writeFileSync(path, content, { mode: 0o600 })
    return path
  }
  const leaksIn = (text: string): string[] =>
    new Search(Object.fromEntries(given.map((each, nth) => [`value ${String(nth)}`, new Canary(each)])))
      .in(text, '')
      .map(({ canary, form }) => `${canary}, ${form}`)
  /** Runs with everything told that can be told, and looks for values in all of it. */
  const quietly = async (...args: string[]): Promise<{ code: number | null; out: string; err: string }> => {
    const answer = await sandbox.mcpctl(...args, '-v', '9')
    expect(leaksIn(answer.out + answer.err)).toEqual([])
    expect(answer.out + answer.err).not.toContain('-----BEGIN KEY')
    return answer
  }
  const revealed = async (...more: string[]): Promise<string> =>
    sandbox.must('describe', 'secret', 'gh-token', '--show-values', ...more)
  /** An editor that does what the lines say to the file "$1". */
  const edit = async (lines: string, ...args: string[]) => {
    const script = file('editor.sh', `#!/bin/sh\ncp "$1" "${join(sandbox.directory, 'seen')}"\n${lines}\n`)
    chmodSync(script, 0o700)
    Object.assign(sandbox.env, { EDITOR: script, XDG_RUNTIME_DIR: sandbox.directory })
    const answer = await quietly('edit', 'secret', 'gh-token', ...args)
    return { ...answer, seen: readFileSync(join(sandbox.directory, 'seen'), 'utf8') }
  }
  const editLeftovers = () => readdirSync(sandbox.directory).filter((name) => name.startsWith('mcpctl-edit-'))
  const version = async (): Promise<unknown> => {
    const api = sandbox.api()
    const { status } = await api.get('secrets', 'gh-token')
    api.close()
    return status['version']
  }

  let token: string

  it('is created from files, lines and stdin, byte by byte', async () => {
    token = value()
    const args = ['create', 'secret', 'generic', 'gh-token', '--from-stdin', 'token', '-l', 'team=core']
    const more = ['--from-file', file('pem', pem), '--from-file', `der=${file('some.der', bytes)}`]
    const made = await sandbox.type(
      `${token}\n`,
      ...args,
      ...more,
      '--from-env-file',
      file('env', 'USER_NAME=octocat\n'),
    )
    expect(made).toEqual({ code: 0, out: 'secret/gh-token created\n', err: '' })
    expect(await revealed()).toContain(
      `Data of version 1:\n  der (base64):  ${bytes.toString('base64')}\n` +
        `  pem:\n    ${pem.trimEnd().replaceAll('\n', '\n    ')}\n\n  token:  ${token}\n  USER_NAME:  octocat\nVersions`,
    )
    const again = await sandbox.type(value(), ...args)
    expect(again.code).toBe(6)
    expect(again.err).toContain('Error from server (AlreadyExists): secrets "gh-token" already exists')
  })

  it('shows no value unless asked, whatever the format and however much is told', async () => {
    const table = (await quietly('get', 'secrets')).out.split('\n').map((line) => line.split(/ {2,}/))
    expect(table[0]).toEqual(['NAME', 'KEYS', 'VERSION', 'USED-BY', 'AGE'])
    expect(table[1]?.slice(0, 4)).toEqual(['gh-token', '4', '1', '<none>'])
    for (const format of ['wide', 'yaml', 'json', 'name']) await quietly('get', 'secret', 'gh-token', '-o', format)
    await quietly('get', 'all', '-o', 'yaml', '--full')
    const { out } = await quietly('describe', 'secret', 'gh-token')
    expect(out).toMatch(/^ {2}token {7}\*{8} {3}[0-9a-f]{8}$/m)
    expect(out).toMatch(/^ {2}1 \(current\) {3}\S+ {3}der,pem,token,USER_NAME$/m)
  })

  it('keeps its values when what get prints is applied', async () => {
    const bundle = (await quietly('get', 'secret', 'gh-token', '-o', 'yaml')).out
    expect(parse(bundle)).toMatchObject({ secrets: [{ name: 'gh-token', data: { token: { keep: true } } }] })
    expect((await sandbox.type(bundle, 'apply', '-f', '-')).out).toBe('secret/gh-token unchanged\n')
    const preview = await quietly(
      'create',
      'secret',
      'x',
      '--from-file',
      join(sandbox.directory, 'pem'),
      '--dry-run',
      '-o',
      'yaml',
    )
    expect(preview.out).toBe('secrets:\n  - name: x\n    data:\n      pem:\n        keep: true\n')
    const decided = await quietly(
      'create',
      'secret',
      'x',
      '--from-file',
      join(sandbox.directory, 'pem'),
      '--dry-run=server',
      '-o',
      'json',
    )
    expect(decided.code).toBe(0)
    expect((await quietly('get', 'secret', 'x')).code).toBe(3)
  })

  it('is edited with every value kept but the one that was written', async () => {
    const same = await edit('true')
    expect(same).toMatchObject({
      code: 0,
      out: '',
      err: expect.stringContaining('Edit cancelled, no changes made.') as unknown,
    })
    expect(same.seen).toContain('token:\n        keep: true\n')
    const changed = value()
    const script = `sed -i '/^      token:/{s/:.*/: ${changed}/;n;d}' "$1"`
    const edited = await edit(script)
    expect(edited).toMatchObject({ code: 0, out: 'secret/gh-token edited\n' })
    expect(await version()).toBe(2)
    expect(await revealed()).toContain(`token:  ${changed}\n`)
    expect(await revealed('--at-version', '1')).toContain(`token:  ${token}\n`)
    expect(await revealed()).toContain(bytes.toString('base64'))
    expect(editLeftovers()).toEqual([])
    token = changed
  })

  it('opens again when it was refused, and keeps what was typed for its owner alone', async () => {
    const typed = value()
    const { code, err } = await edit(
      `grep -q 'This was wrong' "$1" && exit 0\nsed -i 's/^      pem:/      p em:/; /^      token:/{s/:.*/: ${typed}/;n;d}' "$1"`,
    )
    expect(code).toBe(1)
    expect(err).toContain('must be 1 to 253 letters')
    expect(err).toContain('error: Edit cancelled, no valid changes were saved.')
    expect(err).toContain('It may hold values of the secret, and only you can read it')
    const path = /stored to "([^"]+)"/.exec(err)?.[1] ?? ''
    expect([statSync(path).mode & 0o777, statSync(dirname(path)).mode & 0o777]).toEqual([0o600, 0o700])
    expect(readFileSync(path, 'utf8')).toContain(typed)
    expect(await version()).toBe(2)
  })

  it('is revealed only to whom it is given, on the record', async () => {
    await sandbox.must('create', 'user', 'alice')
    await sandbox.must('create', 'rbac', 'alice-views', '--subject', 'User:alice', '--binding', 'view:secrets')
    const tokenFile = file(
      'alice',
      (await sandbox.must('create', 'token', '--user', 'alice', '--note', 'acceptance')).trim(),
    )
    const alice = ['--token-file', tokenFile]
    expect((await quietly('describe', 'secret', 'gh-token', ...alice)).code).toBe(0)
    const refused = await quietly('describe', 'secret', 'gh-token', '--show-values', ...alice)
    expect(refused).toMatchObject({ code: 5, out: '' })
    expect(refused.err).toContain(
      'Error from server (Forbidden): secrets "gh-token" is forbidden: User "alice" cannot do operation "reveal"',
    )
    await sandbox.must(
      'create',
      'rbac',
      'alice-reveals',
      '--subject',
      'User:alice',
      '--operation',
      'reveal:secrets/gh-token',
    )
    expect(await revealed(...alice)).toContain(`token:  ${token}\n`)
    const asAlice = await quietly('describe', 'secret', 'gh-token', '--show-values', '--as', 'alice')
    expect(asAlice).toMatchObject({ code: 5, out: '' })
    expect(asAlice.err).toContain('--as')
  })

  it('is used by a server, says so, and goes with force only', async () => {
    const more = ['--replicas', '0', '--env-secret', 'TOKEN=gh-token:token', '--arg', 'stdio']
    await sandbox.must('create', 'server', 'gh', '--package', source, ...more)
    await until('the secret says who uses it', async () => (await sandbox.must('get', 'secrets')).includes('  gh  '))
    const kept = await quietly('delete', 'secret', 'gh-token')
    expect(kept.code).toBe(6)
    expect(kept.err).toContain('Error from server (InUse)')
    expect(kept.err).toContain('gh')
    expect((await quietly('delete', 'server', 'gh', '--force')).code).toBe(2)
  })

  it('stays blank in the configuration of a client that runs the server itself', async () => {
    const config = join(sandbox.directory, '.mcp.json')
    const { code, out } = await quietly('config', 'claude-code', '--direct', 'gh', '--write')
    expect(code).toBe(0)
    expect(out).toContain('+        "TOKEN": "${TOKEN}"\n')
    expect(parse(readFileSync(config, 'utf8'))).toMatchObject({
      mcpServers: { gh: { command: 'npx', env: { TOKEN: '${TOKEN}' } } },
    })
    expect((await quietly('config', 'claude-code', '--direct', 'gh', '--revert')).code).toBe(0)
    expect(existsSync(config)).toBe(false)
    expect((await quietly('config', 'cursor', '--direct', 'none')).code).toBe(3)
    expect((await quietly('config', 'cursor', '--project', 'none')).code).toBe(3)
  })

  it.each([
    ['a flag', (text: string) => ['create', 'secret', 'x', '--from-literl', `token=${text}`], 2],
    ['a key', (text: string) => ['create', 'secret', 'x', '--from-literal', `to ken=${text}`], 2],
    ['the sign', (text: string) => ['create', 'secret', 'x', '--from-literal', text], 2],
    ['the flag for a path', (text: string) => ['create', 'secret', 'x', '--from-file', `token=${text}`], 2],
    ['the word', (text: string) => ['create', 'secrt', 'x', '--from-literal', `token=${text}`], 2],
    [
      'the limit',
      (text: string) => ['create', 'secret', 'x', '--from-literal', `t=${text}`, '--history-limit', '0'],
      7,
    ],
    ['the type', (text: string) => ['create', 'secret', 'tls', 'x', '--from-literal', `t=${text}`], 2],
  ])('whoever mistypes %s is told what is wrong, without the value', async (_, args, code) => {
    const answer = await quietly(...args(value()))
    expect({ code: answer.code, out: answer.out }).toEqual({ code, out: '' })
    expect(answer.err).not.toBe('')
    expect((await sandbox.mcpctl('get', 'secret', 'x')).code).toBe(3)
  })

  it('goes for good, with the servers of its manifest before it', async () => {
    const manifest = 'servers: [{ name: gh, image: x }]\nsecrets: [{ name: gh-token, data: { token: x } }]\n'
    const gone = await sandbox.type(manifest, 'delete', '-f', '-', '--yes')
    expect(gone).toEqual({ code: 0, out: 'server "gh" deleted\nsecret "gh-token" deleted\n', err: '' })
    const { code, err } = await quietly('describe', 'secret', 'gh-token', '--show-values')
    expect(code).toBe(3)
    expect(err).toContain('secrets "gh-token" not found')
    await sandbox.must('create', 'secret', 'used', '--from-file', join(sandbox.directory, 'pem'))
    await sandbox.must(
      'create',
      'server',
      'waits',
      '--package',
      source,
      '--replicas',
      '0',
      '--env-secret',
      'KEY=used:pem',
    )
    await until('the secret says who uses it', async () => (await sandbox.must('get', 'secrets')).includes('  waits  '))
    expect((await quietly('delete', 'secret', 'used')).code).toBe(6)
    expect((await quietly('delete', 'secret', 'used', '--force')).out).toBe('secret "used" deleted\n')
  })

  it('left no value in what the daemon told', async () => {
    const log = await sandbox.log()
    expect(leaksIn(log)).toEqual([])
  })
})
