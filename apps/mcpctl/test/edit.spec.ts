import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { ResourceObject } from '@mcpctl/contracts'
import { Cli } from './cli'
import type { CliOptions } from './cli'
import { problem, TestDaemon } from './daemon'
import { instance, server } from './objects'

describe('edit', () => {
  const daemon = new TestDaemon()
  const cli = new Cli()
  const runtime = mkdtempSync(join(cli.directory, 'run-'))
  let scripts = 0

  /** An editor that does this to the file `$1`; `$n` says the how many-eth time it is. */
  const editor = (lines: string): string => {
    const path = join(cli.directory, `editor-${String(++scripts)}`)
    const count = `n=$(( $(cat "$0.n" 2>/dev/null || echo 0) + 1 )); echo $n > "$0.n"; cp "$1" "$0.saw-$n"\n`
    writeFileSync(path, `#!/bin/sh\n${count}${lines}\n`)
    chmodSync(path, 0o755)
    return path
  }
  const saw = (path: string, time = 1) => readFileSync(`${path}.saw-${String(time)}`, 'utf8')
  const edit = (path: string, line = 'edit server/github', options: CliOptions = {}) =>
    cli.type(line, { ...options, env: { MCPCTL_EDITOR: path, XDG_RUNTIME_DIR: runtime, ...options.env } })
  const left = () => readdirSync(runtime)
  const kept = (err: string) => /stored to "([^"]+)"/.exec(err)?.[1] ?? ''
  const puts = () => daemon.requests.filter(({ method }) => method === 'PUT')

  const store = ({ method, path, body }: { method: string; path: string; body: unknown }) =>
    method === 'PUT' && path.startsWith('/api/v1/servers/') ? { status: 200, body: { metadata: body } } : undefined

  beforeAll(async () => cli.use(await daemon.start()))
  afterAll(async () => {
    await daemon.stop()
    cli.remove()
  })
  beforeEach(() => {
    daemon.route = store
    daemon.requests.length = 0
    daemon.put('servers', server('github', { labels: { team: 'core' } }), server('files'))
    daemon.put('instances', instance('github-ab12-0', 'github'))
    for (const name of left()) rmSync(join(runtime, name), { recursive: true })
  })

  it('shows the clean manifest, sends what the user made of it, and leaves nothing behind', async () => {
    const script = editor(`stat -c %a "$1" > "$0.mode"; sed -i 's/replicas: 2/replicas: 3/' "$1"`)
    expect(await edit(script)).toEqual({ code: 0, out: 'server/github edited\n', err: '' })
    expect(saw(script)).toBe(
      '# Edit the object below and leave the editor. The lines up here are left out;\n' +
        '# an empty file ends the edit. If something is wrong, the file opens again and says what.\n' +
        'servers:\n  - name: github\n    labels:\n      team: core\n    image: ghcr.io/team/server:1.2\n' +
        '    transport: stdio\n    args:\n      - stdio\n    replicas: 2\n',
    )
    expect(readFileSync(`${script}.mode`, 'utf8')).toBe('600\n')
    expect(puts()).toMatchObject([
      { path: '/api/v1/servers/github', headers: { 'if-match': '"1.7"' }, body: { name: 'github', replicas: 3 } },
    ])
    expect(left()).toEqual([])
  })

  it('takes a line with words of its own for an editor, and JSON for a file', async () => {
    const script = editor(`shift; sed -i 's/"replicas": 2/"replicas": 4/' "$1"`)
    const answer = await edit(`${script} --wait`, 'edit servers github -o json')
    expect(answer.out).toBe('server/github edited\n')
    expect(puts()[0]?.body).toMatchObject({ replicas: 4 })
  })

  it.each([
    ['nothing is changed', 'true', 'Edit cancelled, no changes made.\n'],
    ['only comments are', `echo '# mine' >> "$1"`, 'Edit cancelled, no changes made.\n'],
    [
      'only the order is',
      `printf 'servers: [{"replicas": 2, "name": "files", "args": [stdio], "transport": stdio, "image": "ghcr.io/team/server:1.2"}]' > "$1"`,
      'Edit cancelled, no changes made.\n',
    ],
    ['the file is emptied', ': > "$1"', 'Edit cancelled, saved file was empty.\n'],
    ['all but comments is', `printf '\\n # x\\n' > "$1"`, 'Edit cancelled, saved file was empty.\n'],
    ['the file is removed', 'rm "$1"', 'Edit cancelled, saved file was empty.\n'],
  ])('does nothing when %s', async (_, lines, err) => {
    expect(await edit(editor(lines), 'edit server/files')).toEqual({ code: 0, out: '', err })
    expect(puts()).toEqual([])
    expect(left()).toEqual([])
  })

  const refused = (request: { method: string; path: string; body: unknown }) => {
    const { replicas } = (request.body ?? {}) as { replicas?: number }
    if (request.method !== 'PUT' || (replicas ?? 0) >= 0) return store(request)
    const message = 'Invalid value: -1: must be greater than or equal to 0'
    return problem(422, 'Invalid', 'invalid', { errors: [{ pointer: '/replicas', code: 'min', message }] })
  }

  it('opens the file again with what was wrong, where it was', async () => {
    daemon.route = refused
    const script = editor(`
      if [ $n = 1 ]; then sed -i 's/replicas: 2/replicas: -1/; s/    args:/    # mine\\n    args:/' "$1"
      else sed -i 's/replicas: -1/replicas: 5/' "$1"; fi`)
    const { code, out, err } = await edit(script)
    expect({ code, out }).toEqual({ code: 0, out: 'server/github edited\n' })
    expect(err).toBe(
      'The Server "github" is invalid:\n' +
        '* spec.replicas: Invalid value: -1: must be greater than or equal to 0 (mcpctl-edit-server-github.yaml:12)\n',
    )
    expect(saw(script, 2)).toContain('# This was wrong:\n# * The Server "github" is invalid:\nservers:\n')
    expect(saw(script, 2)).toContain(
      '    # mine\n    args:\n      - stdio\n' +
        '    # ↓ spec.replicas: Invalid value: -1: must be greater than or equal to 0\n    replicas: -1\n',
    )
    expect(puts().map(({ body }) => (body as { replicas: number }).replicas)).toEqual([-1, 5])
    expect(left()).toEqual([])
  })

  it.each([
    ['broken YAML', `echo '    args: [' >> "$1"`, 'mcpctl-edit-server-github.yaml:'],
    [
      'another object',
      `sed -i 's/name: github/name: gitlab/' "$1"`,
      'mcpctl-edit-server-github.yaml:4: a name cannot be changed; this is server/github',
    ],
    ['two objects', `echo '  - name: more' >> "$1"`, ':12: the file must hold server/github and nothing else'],
    ['another kind', `sed -i 's/servers:/projects:/' "$1"`, 'the file must hold server/github and nothing else'],
    ['a field of another value', `sed -i 's/replicas: 2/replicas: -1/' "$1"`, 'Invalid value: -1'],
  ])('keeps a copy of %s that is left as it is', async (_, lines, text) => {
    daemon.route = refused
    const script = editor(`[ $n = 1 ] || exit 0\n${lines}`)
    const { code, out, err } = await edit(script)
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toContain(text)
    expect(err).toMatch(
      /A copy of your changes has been stored to "[^"]+"\nerror: Edit cancelled, no valid changes were saved\.\n$/,
    )
    const path = kept(err)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(dirname(path)).mode & 0o777).toBe(0o700)
    expect(readFileSync(path, 'utf8')).toContain('# This was wrong:')
  })

  it('stops an editor that makes mistakes for ever', async () => {
    daemon.route = refused
    const { code, err } = await edit(editor(`sed -i "s/replicas: .*/replicas: -$n/" "$1"`))
    expect(code).toBe(1)
    expect(err).toContain('error: Edit cancelled: refused 10 times.\n')
    expect(existsSync(kept(err))).toBe(true)
  })

  it('asks before it opens the file again, where there is somebody to ask', async () => {
    daemon.route = refused
    const script = editor(`[ $n = 1 ] || exit 0\nsed -i 's/replicas: 2/replicas: -1/' "$1"`)
    const { code, err } = await edit(script, 'edit server/github', { answer: '' })
    expect(code).toBe(1)
    expect(err).toContain('Press Enter to re-edit, Ctrl-C to abort ')
    const ended = await edit(editor(`sed -i 's/replicas: 2/replicas: -1/' "$1"`), 'edit server/github', {
      answer: '\u0003',
    })
    expect(ended.code).toBe(130)
    expect(readFileSync(kept(ended.err), 'utf8')).toContain('replicas: -1')
  })

  it('keeps the changes when the editor fails, and nothing when there are none', async () => {
    const failing = await edit(editor(`sed -i 's/replicas: 2/replicas: 7/' "$1"; exit 3`))
    expect(failing.code).toBe(1)
    expect(failing.err).toMatch(
      /stored to "[^"]+"\nerror: the editor "[^"]+" ended with code 3; nothing was changed\n$/,
    )
    expect(readFileSync(kept(failing.err), 'utf8')).toContain('replicas: 7')
    const killed = await edit(editor('kill -9 $$'))
    expect(killed.err).toMatch(/^error: the editor "[^"]+" was ended by SIGKILL; nothing was changed\n$/)
    const absent = await edit('/none/such')
    expect(absent).toEqual({
      code: 1,
      out: '',
      err: 'error: cannot run the editor "/none/such": there is no such program\nchoose another one with MCPCTL_EDITOR or EDITOR\n',
    })
    expect(puts()).toEqual([])
  })

  const meanwhile = (changed: ResourceObject) => {
    const stale = problem(412, 'PreconditionFailed', 'modified', { kind: 'servers', name: 'github' })
    daemon.route = (request) => {
      if (request.method !== 'PUT' || request.headers['if-match'] === '"1.8"') return store(request)
      daemon.put('servers', { ...changed, metadata: { ...changed.metadata, resourceVersion: '1.8' } })
      return stale
    }
  }

  it('puts the change on top of what somebody else changed meanwhile', async () => {
    meanwhile(server('github', { labels: { team: 'core' }, spec: { args: ['other'] } }))
    const { code, err } = await edit(editor(`sed -i 's/replicas: 2/replicas: 3/' "$1"`))
    expect(err).toBe('server/github was changed by somebody else meanwhile; both changes are kept\n')
    expect(code).toBe(0)
    expect(puts()[1]).toMatchObject({ headers: { 'if-match': '"1.8"' }, body: { replicas: 3, args: ['other'] } })
  })

  it('leaves it to the user when both have changed the same', async () => {
    meanwhile(server('github', { labels: { team: 'core' }, spec: { replicas: 9, args: ['other'] } }))
    const resolving = editor(`
      if [ $n = 1 ]; then sed -i 's/replicas: 2/replicas: 3/' "$1"; else sed -i '/↓/d' "$1"; fi`)
    const resolved = await edit(resolving)
    expect(resolved.code).toBe(0)
    expect(resolved.err).toBe(
      'Error from server (Conflict): Operation cannot be fulfilled on servers "github": the object has been modified; please apply your changes to the latest version and try again\n' +
        '* replicas: changed by somebody else meanwhile; it is now: 9\n',
    )
    expect(saw(resolving, 2)).toContain(
      '    # ↓ replicas: changed by somebody else meanwhile; it is now: 9\n    replicas: 3\n',
    )
    expect(puts()[1]).toMatchObject({ headers: { 'if-match': '"1.8"' }, body: { replicas: 3, args: ['other'] } })
    daemon.put('servers', server('github'))
    const giving = await edit(editor(`[ $n = 1 ] || exit 0\nsed -i 's/replicas: 2/replicas: 3/' "$1"`))
    expect(giving.code).toBe(6)
    expect(readFileSync(kept(giving.err), 'utf8')).toContain('replicas: 3')
  })

  it('keeps the changes of an object that was deleted meanwhile, or made anew', async () => {
    daemon.route = ({ method }) => {
      if (method !== 'PUT') return undefined
      daemon.put('servers')
      return problem(404, 'NotFound', 'servers "github" not found', { kind: 'servers', name: 'github' })
    }
    const script = editor(`sed -i 's/replicas: 2/replicas: 3/' "$1"`)
    const gone = await edit(script)
    expect(gone.code).toBe(3)
    expect(gone.err).toContain('Error from server (NotFound): servers "github" not found\n')
    expect(readFileSync(kept(gone.err), 'utf8')).toContain('replicas: 3')
    daemon.put('servers', server('github'))
    meanwhile(server('github', { uid: '0190a000-0000-7000-8000-00000000beef' }))
    const anew = await edit(script)
    expect(anew.code).toBe(6)
    expect(puts()).toHaveLength(2)
  })

  it('edits one after the other', async () => {
    const script = editor(`sed -i "s/replicas: 2/replicas: $(( n + 2 ))/" "$1"`)
    expect((await edit(script, 'edit servers github files')).out).toBe('server/github edited\nserver/files edited\n')
    expect(puts().map(({ body }) => body)).toMatchObject([{ replicas: 3 }, { replicas: 4 }])
  })

  it.each([
    ['edit', 'error: Required resource not specified.'],
    ['edit server', 'error: name the server too'],
    ['edit instance/x', 'error: instances cannot be edited: the daemon makes them'],
    ['edit server/github -o toml', 'unable to match a printer suitable for the output format "toml"'],
  ])('%s is refused', async (line, text) => {
    const answer = await edit(editor('exit 9'), line)
    expect(answer.err).toContain(text)
    expect(answer.code).toBe(2)
  })

  it('does not open an editor for what is not there', async () => {
    expect((await edit(editor('exit 9'), 'edit server/none')).code).toBe(3)
  })
})
